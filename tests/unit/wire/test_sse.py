from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import UpstreamBroken
from pointsman.wire.sse import SseRelay, error_event, is_sound
from pointsman.wire.usage import Usage

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def event(value: Any, *, name: str | None = None, is_spaced: bool = False) -> bytes:
    separators = None if is_spaced else (",", ":")
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, separators=separators)}\n\n".encode()


def chunk(content: str | None, model: str = "upstream-1", **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "c", "model": model, "choices": [{"index": 0, "delta": delta}], **more}


def relay_all(relay: SseRelay, pieces: Iterable[bytes]) -> bytes:
    return b"".join([relay.feed(piece) for piece in pieces]) + relay.close()


def state(relay: SseRelay) -> tuple[object, ...]:
    return (
        relay.usage,
        relay.chunks,
        relay.output_bytes,
        relay.has_output,
        relay.is_finished,
        relay.error_body,
    )


def one_by_one(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


CHAT = b"".join(
    (
        event({"id": "", "model": "", "choices": [], "prompt_filter_results": []}),
        b": keep-alive\n\n",
        event(chunk("", usage=None)),
        event(chunk('say "model":"upstream-1"\n\n', usage=None), is_spaced=True),
        event(chunk("data: [DONE] \\ usage é", usage=None)),
        event({"model": "upstream-1", "choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"a"'}}]}}]}),
        event(chunk(None, usage=None)),
        event({"id": "c", "model": "upstream-1", "choices": [], "usage": USAGE}),
        DONE,
    )
)  # fmt: skip

RESPONSE_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("created", {"response": {"model": "upstream-1", "error": None, "tools": [{"model": "image-1"}]}}),
    ("output_text.delta", {"delta": "Hel"}),
    ("output_text.delta", {"delta": "lo"}),
    ("output_text.done", {"text": "Hello"}),
    ("completed", {"response": {"model": "upstream-1", "usage": {"input_tokens": 4, "output_tokens": 2}}}),
]
RESPONSES = b"".join(
    event({"type": f"response.{kind}", "sequence_number": number, **more}, name=f"response.{kind}")
    for number, (kind, more) in enumerate(RESPONSE_EVENTS)
)


def events_of(stream: bytes) -> list[Any]:
    text = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode()
    datas = [
        "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        for block in text.split("\n\n")
    ]
    return [data if data == "[DONE]" else json.loads(data) for data in datas if data]


def test_a_whole_event_goes_on_at_once_with_the_public_name() -> None:
    relay = SseRelay("public")
    for content in ("a", "b"):
        assert relay.feed(event(chunk(content))) == event(chunk(content, model="public"))
    assert (relay.chunks, relay.output_bytes, relay.is_finished) == (2, 2, False)


def test_without_a_public_name_the_stream_stays_byte_for_byte() -> None:
    assert relay_all(SseRelay(), [CHAT]) == CHAT
    assert relay_all(SseRelay(), one_by_one(RESPONSES)) == RESPONSES


def test_only_the_model_changes_in_a_chat_stream() -> None:
    relay = SseRelay("public")
    sent = events_of(relay_all(relay, [CHAT]))
    wanted = [e if e == "[DONE]" else {**e, "model": "public"} for e in events_of(CHAT)]
    assert sent == wanted
    assert relay.usage == Usage(input_tokens=3, output_tokens=2, total_tokens=5)
    assert relay.is_finished
    assert relay.chunks == 7


def test_the_model_of_a_response_inside_an_event_is_rewritten_and_that_of_its_tools_is_not() -> None:
    relay = SseRelay("public")
    sent = relay_all(relay, [RESPONSES])
    assert sent == RESPONSES.replace(b'"model":"upstream-1"', b'"model":"public"')
    assert relay.is_finished
    assert relay.usage == Usage(input_tokens=4, output_tokens=2, total_tokens=6)
    assert relay.output_bytes == 5


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("stream", [CHAT, RESPONSES])
@pytest.mark.parametrize("is_marked", [False, True])
def test_pieces_of_every_size_give_the_same_stream(stream: bytes, line_end: bytes, is_marked: bool) -> None:
    stream = (b"\xef\xbb\xbf" if is_marked else b"") + stream.replace(b"\n", line_end)
    whole = SseRelay("public", strip_usage=True)
    wanted = relay_all(whole, [stream])
    assert wanted.startswith(b"\xef\xbb\xbf") == is_marked
    for size in (1, 2, 3, 7, 50, 333):
        relay = SseRelay("public", strip_usage=True)
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert relay_all(relay, pieces) == wanted
        assert state(relay) == state(whole)


@given(st.lists(st.integers(0, len(CHAT)), max_size=6), st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_cuts_anywhere_give_the_same_stream(cuts: list[int], is_stripping: bool, line_end: str) -> None:
    stream = CHAT.replace(b"\n", line_end.encode())
    whole = SseRelay("public", strip_usage=is_stripping)
    wanted = relay_all(whole, [stream])
    relay = SseRelay("public", strip_usage=is_stripping)
    ends = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(ends)]
    assert relay_all(relay, pieces) == wanted
    assert state(relay) == state(whole)


def test_no_byte_of_an_unfinished_event_goes_on() -> None:
    relay = SseRelay("public")
    whole = event(chunk("a"))
    assert relay.feed(whole + whole[:20]) == event(chunk("a", model="public"))
    assert relay.feed(whole[20:-1]) == b""
    assert relay.feed(b"\n") == event(chunk("a", model="public"))


def test_the_line_feed_of_a_split_boundary_follows_at_once() -> None:
    relay = SseRelay()
    stream = b"data: {}\r\n\r\n"
    assert [relay.feed(piece) for piece in (stream[:-1], stream[-1:], stream)] == [stream[:-1], b"\n", stream]


def test_a_chunk_with_usage_only_is_dropped_when_it_was_not_asked_for() -> None:
    last = event({"model": "upstream-1", "choices": [], "usage": USAGE}, is_spaced=True)
    both = event(chunk("x", usage=USAGE))
    relay = SseRelay(strip_usage=True)
    assert relay.feed(event(chunk("a", usage=None)) + both + last + DONE) == event(chunk("a", usage=None)) + both + DONE
    assert relay.usage == Usage(input_tokens=3, output_tokens=2, total_tokens=5)
    assert SseRelay().feed(last) == last


def test_events_without_choices_but_without_usage_stay() -> None:
    first = event({"choices": [], "prompt_filter_results": [{"usage": "x"}], "usage": None})
    assert SseRelay(strip_usage=True).feed(first) == first


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "m", "code": "c"}},
        {"error": "text"},
        {"type": "error", "code": "server_error", "message": "m"},
    ],
)
def test_an_error_event_is_noticed_and_sent_on_or_withheld(error: dict[str, Any]) -> None:
    stream = event(chunk("a")) + event(error)
    relay = SseRelay()
    assert relay_all(relay, [stream]) == stream
    assert relay.has_error
    assert json.loads(relay.error_body or b"") == error
    assert not relay.is_finished
    withholding = SseRelay(withhold_errors=True)
    assert relay_all(withholding, [stream]) == event(chunk("a"))
    assert withholding.error_body == relay.error_body


