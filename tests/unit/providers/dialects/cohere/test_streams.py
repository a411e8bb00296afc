from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.dialects.cohere.golden import cases, plain

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects import cohere
from pointsman.wire.chat import Event, Failed, Finished, Started, TextDelta, ThinkingDelta, ToolOpened
from pointsman.wire.messages import SseMessages


def read(text: bytes, size: int) -> tuple[list[Event], bool]:
    reader, framing = cohere.stream_reader(), SseMessages()
    messages = [message for at in range(0, len(text), size) for message in framing.feed(text[at : at + size])]
    messages += framing.close()
    events = [event for name, data in messages for event in reader.read(name, data)]
    return [*events, *reader.close()], reader.is_finished


def read_one(**event: Any) -> list[Event]:
    return cohere.stream_reader().read(b"", json.dumps(event).encode())[1:]


@cases("streams")
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_is_read_whole_and_in_pieces(case: dict[str, Any], size: int) -> None:
    events, is_finished = read("\n\n".join(case["native"]).encode() + b"\n\n", size)
    assert [plain(event) for event in events] == case["canonical"]
    assert is_finished is case["is_finished"]


def test_started_comes_first_and_once_whatever_comes_first() -> None:
    reader = cohere.stream_reader()
    events = reader.read(b"", b'{"type":"content-delta","delta":{"message":{"content":{"text":"a"}}}}')
    events += reader.read(b"", b'{"type":"message-start","id":"late"}')
    assert events == [Started(), TextDelta("a")]


def test_unknown_and_empty_events_are_skipped() -> None:
    assert read_one(type="brand-new", delta={"message": {"content": None, "x": 1}}) == []
    assert read_one(type="content-start", delta={"message": {"content": {"type": "text", "text": ""}}}) == []
    assert read_one(type="content-end", index=0) == []
    assert read_one(type="tool-plan-delta", delta={"message": {"tool_plan": ""}}) == []
    assert read_one(type="citation-start", delta={"message": {"citations": 7}}) == []
    assert read_one(type="message-end", delta={}) == []


def test_reasoning_and_whole_calls_may_come_at_once() -> None:
    thinking = {"message": {"content": {"type": "thinking", "thinking": "Hm"}}}
    assert read_one(type="content-start", delta=thinking) == [ThinkingDelta("Hm")]
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    events = read_one(type="tool-call-start", index=3, delta={"message": {"tool_calls": call}})
    assert events[0] == ToolOpened(index=0, id="1", name="f")
    assert len(events) == 2


def test_an_event_named_error_is_a_failure() -> None:
    (event,) = cohere.stream_reader().read(b"error", b'{"type": "x", "message": "overloaded"}')
    assert isinstance(event, Failed)
    assert event.error.message == "overloaded"


def test_a_finished_answer_with_calls_wants_them_called() -> None:
    reader = cohere.stream_reader()
    start = {"type": "tool-call-start", "delta": {"message": {"tool_calls": {"function": {"name": "f"}}}}}
    reader.read(b"", json.dumps(start).encode())
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}
    assert reader.read(b"", json.dumps(end).encode()) == [Finished("tool_calls")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"[]",
        b'{"type": 7}',
        b'{"type": "content-delta", "delta": 1}',
        b'{"type": "content-delta", "delta": {"message": {"content": {"text": 1}}}}',
        b'{"type": "content-delta", "delta": {"message": {"content": {"text": "\xff"}}}}',
        b'{"type": "tool-call-start", "delta": {"message": {"tool_calls": 1}}}',
        b'{"type": "tool-call-start", "delta": {"message": {"tool_calls": {}}}}',
        b'{"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": "x"}}}}}',
        b'{"type": "message-end", "delta": {"finish_reason": "ERROR"}}',
        b'{"type": "message-end", "delta": {"error": "out of memory"}}',
        b'{"type": "x", "logprobs": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_broken(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        cohere.stream_reader().read(b"", data)


@given(
    st.binary(max_size=80)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_whatever_comes_is_read_or_broken(data: bytes) -> None:
    try:
        events = cohere.stream_reader().read(b"", data)
    except UpstreamBroken:
        return
    assert isinstance(events, list)
