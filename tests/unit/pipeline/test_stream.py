from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.pipeline.stream import HOLD_SECONDS, MAX_HELD_BYTES, PROOF_SECONDS
from pointsman.routing.settings import Hedging, RoutingSettings
from pointsman.wire import operations as op

Make = Callable[..., Any]
EVENTS = b"text/event-stream"
ASKED: dict[str, Any] = {"model": "house", "messages": [], "stream": True}
ASKED_FOR_USAGE = ASKED | {"stream_options": {"include_usage": True}}
FIRST = b'data: {"id":"c1","model":"up-1","choices":[{"delta":{"content":"He"},"finish_reason":null}]}\n\n'
SECOND = b'data: {"id":"c1","model":"up-1","choices":[{"delta":{"content":"y"},"finish_reason":null}]}\n\n'
LAST = b'data: {"id":"c1","model":"up-1","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = (
    b'data: {"id":"c1","model":"up-1","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
)
DONE = b"data: [DONE]\n\n"
WHOLE = FIRST + SECOND + LAST + USAGE + DONE
ROLE = b'data: {"id":"c1","model":"up-1","choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
COMMENT = b": keep-alive\n\n"
ASKED_FOR_A_RUN: dict[str, Any] = {"model": "house", "input": "a", "stream": True}
CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"model":"up-1"}}\n\n'
WORD = b'data: {"type":"response.output_text.delta","delta":"He"}\n\n'
COMPLETED = b'data: {"type":"response.completed","response":{"model":"up-1","output":[]}}\n\n'


def public(*events: bytes) -> bytes:
    return b"".join(events).replace(b"up-1", b"house")


def error_of(event: bytes) -> Any:
    """What the last event says went wrong."""
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    return msgspec.json.decode(event[6:])["error"]


def begin(rig: Any, body: dict[str, Any] = ASKED) -> asyncio.Task[Any]:
    """A request whose answer's pieces the test feeds."""
    rig.upstream.script(kind=EVENTS, is_whole=False)
    return asyncio.create_task(rig.ask(body))


