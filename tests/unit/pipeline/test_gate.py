from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from pointsman.errors import Overloaded, UpstreamBroken
from pointsman.pipeline.admission import BATCH_PRIORITY
from pointsman.pipeline.gate import QUEUED_AT_LEAST, QUEUED_PER_PLACE, Gates
from pointsman.pipeline.settings import ServingSettings
from pointsman.routing.concurrency import AdaptiveLimit
from pointsman.routing.groups import Groups
from pointsman.routing.members import Member
from pointsman.routing.settings import FailureKind, RoutingSettings

Make = Callable[..., Any]
CHAT: dict[str, Any] = {"model": "house", "messages": []}
FAR = 1e9
LONG = 1e6
"""Seconds that no test waits."""


@pytest.fixture
def member(deployment: Make) -> Callable[..., Member]:
    def make(limit: int | None = 1, *, is_adaptive: bool = False) -> Member:
        settings = RoutingSettings(is_adaptive=is_adaptive)
        return Groups([deployment(max_parallel_requests=limit)], settings).members["house-id"]

    return make


def gates(patience: float | None = LONG) -> Gates:
    return Gates(lambda: 100.0, patience)


def leave(gate: Gates, member: Member) -> None:
    member.leave(0.0)
    gate.left(member)


async def queue(gate: Gates, member: Member, *priorities: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(gate.enter(member, priority, FAR)) for priority in priorities]
    await asyncio.sleep(0)
    return tasks


async def done(*tasks: asyncio.Task[None]) -> list[bool]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_where_there_is_a_place_nobody_waits(member: Make) -> None:
    gate, one = gates(), member(2)
    await gate.enter(one, 0, FAR)
    await gate.enter(one, 0, FAR)
    assert (one.in_flight, gate.waiting) == (2, 0)


