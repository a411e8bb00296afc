from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.dialects.ollama.golden import cases, plain

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects import ollama
from pointsman.wire.chat import Event, Image, ToolOpened, WholePart
from pointsman.wire.messages import JsonLines


def read(text: bytes, size: int) -> tuple[list[Event], bool]:
    reader, framing = ollama.stream_reader(), JsonLines()
    messages = [message for at in range(0, len(text), size) for message in framing.feed(text[at : at + size])]
    messages += framing.close()
    events = [event for name, data in messages for event in reader.read(name, data)]
    return [*events, *reader.close()], reader.is_finished


@cases("streams")
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\n"])
def test_a_stream_is_read_whole_and_in_pieces(case: dict[str, Any], size: int, end: bytes) -> None:
    events, is_finished = read("\n".join(case["native"]).encode() + end, size)
    assert [plain(event) for event in events] == case["canonical"]
    assert is_finished is case["is_finished"]


def test_calls_are_counted_over_all_lines_and_have_ids_of_their_own() -> None:
    line = json.dumps({"message": {"tool_calls": [{"function": {"name": "f"}}] * 2, "images": ["iVBO"]}}).encode()
    reader = ollama.stream_reader()
    events = [*reader.read(b"", line), *reader.read(b"", line)]
    opened = [event for event in events if isinstance(event, ToolOpened)]
    assert [event.index for event in opened] == [0, 1, 2, 3]
    assert len({event.id for event in opened}) == 4
    assert events[1] == WholePart(Image(data="iVBO"))


@pytest.mark.parametrize(
    "data", [b"x", b"[]", b'{"message": 1}', b'{"message": {"content": "\xff"}}', b'{"logprobs": ' + b"[" * 100_000]
)
def test_what_is_no_line_is_broken(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        ollama.stream_reader().read(b"", data)


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_broken(data: bytes) -> None:
    try:
        events = ollama.stream_reader().read(b"", data)
    except UpstreamBroken:
        return
    assert isinstance(events, list)
