from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.anthropic import golden

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.anthropic import stream_reader, streams_in
from pointsman.wire.chat import Event, Failed, Started, TextDelta
from pointsman.wire.messages import SseMessages


def read(pieces: list[bytes]) -> tuple[list[Event], bool]:
    cut, reader = SseMessages(), stream_reader()
    events: list[Event] = []
    for piece in pieces:
        for name, data in cut.feed(piece):
            events += reader.read(name, data)
    for name, data in cut.close():
        events += reader.read(name, data)
    return [*events, *reader.close()], reader.is_finished


def expected(case: dict[str, Any]) -> list[Any]:
    return golden.values([pair for pair in case["canonical"] if pair[0] != "Failed"])


def feed(*events: dict[str, Any]) -> list[Event]:
    reader = stream_reader()
    return [found for event in events for found in reader.read(b"", msgspec.json.encode(event))]


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


@pytest.mark.requirement("anthropic.streams")
@pytest.mark.parametrize("path", golden.cases("streams"), ids=lambda path: path.stem)
def test_a_stream_is_read_as_recorded_however_it_is_cut(path: Path) -> None:
    case = golden.load(path)
    text = "".join(case["native"]).encode()
    lines_of_windows = text.replace(b"\n", b"\r\n")
    for pieces in (
        [text],
        [text[at : at + 1] for at in range(len(text))],
        [text[at : at + 7] for at in range(0, len(text), 7)],
        [lines_of_windows],
        [text.removesuffix(b"\n\n")],
    ):
        events, is_finished = read(pieces)
        failures = [event.error for event in events if isinstance(event, Failed)]
        assert [event for event in events if not isinstance(event, Failed)] == expected(case)
        assert [
            {name: getattr(failure, name) for name in ("status", "kind", "code", "message")} for failure in failures
        ] == [members for kind, members in case["canonical"] if kind == "Failed"]
        assert is_finished == case["is_finished"]


@pytest.mark.parametrize("path", golden.cases("streams"), ids=lambda path: path.stem)
def test_a_stream_that_is_cut_off_is_not_finished(path: Path) -> None:
    case = golden.load(path)
    ends = [text for text in case["native"] if '"stop_reason":"' in text or "message_stop" in text]
    assert not read([text.encode() for text in case["native"] if text not in ends])[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[DONE]",
        b"<html>502</html>",
        b'{"index": 0}',
        b'{"type": 7}',
        b'{"type": "content_block_delta", "index": "0", "delta": {"type": "text_delta", "text": "a"}}',
        b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}}',
        b'{"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}',
        b'{"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "a", "input": {}}}',
        b'{"type": "content_block_start", "index": 0, "content_block": []}',
        b'{"type": "content_block_start", "index": 0, "content_block": {"text": "a"}}',
        b'{"type": "message_start", "message": {"content": [7]}}',
        b'{"type": "message_delta", "delta": {"stop_reason": 7}}',
        b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "\xff"}}',
        b'{"type": "error", "error":' + b"[" * 5000,
    ],
)
def test_an_event_that_cannot_be_read_is_a_broken_upstream(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        stream_reader().read(b"", data)


def test_events_that_say_nothing_are_skipped() -> None:
    assert feed(
        {"type": "ping"},
        {"type": "new_event", "delta": {"type": "new_delta"}},
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_stop", "index": 9},
        {"type": "message_start"},
        {"type": "message_delta"},
        start(0, type="text", text=""),
        delta(0, type="new_delta", text="a"),
        delta(0, type="thinking_delta", thinking=None),
        {"type": "content_block_stop", "index": 0},
    ) == [Started()]


def test_a_delta_may_have_the_members_of_all_kinds_empty() -> None:
    events = feed(delta(0, type="text_delta", text="a", thinking=None, partial_json=None, signature=None))
    assert events == [Started(), TextDelta("a")]


def test_the_input_of_a_server_tool_must_be_json() -> None:
    opened = start(0, type="server_tool_use", name="web_search", input={})
    piece = delta(0, type="input_json_delta", partial_json='{"query":')
    with pytest.raises(UpstreamBroken):
        feed(opened, piece, {"type": "content_block_stop", "index": 0})


@pytest.mark.parametrize(
    ("block", "more"),
    [
        ({"type": "server_tool_use", "input": {}}, {"type": "input_json_delta", "partial_json": "x" * 999}),
        ({"type": "thinking", "thinking": ""}, {"type": "signature_delta", "signature": "x" * 999}),
        ({"type": "compaction"}, {"type": "compaction_delta", "content": "x" * 999}),
        ({"type": "text", "text": ""}, {"type": "citations_delta", "citation": {"cited_text": "x" * 999}}),
    ],
)
def test_what_is_held_back_is_bounded(
    block: dict[str, Any], more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_in, "MAX_PART_CHARS", 2500)
    feed(start(0, **block), delta(0, **more), delta(0, **more))
    with pytest.raises(UpstreamBroken):
        feed(start(0, **block), delta(0, **more), delta(0, **more), delta(0, **more))


def test_the_number_of_blocks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_in, "MAX_BLOCKS", 3)
    feed(*(start(index, type="text") for index in range(3)))
    with pytest.raises(UpstreamBroken):
        feed(*(start(index, type="text") for index in range(4)))