async def test_who_leaves_lets_the_next_one_in(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    first, second = await queue(gate, one, 0, 0)
    assert gate.waiting == 2
    assert await done(first, second) == [False, False]
    leave(gate, one)
    assert await done(first, second) == [True, False]
    assert (one.in_flight, gate.waiting) == (1, 1)
    leave(gate, one)
    assert await done(second) == [True]
    leave(gate, one)
    assert (one.in_flight, gate.waiting) == (0, 0)
    await gate.enter(one, 0, FAR)


async def test_the_more_urgent_go_first_and_the_equally_urgent_in_their_order(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    entered: list[str] = []
    for name, priority in (("late", 9), ("first", 1), ("second", 1), ("urgent", 0)):
        (task,) = await queue(gate, one, priority)
        task.set_name(name)
        task.add_done_callback(lambda done: entered.append(done.get_name()))
    for _ in range(4):
        leave(gate, one)
        await done()
    assert entered == ["urgent", "first", "second", "late"]


async def test_nobody_overtakes_who_waits_already(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    (waiting,) = await queue(gate, one, 5)
    # The place is free, and the gate has not heard of it yet.
    one.leave(0.0)
    (late,) = await queue(gate, one, 5)
    gate.left(one)
    assert await done(waiting, late) == [True, False]
    leave(gate, one)
    await late


@pytest.mark.parametrize(
    ("limit", "room"), [(1, QUEUED_AT_LEAST), (QUEUED_AT_LEAST, QUEUED_AT_LEAST * QUEUED_PER_PLACE)]
)
async def test_a_full_queue_refuses_at_once(member: Make, limit: int, room: int) -> None:
    gate, one = gates(), member(limit)
    for _ in range(limit):
        await gate.enter(one, 0, FAR)
    tasks = await queue(gate, one, *[0] * room)
    with pytest.raises(Overloaded, match="as many requests as it can take") as raised:
        await gate.enter(one, 0, FAR)
    assert raised.value.retry_after == 1
    assert gate.waiting == room
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.waiting, one.in_flight) == (0, limit)


@pytest.mark.parametrize(("patience", "deadline"), [(0.0, FAR), (LONG, 100.0), (LONG, 50.0)])
async def test_a_place_that_does_not_become_free_in_time_is_refused(
    member: Make, patience: float, deadline: float
) -> None:
    gate, one = gates(patience), member()
    await gate.enter(one, 0, FAR)
    with pytest.raises(Overloaded) as raised:
        await gate.enter(one, 0, deadline)
    assert raised.value.retry_after == 1
    assert (gate.waiting, one.in_flight) == (0, 1)
    leave(gate, one)
    assert one.in_flight == 0


@pytest.mark.parametrize(("is_adaptive", "seconds"), [(False, 5.0), (True, 0.005)])
async def test_how_long_is_waited_depends_on_the_kind_of_limit(
    member: Make, monkeypatch: pytest.MonkeyPatch, is_adaptive: bool, seconds: float
) -> None:
    gate, one = gates(None), member(1, is_adaptive=is_adaptive)
    await gate.enter(one, 0, FAR)
    waited: list[float] = []
    loop = asyncio.get_running_loop()
    real = loop.call_later

    def call_later(delay: float, *arguments: Any) -> asyncio.TimerHandle:
        waited.append(delay)
        return real(delay, *arguments)

    monkeypatch.setattr(loop, "call_later", call_later)
    (task,) = await queue(gate, one, 0)
    assert waited == [seconds]
    leave(gate, one)
    await task


async def test_a_caller_who_leaves_the_queue_keeps_no_place(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    gone, staying = await queue(gate, one, 0, 0)
    gone.cancel()
    assert await done(gone, staying) == [True, False]
    assert gate.waiting == 1
    leave(gate, one)
    assert await done(staying) == [True]
    assert one.in_flight == 1


async def test_a_caller_who_leaves_in_the_moment_of_entering_passes_the_place_on(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    gone, staying = await queue(gate, one, 0, 0)
    leave(gate, one)
    gone.cancel()
    assert await done(gone, staying) == [True, True]
    assert gone.cancelled()
    assert (one.in_flight, gate.waiting) == (1, 0)


async def test_a_place_is_not_given_to_who_has_just_left(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    gone, staying = await queue(gate, one, 0, 0)
    gone.cancel()
    leave(gate, one)
    assert await done(gone, staying) == [True, True]
    assert (one.in_flight, gate.waiting) == (1, 0)


async def test_deployments_have_queues_of_their_own(member: Make) -> None:
    gate, one, other = gates(), member(), member()
    await gate.enter(one, 0, FAR)
    (waiting,) = await queue(gate, one, 0)
    await gate.enter(other, 0, FAR)
    leave(gate, other)
    assert await done(waiting) == [False]
    leave(gate, one)
    await waiting


async def test_a_limit_that_is_lifted_lets_everybody_in(member: Make) -> None:
    gate, one = gates(), member(None, is_adaptive=True)
    assert isinstance(one.adaptive, AdaptiveLimit)
    one.adaptive.value = 1
    await gate.enter(one, 0, FAR)
    tasks = await queue(gate, one, 0, 0, 0)
    one.adaptive.value = float("inf")
    leave(gate, one)
    assert await done(*tasks) == [True] * 3
    assert one.in_flight == 3


@pytest.mark.requirement("batches.yields")
@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 1), (4, 3), (6, 4), (100, 75)])
async def test_who_gives_way_leaves_others_a_quarter_of_the_places_and_does_not_wait(
    member: Make, limit: int, most: int
) -> None:
    gate, one = gates(), member(limit)
    for _ in range(most):
        await gate.enter(one, 100, FAR, gives_way=True)
    with pytest.raises(Overloaded) as raised:
        await gate.enter(one, 100, FAR, gives_way=True)
    assert (raised.value.retry_after, gate.waiting) == (1, 0)
    for _ in range(limit - most):
        await gate.enter(one, 0, FAR)
    assert one.in_flight == limit


@pytest.mark.requirement("batches.yields")
async def test_who_gives_way_takes_no_place_that_another_one_waits_for(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    (waiting,) = await queue(gate, one, 0)
    # The place is free, and the gate has not heard of it yet.
    one.leave(0.0)
    refused = asyncio.create_task(gate.enter(one, 100, FAR, gives_way=True))
    assert await done(refused) == [True]
    assert isinstance(refused.exception(), Overloaded)
    gate.left(one)
    assert await done(waiting) == [True]


@pytest.mark.requirement("batches.yields")
async def test_who_gives_way_does_so_at_a_limit_that_was_found_by_watching_too(member: Make) -> None:
    gate, one = gates(), member(None, is_adaptive=True)
    assert isinstance(one.adaptive, AdaptiveLimit)
    for _ in range(100):
        await gate.enter(one, 100, FAR, gives_way=True)
    one.adaptive.value = 104
    with pytest.raises(Overloaded):
        await gate.enter(one, 100, FAR, gives_way=True)
    await gate.enter(one, 0, FAR)


# Gates of the pipeline.


async def test_who_finds_a_deployment_at_its_limit_waits_for_a_place(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(max_parallel_requests=1))
    rig.upstream.once(b"{}", is_held=True)
    first = asyncio.create_task(rig.ask(CHAT))
    await rig.turns()
    second = asyncio.create_task(rig.ask(CHAT))
    await rig.turns()
    assert (len(rig.upstream.sent), rig.pipeline.queued, rig.busy) == (1, 1, 1)
    rig.clock.now += 2.0
    rig.upstream.go.set()
    with pytest.raises(UpstreamBroken):
        await first
    reply = await second
    assert (reply.status, rig.pipeline.queued, rig.busy) == (200, 0, 0)
    # What it has waited for is not the upstream's.
    assert reply.headers["x-litellm-overhead-duration-ms"] == "2250.000"


async def test_the_more_urgent_request_gets_the_next_place(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(max_parallel_requests=1))
    rig.upstream.script(b'{"choices":[]}', is_held=True)
    tasks = []
    for priority in (5, 9, 1):
        tasks.append(asyncio.create_task(rig.ask(CHAT | {"priority": priority, "n": priority})))
        await rig.turns()
    rig.upstream.go.set()
    await asyncio.gather(*tasks)
    assert [sent.json["n"] for sent in rig.upstream.sent] == [5, 1, 9]


async def test_who_waits_too_long_goes_elsewhere_or_is_refused(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(
        deployment(max_parallel_requests=1), deployment("second"), serving=ServingSettings(queue_timeout=0.0)
    )
    rig.upstream.script(is_held=True)
    first = asyncio.create_task(rig.ask(CHAT))
    await rig.turns()
    with pytest.raises(Overloaded) as raised:
        await rig.ask(CHAT)
    assert (raised.value.status, raised.value.retry_after) == (503, 1)
    assert rig.meter.failures == {"Overloaded": 1}
    assert rig.meter.attempt_failures == {}
    reply = await rig.ask(CHAT | {"fallbacks": ["second"]})
    assert reply.headers["x-litellm-model-group"] == "second"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert rig.busy == 0


async def test_who_has_waited_for_what_rests_by_now_is_sent_elsewhere(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    (waiting,) = await queue(gate, one, 0)
    one.fail(FailureKind.RATE_LIMIT, 100.0, 100.0, 0.5, 60)
    gate.left(one)
    with pytest.raises(Overloaded):
        await waiting
    assert (one.in_flight, gate.waiting) == (0, 0)


@pytest.mark.parametrize("heeds_rates", [True, False])
async def test_where_rates_are_a_limit_they_are_one_for_who_has_waited_too(deployment: Make, heeds_rates: bool) -> None:
    groups = Groups([deployment(max_parallel_requests=1, rpm=1)], RoutingSettings())
    gate, one = gates(), groups.members["house-id"]
    await gate.enter(one, 0, FAR, heeds_rates=heeds_rates)
    waiting = asyncio.create_task(gate.enter(one, 0, FAR, heeds_rates=heeds_rates))
    await asyncio.sleep(0)
    leave(gate, one)
    with pytest.raises(Overloaded) if heeds_rates else nullcontext():
        await waiting


async def test_a_place_in_the_middle_of_the_queue_can_be_given_up(member: Make) -> None:
    gate, one = gates(), member()
    await gate.enter(one, 0, FAR)
    tasks = await queue(gate, one, 1, 2, 3, 4, 5)
    tasks[1].cancel()
    await done(*tasks)
    entered: list[list[bool]] = []
    for _ in range(4):
        leave(gate, one)
        entered.append(await done(*tasks))
    assert [seen.count(True) for seen in entered] == [2, 3, 4, 5]
    assert entered[1][2]
    assert not entered[1][3]


@pytest.mark.requirement("batches.yields")
async def test_a_line_of_a_batch_leaves_places_to_clients_and_goes_to_no_other_model_for_want_of_one(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(max_parallel_requests=2), deployment("second"), serving=ServingSettings())
    rig.upstream.script(b'{"choices":[]}', is_held=True)
    body = msgspec.json.encode(CHAT | {"fallbacks": ["second"]})

    def line() -> Any:
        call = rig.call()
        call.priority = BATCH_PRIORITY
        return rig.pipeline.serve(call, body)

    running, refused = asyncio.create_task(line()), asyncio.create_task(line())
    await rig.turns()
    assert isinstance(refused.done() and refused.exception(), Overloaded)
    client = asyncio.create_task(rig.ask(CHAT))
    await rig.turns()
    assert rig.asked == {"house-id": 2}
    rig.upstream.go.set()
    await running
    assert (await client).status == 200


@pytest.mark.parametrize("priority", [0, 255])
async def test_who_only_wishes_for_a_later_place_waits_for_one(make_rig: Make, deployment: Make, priority: int) -> None:
    rig = make_rig(deployment(max_parallel_requests=1))
    rig.upstream.script(b'{"choices":[]}', is_held=True)
    first = asyncio.create_task(rig.ask(CHAT))
    await rig.turns()
    second = asyncio.create_task(rig.ask(CHAT | {"priority": priority}))
    await rig.turns()
    assert rig.pipeline.queued == 1
    rig.upstream.go.set()
    await asyncio.gather(first, second)