@pytest.mark.parametrize("size", [1, 2, 7, 100, len(WHOLE)])
async def test_a_stream_gets_the_public_name_however_it_is_cut(rig: Any, size: int) -> None:
    rig.upstream.script(*(WHOLE[i : i + size] for i in range(0, len(WHOLE), size)), kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert reply.body == public(FIRST, SECOND, LAST, DONE)
    assert (reply.status, reply.is_finished, reply.is_cut) == (200, True, False)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-litellm-model-id"] == "house-id"


async def test_usage_is_counted_but_told_only_to_who_asked(rig: Any) -> None:
    rig.upstream.script(WHOLE, kind=EVENTS)
    reply = await rig.ask(ASKED_FOR_USAGE)
    assert reply.body == public(WHOLE)
    reply = await rig.ask(ASKED)
    assert b"usage" not in reply.body
    assert (rig.meter.input_tokens, rig.meter.output_tokens) == (6, 4)
    assert rig.meter.spend_usd == pytest.approx(2 * (3 * 0.001 + 2 * 0.002))


async def test_each_piece_is_written_when_it_arrives_and_the_head_with_the_first(rig: Any) -> None:
    task = begin(rig)
    await asyncio.sleep(0)
    assert not rig.downstream.is_started
    rig.clock.now += 1.5
    rig.upstream.response.feed(FIRST)
    assert (rig.downstream.status, rig.downstream.body) == (200, public(FIRST))
    rig.clock.now += 1.0
    rig.upstream.response.feed(LAST + DONE)
    rig.upstream.response.finish()
    await task
    assert rig.downstream.body == public(FIRST, LAST, DONE)
    assert rig.meter.first_token.total == 1.5
    assert (rig.meter.total.total, rig.meter.upstream.total, rig.meter.overhead.total) == (2.75, 2.5, 0.25)


async def test_a_client_that_does_not_read_pauses_the_upstream(rig: Any) -> None:
    task = begin(rig)
    await asyncio.sleep(0)
    rig.upstream.response.feed(FIRST)
    rig.downstream.flow.pause()
    assert rig.upstream.calls == ["pause"]
    rig.downstream.flow.resume()
    assert rig.upstream.calls == ["pause", "resume"]
    rig.upstream.response.feed(DONE)
    rig.upstream.response.finish()
    await task


async def test_events_without_output_are_held_until_the_first_one_that_has_some(rig: Any) -> None:
    task = begin(rig)
    await asyncio.sleep(0)
    rig.upstream.response.feed(ROLE)
    rig.upstream.response.feed(COMMENT)
    assert not rig.downstream.is_started
    rig.upstream.response.feed(FIRST)
    assert rig.downstream.pieces == [public(ROLE) + COMMENT + public(FIRST)]
    rig.upstream.response.feed(SECOND)
    assert rig.downstream.pieces[1:] == [public(SECOND)]
    rig.upstream.response.feed(LAST + DONE)
    rig.upstream.response.finish()
    await task


async def test_the_first_output_is_a_sign_of_life_of_its_deployment(rig: Any) -> None:
    task, member = begin(rig), rig.groups.members["house-id"]
    await asyncio.sleep(0)
    rig.upstream.response.feed(ROLE)
    assert (member.unanswered, member.usual) == (1, 0.0)
    rig.clock.now += 0.5
    rig.upstream.response.feed(FIRST)
    assert (member.unanswered, member.usual) == (0, 0.5)
    rig.upstream.response.feed(LAST + DONE)
    rig.upstream.response.finish()
    await task


@pytest.mark.parametrize(
    "output",
    [
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n',
        b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n',
        b'data: {"choices":[{"delta":{"refusal":"No"}}]}\n\n',
        b'data: {"choices":[{"delta":{"audio":{"id":"a"}}}]}\n\n',
    ],
)
async def test_output_need_not_be_text(rig: Any, output: bytes) -> None:
    task = begin(rig)
    await asyncio.sleep(0)
    rig.upstream.response.feed(output)
    assert rig.downstream.body == output
    rig.upstream.response.feed(LAST + DONE)
    rig.upstream.response.finish()
    await task


FAILURES: list[tuple[bytes, dict[str, Any], type[GatewayError], int]] = [
    (b'data: {"error":{"message":"full","code":429}}\n\n', {}, UpstreamRejected, 429),
    (b"", {}, UpstreamBroken, 502),
    (b'data: {"id"', {}, UpstreamBroken, 502),
    (b'data: {"id"\n\n', {}, UpstreamBroken, 502),
    (b"data: <html>\n\n", {}, UpstreamBroken, 502),
    (b"", {"then": UpstreamTimeout()}, UpstreamTimeout, 504),
    (b"", {"then": UpstreamBroken("reset")}, UpstreamBroken, 502),
]
FAILED_EARLY = [
    ([*before, piece], end, error, status)
    for before in ([], [ROLE], [COMMENT, ROLE])
    for piece, end, error, status in FAILURES
] + [
    ([DONE], {}, UpstreamBroken, 502),
    ([COMMENT], {}, UpstreamBroken, 502),
    ([b"data: {not json}\n\n", WHOLE], {}, UpstreamBroken, 502),
]


@pytest.mark.parametrize(("pieces", "end", "error", "status"), FAILED_EARLY)
async def test_a_stream_that_fails_before_its_first_output_keeps_its_status(
    rig: Any, pieces: list[bytes], end: dict[str, Any], error: type[GatewayError], status: int
) -> None:
    rig.upstream.script(*pieces, kind=EVENTS, **end)
    with pytest.raises(error) as raised:
        await rig.ask(ASKED)
    assert raised.value.status == status
    assert not rig.downstream.is_started
    assert (rig.meter.statuses, rig.meter.failures) == ({status: 1}, {error.__name__: 1})


@pytest.mark.parametrize(("pieces", "end", "error", "status"), FAILED_EARLY)
async def test_another_deployment_answers_when_a_stream_fails_before_its_first_output(
    make_rig: Make, deployment: Make, pieces: list[bytes], end: Any, error: Any, status: int
) -> None:
    rig = make_rig(deployment(id="a"), deployment(id="b"), routing=RoutingSettings())
    rig.upstreams["a"].script(*pieces, kind=EVENTS, **end)
    rig.upstreams["b"].script(WHOLE, kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert reply.body == public(FIRST, SECOND, LAST, DONE)
    assert (reply.status, reply.headers["x-litellm-model-id"]) == (200, "b")


async def test_a_model_may_have_nothing_to_say(rig: Any) -> None:
    rig.upstream.script(ROLE, LAST, DONE, kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert (reply.body, reply.is_finished) == (public(ROLE, LAST, DONE), True)
    assert rig.meter.failures == {}


async def test_a_run_may_end_without_output(rig: Any) -> None:
    rig.upstream.script(CREATED, COMPLETED, kind=EVENTS)
    reply = await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert reply.body == public(CREATED, COMPLETED)


async def test_a_great_deal_without_output_is_not_held(rig: Any) -> None:
    task = begin(rig, ASKED)
    await asyncio.sleep(0)
    much = b": %b\n\n" % (b"x" * MAX_HELD_BYTES)
    rig.upstream.response.feed(much)
    assert rig.downstream.body == much
    rig.upstream.response.fail(UpstreamBroken("cut"))
    reply = await task
    assert error_of(reply.pieces[-1])["message"] == "cut"


@pytest.mark.parametrize(
    ("then", "status", "code"),
    [(UpstreamTimeout(), 504, "upstream_timeout"), (UpstreamBroken("cut"), 502, "upstream_broken")],
)
async def test_a_stream_that_fails_later_ends_in_an_error_event(
    rig: Any, then: GatewayError, status: int, code: str
) -> None:
    rig.upstream.script(FIRST, kind=EVENTS, then=then)
    reply = await rig.ask(ASKED)
    assert reply.pieces[0] == public(FIRST)
    assert error_of(reply.pieces[-1]) == {"message": then.message, "type": then.kind, "param": None, "code": code}
    assert reply.is_finished
    assert DONE not in reply.body
    assert (rig.meter.statuses, rig.meter.failures) == ({status: 1}, {type(then).__name__: 1})


async def test_an_event_that_is_broken_after_the_first_output_ends_the_stream_in_an_error(rig: Any) -> None:
    rig.upstream.script(FIRST, SECOND[:-4] + b"\n\n", DONE, kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert reply.pieces[0] == public(FIRST)
    assert error_of(reply.pieces[-1])["code"] == "upstream_broken"
    assert len(reply.pieces) == 2


@pytest.mark.parametrize("then", [UpstreamTimeout(), UpstreamBroken("reset")])
async def test_a_stream_that_has_said_all_is_whole_however_its_connection_ends(rig: Any, then: GatewayError) -> None:
    rig.upstream.script(WHOLE, kind=EVENTS, then=then)
    reply = await rig.ask(ASKED)
    assert (reply.body, reply.is_finished) == (public(FIRST, SECOND, LAST, DONE), True)
    assert (rig.meter.statuses, rig.meter.failures) == ({200: 1}, {})


async def test_a_stream_without_an_end_was_cut_off(rig: Any) -> None:
    rig.upstream.script(FIRST, kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert "cut off" in error_of(reply.pieces[-1])["message"]
    assert rig.meter.failures == {"UpstreamBroken": 1}


async def test_a_stream_that_ended_and_did_not_mark_it_is_marked(rig: Any) -> None:
    rig.upstream.script(FIRST + LAST, kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert reply.body == public(FIRST, LAST, DONE)
    assert rig.meter.failures == {}


async def test_the_last_event_may_lack_its_blank_line(rig: Any) -> None:
    rig.upstream.script(FIRST + DONE[:-2], kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert reply.body == public(FIRST, DONE)


async def test_an_error_event_of_the_upstream_is_replaced_by_ours_without_its_secrets(rig: Any) -> None:
    bad = b'data: {"error":{"message":"key sk-upstream-canary-93ab at http://up.test/v1","code":503}}\n\n'
    rig.upstream.script(FIRST, bad, SECOND, kind=EVENTS, is_whole=False)
    reply = await rig.ask(ASKED)
    error = error_of(reply.pieces[-1])
    assert error["message"].startswith("key ")
    assert b"canary" not in reply.body
    assert b"up.test" not in reply.body
    assert public(SECOND) not in reply.body
    assert rig.upstream.calls == ["abort"]
    assert (rig.meter.statuses, rig.meter.failures) == ({503: 1}, {"UpstreamRejected": 1})


async def test_what_came_with_an_error_event_in_one_piece_is_told_before_it(rig: Any) -> None:
    rig.upstream.script(FIRST + b'data: {"error":{"message":"full","code":429}}\n\n', kind=EVENTS)
    reply = await rig.ask(ASKED)
    assert reply.pieces[0] == public(FIRST)
    assert error_of(reply.pieces[1])["message"] == "full"
    assert rig.meter.statuses == {429: 1}


@pytest.mark.parametrize("error", [b"null", b'{"code":"server_error"}'])
async def test_a_failed_run_need_not_say_why(rig: Any, error: bytes) -> None:
    event = b'data: {"type":"response.failed","response":{"model":"up-1","error":%b}}\n\n' % error
    rig.upstream.script(WORD, event, kind=EVENTS)
    reply = await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert reply.body == WORD + public(event)
    rig.upstream.script(event, kind=EVENTS)
    with pytest.raises(UpstreamRejected) as raised:
        await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert raised.value.status == 502


FAILED_RUN = (
    b'event: response.failed\ndata: {"type":"response.failed","response":{"model":"up-1","status":"failed",'
    b'"error":{"code":"server_error","message":"key sk-upstream-canary-93ab"}}}\n\n'
)


async def test_a_run_that_fails_after_its_first_output_is_an_answer_without_its_secrets(rig: Any) -> None:
    rig.upstream.script(WORD, FAILED_RUN, kind=EVENTS)
    reply = await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert reply.body.count(b"event: ") == 1
    assert b'"model":"house"' in reply.body
    assert b'"code":"server_error"' in reply.body
    assert b"canary" not in reply.body
    assert rig.meter.statuses == {200: 1}


async def test_a_run_that_fails_before_its_first_output_is_a_failure_that_another_attempt_can_follow(rig: Any) -> None:
    rig.upstream.script(CREATED, FAILED_RUN, kind=EVENTS)
    with pytest.raises(UpstreamRejected) as raised:
        await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert (raised.value.code, raised.value.message) == ("server_error", "key [key]")
    assert not rig.downstream.is_started


@pytest.mark.parametrize("kind", [b"response.failed", b"response.fa\\u0069led", b"response.output_text.delta"])
async def test_no_event_of_any_shape_quotes_our_credential(rig: Any, kind: bytes) -> None:
    event = b'data: {"type":"%b","response":{"error":{"message":"key sk-upstream-canary-93ab"}}}\n\n' % kind
    rig.upstream.script(WORD, event + event, event, kind=EVENTS)
    reply = await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert reply.body.count(b"data: ") >= 2
    assert b"canary" not in reply.body


async def test_a_failed_run_over_two_lines_keeps_no_secret(rig: Any) -> None:
    event = (
        b'event: response.failed\ndata: {"type":"response.failed",\n'
        b'data: "response":{"error":{"message":"at http://up.test/v1"}}}\n\n'
    )
    rig.upstream.script(WORD, event, kind=EVENTS)
    reply = await rig.ask(ASKED_FOR_A_RUN, op.RESPONSES)
    assert reply.body.startswith(WORD + b"event: response.failed\ndata: {")
    assert b"up.test" not in reply.body


async def test_a_stream_of_pictures_has_large_events_and_needs_no_end_mark(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment())
    picture = b'event: image_generation.partial_image\ndata: {"b64_json":"%b"}\n\n' % (b"A" * (2 << 20))
    rig.upstream.script(picture[: 3 << 19], picture[3 << 19 :], kind=EVENTS)
    reply = await rig.ask({"model": "house", "prompt": "a", "stream": True}, op.IMAGE_GENERATION)
    assert reply.body == picture
    assert rig.meter.failures == {}


async def test_an_event_of_a_chat_that_never_ends_is_not_held_for_ever(rig: Any) -> None:
    rig.upstream.script(b'data: {"a":"' + b"A" * (2 << 20), kind=EVENTS, is_whole=False)
    with pytest.raises(UpstreamBroken, match="too long"):
        await rig.ask(ASKED)
    assert rig.upstream.calls[-1] == "abort"


async def test_a_stream_that_does_not_tell_its_usage_is_estimated(rig: Any) -> None:
    rig.upstream.script(FIRST.replace(b"He", b"x" * 360) + LAST + DONE, kind=EVENTS)
    await rig.ask(ASKED | {"user": "u" * 360})
    assert rig.meter.output_tokens == 100
    assert 100 < rig.meter.input_tokens < 150
    assert rig.meter.spend_usd > 0


async def test_a_client_that_leaves_a_stream_is_charged_for_what_it_got(rig: Any) -> None:
    task = begin(rig)
    await asyncio.sleep(0)
    rig.upstream.response.feed(FIRST.replace(b"He", b"x" * 36))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.upstream.calls == ["abort"]
    assert rig.downstream.is_settled
    assert not rig.downstream.is_finished
    assert (rig.meter.statuses, rig.meter.output_tokens) == ({200: 1}, 10)


async def test_bytes_that_are_no_events_pass_as_they_are(rig: Any) -> None:
    rig.upstream.script(b"\x00up-1", b"\xff", kind=None)
    reply = await rig.ask({"model": "house", "input": "a"}, op.SPEECH)
    assert (reply.body, reply.length, reply.is_finished) == (b"\x00up-1\xff", None, True)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert rig.downstream.flow is rig.upstream.response


async def test_the_time_to_the_first_bytes_is_the_upstreams(rig: Any) -> None:
    rig.upstream.script(kind=b"audio/mpeg", is_whole=False)
    task = asyncio.create_task(rig.ask({"model": "house", "input": "a"}, op.SPEECH))
    await asyncio.sleep(0)
    rig.clock.now += 1.5
    rig.upstream.response.feed(b"\x00")
    assert rig.downstream.headers["x-litellm-overhead-duration-ms"] == "250.000"
    rig.upstream.response.finish()
    await task


async def test_bytes_that_break_off_cut_the_connection_because_they_have_no_error_event(rig: Any) -> None:
    rig.upstream.script(b"\x00", kind=b"audio/mpeg", then=UpstreamBroken())
    reply = await rig.ask({"model": "house", "input": "a"}, op.SPEECH)
    assert (reply.body, reply.is_cut, reply.is_finished) == (b"\x00", True, False)
    assert (rig.meter.statuses, rig.meter.failures) == ({502: 1}, {"UpstreamBroken": 1})


# What the clock says.


def beginning(rig: Any, name: str, *pieces: bytes) -> asyncio.Task[Any]:
    """A request whose answer by the deployment ``name`` has begun with ``pieces`` and goes on as the test says."""
    rig.upstreams[name].script(*pieces, kind=EVENTS, is_whole=False)
    return asyncio.create_task(rig.ask(ASKED))


@pytest.fixture
def pair(make_rig: Make, deployment: Make) -> Callable[..., Any]:
    """A rig of two deployments, of which ``b`` answers well."""

    def make(**values: Any) -> Any:
        rig = make_rig(deployment(id="a", **values), deployment(id="b"), routing=RoutingSettings())
        rig.upstreams["b"].script(WHOLE, kind=EVENTS)
        return rig

    return make


@pytest.mark.parametrize("pieces", [(), (ROLE,), (COMMENT,)])
async def test_a_stream_without_output_in_time_is_given_to_another_deployment(
    pair: Make, pieces: tuple[bytes, ...]
) -> None:
    rig = pair(stream_timeout=5.0)
    task = beginning(rig, "a", *pieces)
    await asyncio.sleep(0)
    rig.clock.now += 5.0
    rig.sweeper.sweep()
    assert rig.upstreams["a"].calls == []
    rig.clock.now += 0.1
    rig.sweeper.sweep()
    reply = await task
    assert reply.body == public(FIRST, SECOND, LAST, DONE)
    assert rig.upstreams["a"].calls == ["abort"]
    assert reply.headers["x-litellm-model-id"] == "b"
    assert rig.sweeper.members == []


async def test_output_in_time_ends_the_watch(pair: Make) -> None:
    rig = pair(stream_timeout=5.0)
    task = beginning(rig, "a", FIRST)
    await asyncio.sleep(0)
    rig.clock.now += 1000.0
    rig.sweeper.sweep()
    rig.upstreams["a"].response.feed(LAST + DONE)
    rig.upstreams["a"].response.finish()
    assert (await task).body == public(FIRST, LAST, DONE)


async def test_what_keeps_a_connection_alive_goes_on_after_a_while_and_a_failure_is_an_event_then(pair: Make) -> None:
    rig = pair()
    task = beginning(rig, "a", COMMENT)
    await asyncio.sleep(0)
    rig.clock.now += HOLD_SECONDS
    rig.sweeper.sweep()
    assert not rig.downstream.is_started
    rig.clock.now += 0.1
    rig.sweeper.sweep()
    assert rig.downstream.body == COMMENT
    rig.upstreams["a"].response.fail(UpstreamBroken("cut"))
    reply = await task
    assert error_of(reply.pieces[-1])["message"] == "cut"
    assert rig.upstreams["b"].sent == []


async def test_silence_is_not_let_through(pair: Make) -> None:
    rig = pair()
    task = beginning(rig, "a")
    await asyncio.sleep(0)
    rig.clock.now += HOLD_SECONDS + 1
    rig.sweeper.sweep()
    assert not rig.downstream.is_started
    rig.upstreams["a"].response.fail(UpstreamBroken("cut"))
    assert (await task).headers["x-litellm-model-id"] == "b"


def said(text: str) -> bytes:
    return FIRST.replace(b"He", text.encode())


async def test_output_is_held_until_it_has_proven_to_be_quick_enough(pair: Make) -> None:
    rig = pair(min_chars_per_second=10.0)
    task = beginning(rig, "a", said("12345"))
    await asyncio.sleep(0)
    assert not rig.downstream.is_started
    rig.clock.now += PROOF_SECONDS
    rig.sweeper.sweep()
    rig.upstreams["a"].response.feed(said("67890"))
    assert rig.downstream.body == public(said("12345"), said("67890"))
    rig.upstreams["a"].response.feed(LAST + DONE)
    rig.upstreams["a"].response.finish()
    await task
    assert rig.meter.first_token.total == 0.0


async def test_a_stream_that_is_too_slow_is_given_to_another_deployment(pair: Make) -> None:
    rig = pair(min_chars_per_second=10.0)
    task = beginning(rig, "a", said("12345"))
    await asyncio.sleep(0)
    rig.clock.now += PROOF_SECONDS + 0.1
    rig.upstreams["a"].response.feed(said("67890"))
    assert not rig.downstream.is_started
    rig.sweeper.sweep()
    reply = await task
    assert reply.body == public(FIRST, SECOND, LAST, DONE)
    assert reply.headers["x-litellm-model-id"] == "b"


async def test_a_short_answer_need_not_prove_anything(pair: Make) -> None:
    rig = pair(min_chars_per_second=10.0)
    task = beginning(rig, "a", FIRST, LAST, DONE)
    await asyncio.sleep(0)
    assert rig.downstream.body == public(FIRST, LAST, DONE)
    rig.upstreams["a"].response.finish()
    await task
    assert rig.upstreams["b"].sent == []


async def test_of_two_streams_that_have_both_said_nothing_one_is_let_through_and_the_sweep_goes_on(
    make_rig: Make, deployment: Make
) -> None:
    routing = RoutingSettings(hedging={"*": Hedging(delay=0.0)})
    rig = make_rig(deployment(id="a"), deployment(id="b"), routing=routing)
    for upstream in rig.upstreams.values():
        upstream.script(COMMENT, kind=EVENTS, is_whole=False)
    task = asyncio.create_task(rig.ask(ASKED))
    await rig.turns()
    assert len(rig.sweeper.members) == 2
    rig.clock.now += HOLD_SECONDS + 1
    rig.sweeper.sweep()
    assert rig.downstream.body == COMMENT
    await rig.turns()
    assert rig.upstreams["b"].calls == ["abort"]
    rig.upstreams["a"].response.feed(WHOLE)
    rig.upstreams["a"].response.finish()
    reply = await task
    assert reply.body == COMMENT + public(FIRST, SECOND, LAST, DONE)
