"""A second attempt beside one that is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.pipeline.admission import BATCH_PRIORITY
from pointsman.routing.settings import FailureKind, Hedging, RoutingSettings
from pointsman.wire import operations as op

Make = Callable[..., Any]
CHAT: dict[str, Any] = {"model": "house", "messages": [{"role": "user", "content": "x" * 360}]}
STREAM: dict[str, Any] = CHAT | {"stream": True}
ERROR = b'{"error":{"message":"no"}}'
EVENTS = b"text/event-stream"
ROLE = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
AT_ONCE = Hedging(delay=0.0)
NEVER = Hedging(delay=1e6)


@pytest.fixture
def hedged(make_rig: Make, deployment: Make) -> Callable[..., Any]:
    """Two deployments, of which ``a`` is asked first and does not answer until told to."""

    def make(hedging: Hedging = AT_ONCE, num_retries: int = 0, **values: Any) -> Any:
        routing = RoutingSettings(num_retries=num_retries, hedging={"house": hedging})
        rig = make_rig(deployment(id="a", **values), deployment(id="b", **values), routing=routing)
        rig.upstreams["a"].script(b'{"choices":[],"who":"a"}', is_held=True)
        rig.upstreams["b"].script(b'{"choices":[],"who":"b"}', is_held=True)
        return rig

    return make


async def begin(rig: Any, body: dict[str, Any] = CHAT, **call: Any) -> asyncio.Task[Any]:
    task = asyncio.create_task(rig.ask(body, **call))
    await rig.turns()
    return task


def asked(rig: Any) -> list[str]:
    return [name for name, upstream in rig.upstreams.items() for _ in upstream.sent]


def who(reply: Any) -> str:
    return str(msgspec.json.decode(reply.body)["who"])


@pytest.mark.parametrize(("winner", "loser"), [("a", "b"), ("b", "a")])
async def test_the_first_answer_is_sent_and_the_other_attempt_cancelled(hedged: Make, winner: str, loser: str) -> None:
    rig = hedged()
    task = await begin(rig)
    assert asked(rig) == ["a", "b"]
    rig.upstreams[winner].go.set()
    reply = await task
    assert (who(reply), reply.headers["x-litellm-model-id"]) == (winner, winner)
    assert rig.upstreams[loser].calls == ["cancel"]
    assert rig.busy == 0
    assert all(member.is_sound for member in rig.groups.members.values())


@pytest.mark.parametrize(("winner", "loser"), [("a", "b"), ("b", "a")])
async def test_what_was_outrun_is_shown_and_counted_with_what_it_has_cost_at_least(
    hedged: Make, winner: str, loser: str
) -> None:
    rig = hedged()
    task = await begin(rig)
    rig.upstreams[winner].go.set()
    reply = await task
    assert reply.headers["x-pointsman-hedged-model-id"] == loser
    cost = float(reply.headers["x-pointsman-hedged-cost"])
    # About a hundred tokens of input, and no output.
    assert 0.1 <= cost < 0.15
    meter = rig.meters(loser)
    assert (meter.hedged, meter.hedged_spend_usd, meter.spend_usd) == (1, pytest.approx(cost), pytest.approx(cost))
    assert (meter.statuses, meter.attempt_failures) == ({}, {})
    assert (rig.meters(winner).statuses, rig.meters(winner).hedged) == ({200: 1}, 0)
    assert "x-litellm-attempted-retries" in reply.headers


async def test_an_answer_in_time_is_the_only_attempt(hedged: Make) -> None:
    rig = hedged(NEVER)
    rig.upstreams["a"].go.set()
    reply = await rig.ask(CHAT)
    assert (who(reply), asked(rig)) == ("a", ["a"])
    assert "x-pointsman-hedged-model-id" not in reply.headers


async def test_a_line_of_a_batch_is_not_asked_for_twice_to_be_quicker(hedged: Make) -> None:
    rig = hedged()
    call = rig.call()
    call.priority = BATCH_PRIORITY
    task = asyncio.create_task(rig.pipeline.serve(call, msgspec.json.encode(CHAT)))
    await rig.turns()
    assert asked(rig) == ["a"]
    rig.upstreams["a"].go.set()
    await task


async def test_a_failure_before_the_delay_is_tried_again_as_usual(hedged: Make) -> None:
    rig = hedged(NEVER, num_retries=1)
    rig.upstreams["a"].script(ERROR, status=500)
    rig.upstreams["b"].go.set()
    reply = await rig.ask(CHAT)
    assert (who(reply), reply.headers["x-litellm-attempted-retries"]) == ("b", "1")


async def test_when_both_fail_the_later_failure_is_told_and_both_are_counted(hedged: Make) -> None:
    rig = hedged()
    rig.upstreams["a"].script(ERROR, status=500, is_held=True)
    rig.upstreams["b"].script(ERROR, status=503, is_held=True)
    task = await begin(rig)
    for name in ("a", "b"):
        rig.upstreams[name].go.set()
        await rig.turns()
    with pytest.raises(UpstreamRejected) as raised:
        await task
    assert raised.value.status == 503
    assert [rig.meters(name).attempt_failures for name in "ab"] == [{"UpstreamRejected": 1}] * 2
    assert [rig.meters(name).statuses for name in "ab"] == [{}, {503: 1}]
    assert rig.busy == 0


@pytest.mark.parametrize("error", [UpstreamTimeout(), UpstreamBroken(), UpstreamRejected(status=500, kind="x")])
async def test_a_first_attempt_that_fails_leaves_the_second_to_answer(hedged: Make, error: GatewayError) -> None:
    rig = hedged()
    rig.upstreams["a"].script(is_held=True, error=error)
    task = await begin(rig)
    rig.upstreams["a"].go.set()
    await rig.turns()
    assert not task.done()
    rig.upstreams["b"].go.set()
    reply = await task
    assert who(reply) == "b"
    # It was not outrun: it has failed.
    assert "x-pointsman-hedged-model-id" not in reply.headers
    assert (rig.meters("a").hedged, rig.meters("a").attempt_failures) == (0, {type(error).__name__: 1})
    assert [member.is_sound for member in rig.groups.members.values()] == [False, True]


async def test_a_second_attempt_that_fails_leaves_the_first_to_answer(hedged: Make) -> None:
    rig = hedged()
    rig.upstreams["b"].script(ERROR, status=500)
    task = await begin(rig)
    rig.upstreams["a"].go.set()
    reply = await task
    assert (who(reply), reply.headers["x-litellm-model-id"]) == ("a", "a")
    assert rig.meters("b").attempt_failures == {"UpstreamRejected": 1}


async def test_a_client_that_leaves_takes_both_with_it(hedged: Make) -> None:
    rig = hedged()
    task = await begin(rig)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [upstream.calls for upstream in rig.upstreams.values()] == [["cancel"], ["cancel"]]
    assert (rig.busy, rig.downstream.is_settled) == (0, True)
    assert rig.meters("a").statuses == {499: 1}
    assert [meter.hedged for meter in rig.metrics.deployment_meters()] == [0] * len(rig.metrics.deployment_meters())


async def test_a_defect_in_one_of_them_is_raised_and_leaves_nothing_behind(hedged: Make) -> None:
    rig = hedged()
    rig.upstreams["b"].error = ZeroDivisionError()
    task = await begin(rig)
    rig.upstreams["b"].go.set()
    rig.upstreams["a"].script(ERROR, status=500)
    rig.upstreams["a"].go.set()
    with pytest.raises(ZeroDivisionError):
        await task
    assert rig.busy == 0


# Streams.


async def test_of_two_streams_the_first_with_output_goes_on(hedged: Make) -> None:
    rig = hedged()
    for upstream in rig.upstreams.values():
        upstream.script(ROLE, kind=EVENTS, is_whole=False)
    task = await begin(rig, STREAM)
    assert asked(rig) == ["a", "b"]
    assert not rig.downstream.is_started
    rig.upstreams["b"].response.feed(WORD % b"hi")
    assert rig.downstream.body == ROLE + WORD % b"hi"
    await rig.turns()
    assert rig.upstreams["a"].calls == ["abort"]
    rig.upstreams["b"].response.feed(DONE)
    rig.upstreams["b"].response.finish()
    reply = await task
    assert (reply.headers["x-litellm-model-id"], reply.headers["x-pointsman-hedged-model-id"]) == ("b", "a")
    assert (rig.meters("b").statuses, rig.meters("a").hedged, rig.busy) == ({200: 1}, 1, 0)


async def test_output_before_the_delay_ends_the_race(hedged: Make) -> None:
    rig = hedged()
    rig.upstreams["a"].script(WORD % b"hi", kind=EVENTS, is_whole=False)
    task = await begin(rig, STREAM)
    assert rig.downstream.body == WORD % b"hi"
    rig.upstreams["a"].response.feed(DONE)
    rig.upstreams["a"].response.finish()
    await task
    assert asked(rig) == ["a"]


async def test_two_outputs_in_one_turn_have_one_winner(hedged: Make) -> None:
    rig = hedged()
    for upstream in rig.upstreams.values():
        upstream.script(ROLE, kind=EVENTS, is_whole=False)
    task = await begin(rig, STREAM)
    for name in ("a", "b"):
        rig.upstreams[name].response.feed((WORD % name.encode()) + DONE)
        rig.upstreams[name].response.finish()
    reply = await task
    assert reply.body == ROLE + WORD % b"a" + DONE
    assert (rig.busy, rig.meters("b").hedged) == (0, 1)


@pytest.mark.parametrize("winner", ["a", "b"])
async def test_a_client_that_leaves_the_winner_is_charged_for_what_it_got(hedged: Make, winner: str) -> None:
    rig = hedged()
    for upstream in rig.upstreams.values():
        upstream.script(ROLE, kind=EVENTS, is_whole=False)
    task = await begin(rig, STREAM)
    rig.upstreams[winner].response.feed(WORD % (b"x" * 36))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    meter = rig.meters(winner)
    assert (meter.statuses, meter.output_tokens, meter.hedged) == ({200: 1}, 10, 0)
    assert rig.meters("b" if winner == "a" else "a").hedged == 1
    assert rig.busy == 0


# When there is none.


async def test_there_is_no_more_than_the_share_of_second_attempts(hedged: Make) -> None:
    rig = hedged(Hedging(delay=0.0, share=0.0))
    first = await begin(rig)
    assert asked(rig) == ["a", "b"]
    second = await begin(rig)
    assert sorted(asked(rig)) == ["a", "a", "b"]
    for upstream in rig.upstreams.values():
        upstream.go.set()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_a_deployment_that_is_not_well_is_not_asked_beside_another(hedged: Make) -> None:
    rig = hedged()
    rig.groups.members["b"].health.fail(FailureKind.BAD_GATEWAY, 100.0, 100.0)
    task = await begin(rig)
    assert asked(rig) == ["a"]
    rig.upstreams["a"].go.set()
    assert who(await task) == "a"


@pytest.mark.parametrize("operation", [op.SPEECH, op.IMAGE_GENERATION])
async def test_what_is_charged_by_the_piece_is_not_asked_for_twice(hedged: Make, operation: Any) -> None:
    rig = hedged()
    task = await begin(rig, {"model": "house", "input": "x", "prompt": "x"}, operation=operation)
    assert asked(rig) == ["a"]
    rig.upstreams["a"].go.set()
    await task


async def test_without_observations_there_is_no_delay_to_hedge_after(hedged: Make) -> None:
    rig = hedged(Hedging())
    rig.upstreams["a"].go.set()
    for _ in range(20):
        await rig.ask(CHAT)
    assert asked(rig) == ["a"] * 20
    # From here on the 95th percentile is known: that of answers which took no time.
    rig.upstreams["a"].go.clear()
    task = asyncio.create_task(rig.ask(CHAT))
    rig.upstreams["b"].go.set()
    assert who(await task) == "b"


# What holds for the first attempt holds for the second.


async def test_the_callers_wishes_hold_for_both(hedged: Make) -> None:
    rig = hedged()
    for upstream in rig.upstreams.values():
        upstream.script(ROLE, kind=EVENTS, is_whole=False)
    task = await begin(rig, STREAM | {"stream_timeout": 5, "timeout": 3})
    sent = [sent for upstream in rig.upstreams.values() for sent in upstream.sent]
    assert [one.timeouts.first_byte for one in sent] == [3.0, 3.0]
    rig.clock.now += 3.1
    rig.sweeper.sweep()
    with pytest.raises(UpstreamTimeout):
        await task
    # A caller who does not wait says nothing about the deployments.
    assert all(member.is_sound for member in rig.groups.members.values())


async def test_each_deployment_keeps_to_its_limit(hedged: Make) -> None:
    rig = hedged(max_parallel_requests=1)
    first = await begin(rig)
    assert asked(rig) == ["a", "b"]
    second = await begin(rig)
    assert asked(rig) == ["a", "b"]
    rig.upstreams["a"].go.set()
    rig.upstreams["b"].go.set()
    await asyncio.gather(first, second)
    assert (rig.busy, rig.pipeline.queued) == (0, 0)


async def test_a_group_of_one_has_nobody_to_hedge_with(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings(hedging={"*": AT_ONCE}))
    rig.upstream.script(b'{"choices":[]}', is_held=True)
    task = await begin(rig)
    assert len(rig.upstream.sent) == 1
    rig.upstream.go.set()
    await task
