from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit.providers.dialects.anthropic import golden

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.anthropic import stream_reader, stream_writer
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import ChatRequest, Event, Failed, Finished, Seal, Started, TextDelta, ToolDelta, ToolOpened
from pointsman.wire.messages import SseMessages

TERMS = ReplyTerms(model="public", unique="u1", created=1, request=ChatRequest(dialect="anthropic", turns=[]))


def write(events: list[Event]) -> bytes:
    writer = stream_writer(TERMS)
    return b"".join([*(writer.write(event) for event in events), writer.close()])


def read(text: bytes) -> list[Event]:
    reader = stream_reader()
    return [event for name, data in SseMessages().feed(text) for event in reader.read(name, data)]


@pytest.mark.requirement("anthropic.streams")
@pytest.mark.parametrize("path", golden.cases("streams_out"), ids=lambda path: path.stem)
def test_a_stream_is_written_as_recorded(path: Path) -> None:
    case = golden.load(path)
    assert write(golden.values(case["canonical"])).decode() == "".join(case["native"])


@pytest.mark.parametrize("path", golden.cases("streams"), ids=lambda path: path.stem)
def test_what_was_read_can_be_written_and_read_again(path: Path) -> None:
    case = golden.load(path)
    if any(kind in ("Failed", "RefusalDelta") for kind, _ in case["canonical"]):
        return
    events = golden.values(case["canonical"])
    again = read(write(events))
    first = again[0]
    assert isinstance(first, Started)
    assert first.model == "public"
    assert again[1:] == events[1:]


def test_the_event_line_says_what_the_data_says() -> None:
    text = write([Started(id="x"), TextDelta("a"), ToolOpened(index=0, id="a", name="f"), ToolDelta(0, "{}")])
    messages = SseMessages().feed(text)
    assert [name.decode() for name, _ in messages] == [msgspec.json.decode(data)["type"] for _, data in messages]
    assert messages[-1][0] == b"message_stop"


def test_blocks_are_numbered_without_a_gap_and_each_is_closed() -> None:
    for path in golden.cases("streams_out"):
        events = [
            msgspec.json.decode(data) for _, data in SseMessages().feed("".join(golden.load(path)["native"]).encode())
        ]
        opened = [event["index"] for event in events if event["type"] == "content_block_start"]
        closed = [event["index"] for event in events if event["type"] == "content_block_stop"]
        assert opened == list(range(len(opened)))
        assert sorted(closed) == opened


def test_arguments_of_a_call_that_is_over_have_no_form() -> None:
    writer = stream_writer(TERMS)
    for event in (ToolOpened(index=0, id="a", name="f"), ToolDelta(0, "{"), TextDelta("x")):
        writer.write(event)
    with pytest.raises(UpstreamBroken):
        writer.write(ToolDelta(0, "}"))


def test_arguments_of_parallel_calls_may_come_in_turns() -> None:
    opened = [ToolOpened(index=0, id="a", name="f"), ToolOpened(index=1, id="b", name="g")]
    said = [ToolDelta(0, '{"a"'), ToolDelta(1, '{"b"'), ToolDelta(0, ":1}"), ToolDelta(1, ":2}")]
    text = write([Started(id="x"), opened[0], said[0], opened[1], *said[1:], Finished("tool_calls")])
    events = [msgspec.json.decode(data) for _, data in SseMessages().feed(text)]
    pieces = [
        (each["index"], each["delta"]["partial_json"]) for each in events if "partial_json" in each.get("delta", {})
    ]
    assert pieces == [(0, '{"a"'), (1, '{"b"'), (0, ":1}"), (1, ":2}")]


def test_failures_are_written_by_another() -> None:
    with pytest.raises(KeyError):
        stream_writer(TERMS).write(Failed(UpstreamBroken()))


def test_the_seal_of_a_call_stands_before_it_and_leaves_other_calls_open() -> None:
    seal = Seal("gemini", "c2ln")
    first, second = ToolOpened(index=0, id="a", name="f"), ToolOpened(index=1, id="b", name="f", seal=seal)
    text = write([Started(id="x"), first, second, ToolDelta(0, "{}"), ToolDelta(1, "{}")])
    events = [msgspec.json.decode(data) for _, data in SseMessages().feed(text)]
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [block["type"] for block in blocks] == ["tool_use", "redacted_thinking", "tool_use"]
    assert blocks[1]["data"] == "gemini#@c2ln"
    assert [event["index"] for event in events if event["type"] == "content_block_stop"] == [1, 0, 2]