def test_a_failed_response_is_an_error_and_an_end_and_goes_on() -> None:
    failed = event({"type": "response.failed", "response": {"model": "up", "error": {"code": "x"}}})
    relay = SseRelay("public", withhold_errors=True)
    assert relay.feed(failed) == b"" + failed.replace(b'"up"', b'"public"')
    assert relay.has_error
    assert relay.is_finished


def test_an_empty_error_member_is_no_error() -> None:
    relay = SseRelay(withhold_errors=True)
    stream = event(chunk("a", error=None)) + event(chunk('{"error": 1}'))
    assert relay_all(relay, [stream]) == stream
    assert not relay.has_error


@pytest.mark.parametrize(
    "kind",
    [
        "response.completed",
        "response.incomplete",
        "response.failed",
        "transcript.text.done",
        "speech.audio.done",
        "image_generation.completed",
        "image_edit.completed",
    ],
)
def test_the_last_event_of_each_api_ends_the_stream_properly(kind: str) -> None:
    relay = SseRelay()
    relay.feed(event({"type": kind.rpartition(".")[0] + ".other"}))
    assert not relay.is_finished
    relay.feed(event({"type": kind}))
    assert relay.is_finished


def test_text_about_the_end_does_not_end_the_stream() -> None:
    relay = SseRelay()
    relay.feed(event(chunk("data: [DONE]\n\n")))
    relay.feed(event(chunk('{"type":"response.completed"}')))
    assert not relay.is_finished


def test_a_last_event_without_its_blank_line_is_completed() -> None:
    for ending in (b"", b"\n", b"\r\n"):
        relay = SseRelay("public")
        assert relay.feed(event(chunk("a")).rstrip() + ending) == b""
        assert relay.close() == event(chunk("a", model="public"))
        assert relay.chunks == 1
    relay = SseRelay()
    relay.feed(b"data: [DONE]")
    assert relay.close() == DONE
    assert relay.is_finished


