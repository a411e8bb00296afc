from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.gemini.golden import built, cases, plain, reply_terms

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini.streams import stream_reader
from pointsman.providers.dialects.gemini.streams_out import MAX_HELD, stream_writer
from pointsman.wire.chat import Event, Finished, TextDelta, ThinkingDelta, ToolDelta, ToolOpened
from pointsman.wire.messages import SseMessages


@pytest.mark.requirement("gemini.stream")
@cases("streams_out")
def test_a_stream_is_written(case: dict[str, Any]) -> None:
    writer = stream_writer(reply_terms(case))
    written = [text.decode() for event in built(case["canonical"]) if (text := writer.write(event))]
    assert [*written, writer.close().decode()] == case["native"]


@cases("streams_out")
def test_as_an_array_it_has_the_same_elements(case: dict[str, Any]) -> None:
    writer = stream_writer(reply_terms(case), is_array=True)
    written = b"".join(writer.write(event) for event in built(case["canonical"])) + writer.close()
    assert json.loads(written) == [json.loads(text.removeprefix("data: ")) for text in case["native"]]


def test_what_was_written_is_read_as_the_same() -> None:
    events: list[Event] = [
        TextDelta('Say "hi"\n'),
        ToolOpened(index=0, id="a", name="f"),
        ToolDelta(0, '{"x":1}'),
        Finished("tool_calls"),
    ]
    writer, messages, reader = stream_writer(reply_terms({})), SseMessages(), stream_reader()
    text = b"".join(writer.write(event) for event in events) + writer.close()
    found = [event for name, data in messages.feed(text) for event in reader.read(name, data)]
    assert [plain(event) for event in [*found, *reader.close()]][1:] == [plain(event) for event in events]


@pytest.mark.parametrize("held", [ThinkingDelta("x" * (MAX_HELD // 2)), ToolDelta(0, "x" * (MAX_HELD // 2))])
def test_what_is_held_back_is_bounded(held: Event) -> None:
    writer = stream_writer(reply_terms({}))
    writer.write(ToolOpened(index=0, id="a", name="f"))
    writer.write(held)
    writer.write(held)
    with pytest.raises(UpstreamBroken):
        writer.write(held)


def test_more_of_a_call_that_is_not_open_is_a_broken_stream() -> None:
    writer = stream_writer(reply_terms({}))
    for event in (ToolOpened(index=0, id="a", name="f"), ToolDelta(0, "{}"), Finished("tool_calls")):
        writer.write(event)
    with pytest.raises(UpstreamBroken):
        writer.write(ToolDelta(0, "{}"))


def test_a_call_after_the_reason_for_the_end_comes_with_the_last_event() -> None:
    writer = stream_writer(reply_terms({}))
    for event in (TextDelta("a"), Finished("stop"), ToolOpened(index=0, id="a", name="f"), ToolDelta(0, "{}")):
        writer.write(event)
    (candidate,) = json.loads(writer.close().removeprefix(b"data: "))["candidates"]
    assert [part["functionCall"] for part in candidate["content"]["parts"]] == [{"id": "a", "name": "f", "args": {}}]
