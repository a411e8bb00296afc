from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from unit.pipeline.conftest import CHAT, DONE, ERROR, FORM, FORM_TYPE, MESSAGES

from pointsman.errors import (
    GatewayError,
    Overloaded,
    UpstreamBroken,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.pipeline.upload import Upload
from pointsman.routing.settings import RoutingSettings
from pointsman.wire import operations as op

Make = Callable[..., Any]
TOO_LONG = b'{"error":{"message":"m","code":"context_length_exceeded"}}'
REFUSED = b'{"error":{"message":"m","code":"content_policy_violation"}}'
EVENTS = b"text/event-stream"
WORD = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'


@pytest.mark.parametrize(
    ("script", "error", "status"),
    [
        ({"status": 429, "body": b'{"error":{"message":"slow","code":"c","param":"p"}}'}, UpstreamRejected, 429),
        ({"status": 401, "body": b'{"error":{"message":"no"}}'}, UpstreamRejected, 401),
        ({"status": 500, "body": b"<html>"}, UpstreamRejected, 500),
        ({"status": 302, "body": b""}, UpstreamBroken, 502),
        ({"body": b'{"error":{"message":"inside","code":400}}'}, UpstreamRejected, 400),
        ({"body": b'{"error":"inside"}'}, UpstreamRejected, 502),
        ({"body": b"<html>", "kind": b"text/html"}, UpstreamBroken, 502),
        ({"body": b""}, UpstreamBroken, 502),
        ({"body": b"[]"}, UpstreamBroken, 502),
        ({"body": b'{"model":'}, UpstreamBroken, 502),
        ({"body": b'{"model":', "kind": None}, UpstreamBroken, 502),
        ({"body": b'{"a":', "then": UpstreamBroken("cut")}, UpstreamBroken, 502),
        ({"body": b'{"a":', "then": UpstreamTimeout()}, UpstreamTimeout, 504),
    ],
)
async def test_a_failed_answer_is_an_error_that_is_counted_with_the_deployment(
    rig: Any, script: dict[str, Any], error: type[GatewayError], status: int
) -> None:
    rig.upstream.script(script.pop("body"), **script)
    with pytest.raises(error) as raised:
        await rig.ask(CHAT)
    assert raised.value.status == status
    assert not rig.downstream.is_started
    assert rig.downstream.is_settled
    assert (rig.meter.statuses, rig.meter.failures, rig.meter.successes) == ({status: 1}, {error.__name__: 1}, 0)


async def test_an_upstream_that_cannot_be_reached_is_counted_too(rig: Any) -> None:
    rig.upstream.error = UpstreamUnreachable()
    with pytest.raises(UpstreamUnreachable):
        await rig.ask(CHAT)
    assert (rig.meter.statuses, rig.meter.failures) == ({502: 1}, {"UpstreamUnreachable": 1})


async def test_an_upstreams_error_loses_our_credential_and_its_address(rig: Any) -> None:
    text = b'{"error":{"message":"bad key sk-upstream-canary-93ab at http://up.test/v1/chat","type":"t","code":"c"}}'
    for status in (400, 200):
        rig.upstream.script(text, status=status)
        with pytest.raises(UpstreamRejected) as raised:
            await rig.ask(CHAT)
        assert "bad key" in raised.value.message
        assert "canary" not in raised.value.message
        assert "up.test" not in raised.value.message
        assert (raised.value.kind, raised.value.code) == ("t", "c")


async def test_an_answer_that_is_not_wanted_is_given_up(rig: Any) -> None:
    rig.upstream.script(b"<html>", kind=b"text/html", is_whole=False)
    with pytest.raises(UpstreamBroken):
        await rig.ask(CHAT)
    assert rig.upstream.calls == ["abort"]


async def test_a_caller_who_leaves_before_the_answer_takes_the_upstream_with_him(rig: Any) -> None:
    rig.upstream.script(b'{"id":', is_whole=False)
    task = asyncio.create_task(rig.ask(CHAT))
    await asyncio.sleep(0)
    assert rig.upstream.sent
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.upstream.calls == ["abort"]
    assert rig.downstream.is_settled
    assert (rig.meter.statuses, rig.meter.successes, rig.meter.failures) == ({499: 1}, 0, {})


def attempts(headers: dict[str, str]) -> tuple[int, int, int]:
    """Retries, retries allowed, fallbacks."""
    names = ("x-litellm-attempted-retries", "x-litellm-max-retries", "x-litellm-attempted-fallbacks")
    retries, allowed, fallbacks = (int(headers[name]) for name in names)
    return retries, allowed, fallbacks


# Retries.


@pytest.mark.parametrize(
    "script",
    [
        {"body": ERROR, "status": 500},
        {"body": ERROR, "status": 503},
        {"body": ERROR, "status": 529},
        {"body": ERROR, "status": 429, "headers": [(b"retry-after", b"3600")]},
        {"body": ERROR, "status": 408},
        {"body": ERROR, "status": 409},
        {"body": ERROR, "status": 401},
        {"body": ERROR, "status": 402},
        {"body": ERROR, "status": 403},
        {"body": ERROR, "status": 404},
        {"body": b"", "status": 302},
        {"body": b"<html>", "kind": b"text/html"},
        {"body": b""},
        {"body": b"{"},
        {"body": b"[]"},
        {"body": b"{}"},
        {"body": b'{"error":{"message":"inside","code":500}}'},
        {"body": b'{"a"', "then": UpstreamBroken()},
        {"body": b"", "then": UpstreamTimeout()},
        {"body": b"", "error": UpstreamUnreachable()},
        {"body": b"", "error": UpstreamTimeout()},
        {"body": b"", "error": UpstreamBroken()},
        {"body": b"", "error": Overloaded()},
    ],
)
async def test_a_failure_is_tried_again_on_another_deployment_and_the_client_sees_the_answer_only(
    pair: Any, script: dict[str, Any]
) -> None:
    pair.upstreams["a"].script(script.pop("body"), **script)
    reply = await pair.ask(CHAT)
    assert (reply.status, msgspec.json.decode(reply.body)["model"]) == (200, "house")
    assert pair.asked == {"a": 1, "b": 1}
    assert pair.upstreams["b"].sent[0].json == {"model": "up-2", "messages": MESSAGES}
    assert (reply.headers["x-litellm-model-id"], attempts(reply.headers)) == ("b", (1, 2, 0))
    assert (pair.meters("a").statuses, sum(pair.meters("a").attempt_failures.values())) == ({}, 1)
    assert (pair.meters("b").statuses, pair.meters("b").failures) == ({200: 1}, {})
    assert (pair.busy, reply.is_settled) == (0, True)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_the_requests_own_fault_is_told_at_once(pair: Any, status: int) -> None:
    pair.upstreams["a"].script(ERROR, status=status)
    with pytest.raises(UpstreamRejected) as raised:
        await pair.ask(CHAT)
    assert pair.asked == {"a": 1}
    assert attempts(dict(raised.value.headers)) == (0, 2, 0)
    assert pair.meters("a").statuses == {status: 1}


async def test_the_last_failure_is_told_when_nobody_is_left(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(id="a"), deployment(id="b"), routing=RoutingSettings(num_retries=1))
    rig.upstreams["a"].script(ERROR, status=500)
    rig.upstreams["b"].script(ERROR, status=503, headers=[(b"x-request-id", b"up-7")])
    with pytest.raises(UpstreamRejected) as raised:
        await rig.ask(CHAT)
    headers = dict(raised.value.headers)
    assert (raised.value.status, raised.value.kind, raised.value.code) == (503, "t", "c")
    assert (attempts(headers), headers["llm_provider-x-request-id"]) == ((1, 1, 0), "up-7")
    assert (rig.meters("a").statuses, rig.meters("b").statuses) == ({}, {503: 1})
    assert (rig.meters("a").attempt_failures, rig.meters("b").attempt_failures) == (
        {"UpstreamRejected": 1},
        {"UpstreamRejected": 1},
    )
    assert rig.busy == 0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept; nobody really does."""
    slept: list[float] = []
    turn = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
        await turn(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


@pytest.mark.parametrize(("headers", "pause"), [([], 0.25), ([(b"retry-after", b"3")], 3.0)])
async def test_the_only_deployment_is_asked_again_after_a_pause(
    make_rig: Make, deployment: Make, pauses: list[float], headers: Any, pause: float
) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings())
    rig.upstream.once(ERROR, status=503, headers=headers)
    reply = await rig.ask(CHAT)
    assert (reply.status, attempts(reply.headers)) == (200, (1, 2, 0))
    assert pauses == [pause]


async def test_a_client_that_leaves_in_a_pause_is_counted_with_the_last_failure_once(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings())
    rig.upstream.script(ERROR, status=503, headers=[(b"retry-after", b"50")])
    task = asyncio.create_task(rig.ask(CHAT))
    await rig.turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(rig.upstream.sent) == 1
    assert (rig.meter.statuses, rig.meter.attempt_failures) == ({503: 1}, {"UpstreamRejected": 1})
    assert rig.downstream.is_settled


async def test_what_a_failed_attempt_has_used_is_charged_beside_the_answer(pair: Any) -> None:
    usage = b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
    pair.upstreams["a"].script(b'data: {"choices":[],%b}\n\n' % usage, kind=EVENTS, then=UpstreamBroken())
    pair.upstreams["b"].script(WORD % b"a", DONE, kind=EVENTS)
    reply = await pair.ask(CHAT | {"stream": True})
    assert reply.headers["x-litellm-model-id"] == "b"
    assert (pair.meters("a").total_tokens, pair.meters("a").spend_usd) == (5, pytest.approx(0.007))


async def test_a_deployment_that_fails_again_and_again_is_left_alone(
    pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pair.upstreams["a"].script(ERROR, status=500)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            await pair.ask(CHAT)
    assert pair.asked == {"a": 5, "b": 20}
    assert pair.meters("a").cooldowns == 1
    assert caplog.messages == ["deployment a rests after UpstreamRejected"]


async def test_a_key_that_is_refused_rests_and_the_other_one_is_used(pair: Any) -> None:
    pair.upstreams["a"].script(ERROR, status=401)
    for _ in range(5):
        await pair.ask(CHAT)
    assert pair.asked == {"a": 1, "b": 5}


# Groups to go on with.


async def test_another_group_answers_under_its_own_name(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second",)})
    rig.upstreams["house-id"].script(ERROR, status=500)
    reply = await rig.ask(CHAT)
    assert msgspec.json.decode(reply.body)["model"] == "second"
    assert rig.upstreams["second-id"].sent[0].json["model"] == "up-second"
    assert (attempts(reply.headers), reply.headers["x-litellm-model-group"]) == ((0, 0, 1), "second")
    assert (rig.meters("second-id").requested_model, rig.meters("second-id").statuses) == ("house", {200: 1})
    assert dict(rig.metrics.fallbacks()) == {("house", "second", True): 1}


async def test_when_all_groups_fail_the_last_failure_is_told(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second", "third")})
    for name, status in (("house", 500), ("second", 500), ("third", 429)):
        rig.upstreams[f"{name}-id"].script(ERROR, status=status)
    with pytest.raises(UpstreamRejected) as raised:
        await rig.ask(CHAT)
    assert (raised.value.status, attempts(dict(raised.value.headers))) == (429, (0, 0, 2))
    assert dict(rig.metrics.fallbacks()) == {("house", "third", False): 1}


@pytest.mark.parametrize(
    ("body", "key"), [(TOO_LONG, "context_window_fallbacks"), (REFUSED, "content_policy_fallbacks")]
)
async def test_long_prompts_and_refused_contents_have_groups_of_their_own(groups: Make, body: bytes, key: str) -> None:
    rig = groups(fallbacks={"house": ("second",)}, **{key: {"house": ("third",)}})
    rig.upstreams["house-id"].once(body, status=400)
    reply = await rig.ask(CHAT)
    assert reply.headers["x-litellm-model-group"] == "third"
    rig.upstreams["house-id"].once(ERROR, status=500)
    reply = await rig.ask(CHAT)
    assert reply.headers["x-litellm-model-group"] == "second"


async def test_a_stream_falls_back_unseen_before_its_first_output(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second",)})
    rig.upstreams["house-id"].script(b": hello\n\n", kind=EVENTS, then=UpstreamBroken())
    rig.upstreams["second-id"].script(WORD % b"a", DONE, kind=EVENTS)
    reply = await rig.ask(CHAT | {"stream": True})
    assert (reply.body, reply.headers["x-litellm-model-group"]) == (WORD % b"a" + DONE, "second")


async def test_after_the_first_output_nobody_else_is_asked(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second",)})
    rig.upstreams["house-id"].script(WORD % b"a", kind=EVENTS, then=UpstreamBroken())
    reply = await rig.ask(CHAT | {"stream": True})
    assert reply.pieces[0] == WORD % b"a"
    assert b'"error"' in reply.pieces[-1]
    assert rig.asked == {"house-id": 1}


# Clients that leave.


async def upload(rig: Any, *pieces: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    call = rig.call(op.TRANSCRIPTION, {b"content-type": FORM_TYPE})
    with Upload(FORM_TYPE, body(), sum(map(len, pieces))) as form:
        await rig.pipeline.serve_upload(call, form)


@pytest.fixture
def draining(make_rig: Make, deployment: Make) -> Any:
    deployments = [deployment(id="a", drains_on_disconnect=True), deployment(id="b")]
    return make_rig(*deployments, routing=RoutingSettings())


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_answer_is_read_to_its_end_for_its_usage_where_that_is_wanted(draining: Any) -> None:
    draining.upstreams["a"].script(WORD % b"a", kind=EVENTS, is_whole=False)
    task = asyncio.create_task(draining.ask(CHAT | {"stream": True}))
    await draining.turns()
    await leave(task)
    upstream = draining.upstreams["a"]
    assert (upstream.calls, len(draining.tasks)) == ([], 1)
    upstream.response.feed(b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}}\n\n' + DONE)
    upstream.response.finish()
    await draining.turns()
    assert (draining.meter.output_tokens, draining.meter.statuses) == (9, {200: 1})
    assert (len(draining.tasks), draining.busy) == (0, 0)


async def test_nothing_is_tried_again_for_a_client_that_has_left(draining: Any) -> None:
    draining.upstreams["a"].script(ERROR, status=500, is_held=True)
    task = asyncio.create_task(draining.ask(CHAT))
    await draining.turns()
    await leave(task)
    draining.upstreams["a"].go.set()
    await draining.turns()
    assert draining.asked == {"a": 1}
    assert (len(draining.tasks), draining.busy) == (0, 0)


async def test_an_upload_ends_with_its_client(draining: Any) -> None:
    draining.upstreams["a"].script(is_held=True)
    task = asyncio.create_task(upload(draining, FORM))
    await draining.turns()
    await leave(task)
    assert draining.upstreams["a"].calls == ["cancel"]
    assert (len(draining.tasks), draining.busy) == (0, 0)


async def test_a_failure_reaches_a_client_that_stays(draining: Any) -> None:
    draining.upstreams["a"].script(ERROR, status=400)
    with pytest.raises(UpstreamRejected):
        await draining.ask(CHAT)


async def test_a_defect_is_counted_as_ours_and_leaves_nothing_behind(rig: Any) -> None:
    rig.upstream.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await rig.ask(CHAT)
    assert (rig.meter.statuses, rig.meter.failures) == ({500: 1}, {"InternalError": 1})
    assert (rig.meter.attempt_failures, rig.busy) == ({}, 0)


async def test_where_no_more_calls_can_run_without_their_clients_they_end_with_them(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(drains_on_disconnect=True), max_tasks=0)
    reply = await rig.ask(CHAT)
    assert (reply.status, rig.busy) == (200, 0)


async def test_a_caller_can_wish_for_a_later_place_than_his_call_has_and_not_for_a_sooner_one(
    make_rig: Make, deployment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(deployment(max_parallel_requests=1))
    seen: list[int] = []

    async def enter(member: Any, priority: int, *_: Any, **__: Any) -> None:
        seen.append(priority)
        member.enter(0.0)

    monkeypatch.setattr(rig.pipeline._gates, "enter", enter)
    for wished in ({}, {"priority": 7}, {"priority": 120}):
        call = rig.call()
        call.priority = 100
        await rig.pipeline.serve(call, msgspec.json.encode(CHAT | wished))
    await rig.pipeline.serve(rig.call(), msgspec.json.encode(CHAT | {"priority": 7}))
    assert seen == [100, 100, 120, 7]


@pytest.mark.requirement("batches.yields")
@pytest.mark.parametrize("status", [503, 529])
@pytest.mark.parametrize(("priority", "others", "is_resting"), [(100, 1, False), (100, 0, True), (0, 1, True)])
async def test_a_line_that_an_upstream_has_too_much_to_do_for_beside_others_puts_it_to_rest_for_nobody(
    make_rig: Make, deployment: Make, status: int, priority: int, others: int, is_resting: bool
) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings(num_retries=0, allowed_fails=0))
    rig.upstream.script(ERROR, status=status)
    member = rig.groups.members["house-id"]
    for _ in range(others):
        member.enter(0.0)
    call = rig.call()
    call.priority = priority
    with pytest.raises(UpstreamRejected):
        await rig.pipeline.serve(call, msgspec.json.encode(CHAT))
    assert member.is_resting is is_resting


@pytest.mark.requirement("batches.yields")
async def test_a_line_of_a_batch_that_is_told_to_wait_asks_once_and_keeps_nobody_else_waiting(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings(num_retries=2))
    rig.upstream.script(ERROR, status=429)
    call = rig.call()
    call.priority = 100
    with pytest.raises(UpstreamRejected):
        await rig.pipeline.serve(call, msgspec.json.encode(CHAT))
    assert rig.asked == {"house-id": 1}
    assert not rig.groups.members["house-id"].is_resting
    with pytest.raises(UpstreamRejected):
        await rig.pipeline.serve(rig.call(), msgspec.json.encode(CHAT))
    assert rig.groups.members["house-id"].is_resting
