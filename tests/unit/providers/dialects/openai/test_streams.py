from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.dialects.openai.golden import built, cases, read_stream

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects import openai
from pointsman.providers.dialects.openai.streams import MAX_SIGNED_BYTES
from pointsman.wire.chat import Failed, Finished, Started, TextDelta, ThinkingDelta, ThinkingSealed, UsageSeen
from pointsman.wire.messages import Message, SseMessages
from pointsman.wire.usage import Usage


def cut(text: bytes, size: int) -> list[Message]:
    framing = SseMessages()
    messages = [message for at in range(0, len(text), size) for message in framing.feed(text[at : at + size])]
    return messages + framing.close()


def chunk(delta: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta} | more]}).encode()


@cases("streams")
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_a_stream_is_read_in_pieces_of_any_size(case: Any, size: int, end: str) -> None:
    text = "".join(line + end for line in case["native"]).encode()
    assert read_stream(cut(text, size)) == (built(case["canonical"]), case["is_finished"])


def test_a_choice_whose_reason_is_missing_ends_with_the_stream() -> None:
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    events, is_finished = read_stream([(b"", chunk(call)), (b"", b"[DONE]")])
    assert (events[-1], is_finished) == (Finished("tool_calls"), True)


@pytest.mark.parametrize("messages", [[chunk({"content": "x"})], [chunk({"role": "assistant"}), b"[DONE]"]])
def test_a_stream_that_is_cut_or_says_nothing_gets_no_reason(messages: list[bytes]) -> None:
    events, _ = read_stream([(b"", message) for message in messages])
    assert not any(isinstance(event, Finished) for event in events)


@cases("streams")
def test_a_last_event_may_lack_its_blank_line(case: Any) -> None:
    text = "\n\n".join(case["native"]).encode()
    assert read_stream(cut(text, len(text))) == (built(case["canonical"]), case["is_finished"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b'{"choices":[{"delta":{"content":"cut off',
        b"[]",
        b'"text"',
        b'{"choices":{}}',
        b'{"choices":[{"delta":[]}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":"first"}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}',
        b'{"choices":[{"delta":{},"finish_reason":"error"}]}',
        b'{"choices":[{"delta":{},"finish_reason":5}]}',
        b'{"choices":[{"delta":{"content":' + b"[" * 5000 + b"]" * 5000 + b"}}]}",
        b"\xff\xfe",
    ],
)
def test_what_is_no_chunk_is_a_broken_upstream(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        openai.stream_reader().read(b"", data)


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        (b"", b'{"error":{"message":"Rate limited","code":429}}', 429),
        (b"", b'{"id":"c","choices":[{"index":0,"delta":{}}],"error":{"message":"x","code":502}}', 502),
        (b"", b'{"object": "error", "message": "x"}', 502),
        (b"error", b'{"message":"x"}', 502),
        (b"", b'{"error":"out of memory"}', 502),
    ],
)
def test_an_error_event_is_that_error(name: bytes, data: bytes, status: int) -> None:
    (event,) = openai.stream_reader().read(name, data)
    assert isinstance(event, Failed)
    assert event.error.status == status


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"choices":null,"error":null}',
        b'{"type":"ping"}',
        b'{"choices":[],"prompt_filter_results":[]}',
    ],
)
def test_chunks_that_say_nothing_are_skipped(data: bytes) -> None:
    assert openai.stream_reader().read(b"", data) == []


def test_usage_may_come_with_every_chunk_and_first() -> None:
    data = b'{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}}'
    events = openai.stream_reader().read(b"", data)
    assert events == [Started(id="c"), UsageSeen(Usage(input_tokens=1, total_tokens=1))]


def test_usage_that_is_none_is_skipped() -> None:
    assert openai.stream_reader().read(b"", b'{"choices":[{"delta":{"content":"a"}}],"usage":"soon"}') == [
        Started(),
        TextDelta("a"),
    ]


def test_an_end_without_a_reason_for_every_choice_is_no_end() -> None:
    reader = openai.stream_reader()
    reader.read(b"", chunk({"content": "a"}, finish_reason="stop"))
    reader.read(b"", chunk({"content": "b"}, index=1))
    assert (reader.close(), reader.is_finished) == ([], False)
    assert openai.stream_reader().is_finished is False


def test_signed_reasoning_beyond_the_bound_is_shown_but_cannot_go_back() -> None:
    reader = openai.stream_reader()
    detail = {"type": "reasoning.text", "text": "x" * (MAX_SIGNED_BYTES // 2), "index": 0}
    events = [event for _ in range(3) for event in reader.read(b"", chunk({"reasoning_details": [detail]}))]
    (sealed,) = [event for event in reader.read(b"", chunk({"content": "a"})) if isinstance(event, ThinkingSealed)]
    assert sum(isinstance(event, ThinkingDelta) for event in events) == 3
    assert sealed.seal.text == "reasoning_details"


def test_reasoning_at_the_very_end_is_sealed_before_it() -> None:
    reader = openai.stream_reader()
    events = reader.read(b"", chunk({"reasoning": "a"}, finish_reason="length"))
    assert [type(event) for event in events] == [Started, ThinkingDelta, ThinkingSealed, Finished]


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 300), st.binary(max_size=3))
def test_whatever_comes_is_events_or_a_broken_upstream(pieces: list[bytes], at: int, noise: bytes) -> None:
    good = chunk({"content": "a", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]})
    reader = openai.stream_reader()
    for data in (*pieces, good[:at] + noise + good[at:]):
        try:
            reader.read(b"", data)
        except UpstreamBroken:
            return
    reader.close()