def test_half_an_event_is_dropped_at_the_end() -> None:
    for half in (b'data: {"a":', b"event: x", b"dat", b"data: [DO", b": ping"):
        relay = SseRelay()
        relay.feed(event(chunk("a")) + half)
        assert relay.close() == b""
        assert not relay.is_finished


def test_data_over_several_lines_is_one_event() -> None:
    stream = b'id: 1\ndata: {"model":\ndata: "up",\nretry: 5\ndata:"choices":[],"usage":{"total_tokens":4}}\n\n'
    relay = SseRelay("public")
    wanted = stream.replace(b'"up"', b'"public"')
    assert relay_all(relay, [stream]) == wanted
    assert relay_all(SseRelay(strip_usage=True), [stream]) == b""


def test_an_event_beyond_the_bound_breaks_the_stream() -> None:
    relay = SseRelay(max_event_bytes=100)
    relay.feed(b"data: " + b"x" * 90)
    with pytest.raises(UpstreamBroken):
        relay.feed(b"x" * 20)
    assert SseRelay(max_event_bytes=100).feed((b"data: " + b"x" * 80 + b"\n\n") * 3)


@pytest.mark.parametrize(
    ("value", "has_output"),
    [
        (chunk(""), False),
        (chunk(None), False),
        (chunk("a"), True),
        ({"choices": [{"text": "a"}]}, True),
        ({"choices": [{"delta": {"reasoning_content": "hm"}}]}, True),
        ({"choices": [{"delta": {"content": "", "reasoning": "hm"}}]}, True),
        ({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}}]}, True),
        ({"type": "response.output_text.delta", "delta": "a"}, True),
        ({"type": "response.created", "response": {"instructions": "x", "text": {}}}, False),
        ({"type": "image_generation.partial_image", "b64_json": "x"}, True),
    ],
)
def test_the_first_token_is_noticed(value: dict[str, Any], has_output: bool) -> None:
    relay = SseRelay()
    relay.feed(event(value))
    assert relay.has_output is has_output


def test_a_model_that_changes_in_the_middle_is_still_rewritten() -> None:
    relay = SseRelay("public")
    stream = b"".join(event(chunk("a", model=model)) for model in ("", "x", "x", "y", "x", 'q"'))
    assert relay_all(relay, [stream]) == event(chunk("a", model="public")) * 6


FRAGMENTS = (b"\n", b"\r", b"data: ", b'"model"', b'{"error":', b'"usage":{', b'"type":"response.')


@given(st.lists(st.binary(max_size=30) | st.sampled_from(FRAGMENTS), max_size=12))
def test_no_bytes_whatever_break_the_relay(pieces: list[bytes]) -> None:
    relay_all(SseRelay("public", strip_usage=True, withhold_errors=True), pieces)


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b":c", b"\n\n"]), max_size=12))
def test_whole_events_of_any_line_ends_lose_no_byte(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    relay = SseRelay()
    sent = b"".join(relay.feed(piece) for piece in one_by_one(stream))
    assert stream.startswith(sent)
    assert b"\n\n" not in stream[max(0, len(sent) - 1) :].removeprefix(b"\n") or stream.endswith(b"\r")


def test_an_error_event_is_one_event_whatever_its_body() -> None:
    assert error_event(b'{"error":{}}') == b'data: {"error":{}}\n\n'
    assert events_of(error_event(b'{"error":\n\n{}}')) == [{"error": {}}]


@pytest.mark.parametrize(
    "block",
    [
        b'data: {"a":1}\n\n',
        b'data: {"a":1}\n\ndata: {"a":2}\n\ndata: [DONE]\n\n',
        b": a comment\n\n",
        b'event: x\ndata: {"a":\ndata: 1}\n\n',
        b'data:{"a":1}\r\n\r\ndata: [DONE]\r\n\r\n',
        b"event: ping\n\n",
    ],
)
def test_events_of_json_the_end_mark_and_comments_are_sound(block: bytes) -> None:
    assert is_sound(block)


@pytest.mark.parametrize(
    "bad",
    [b'data: {"a":1\n\n', b'data: {"a":1}}\n\n', b"data: hello\n\n", b"data: [1]\n\n", b'data: {"a":1}\ndata: x\n\n'],
)
def test_an_event_that_is_not_an_object_is_found_wherever_it_stands(bad: bytes) -> None:
    good = b'data: {"a":1}\n\n'
    for block in (bad, good + bad, bad + good, good + bad + good, (good + bad).replace(b"\n", b"\r\n")):
        assert not is_sound(block)
