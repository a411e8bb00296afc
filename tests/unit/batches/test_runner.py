from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from queued import Queue, chat
from work import MemoryWork

from pointsman.batches import held, outcomes
from pointsman.batches.callers import Callers
from pointsman.batches.held import Line
from pointsman.batches.lanes import A_SECOND, FEW, Running
from pointsman.batches.lines import MAX_LAPSES, SUSPECTED, Again, Lines, Order
from pointsman.batches.protocol.objects import doc_of
from pointsman.batches.protocol.pace import FIRST, TRIES
from pointsman.batches.runner import AT_ONCE, LONG_REST, LOOK_SECONDS, PAUSE, POOR_SECONDS, Runner, Surroundings
from pointsman.batches.settings import BatchSettings
from pointsman.pipeline.used import Used
from pointsman.store.base import Refused, StoreDown
from pointsman.store.work import Claimed, LineLease, Result

TURNS = 30
RENEWED = 15.0


def answer(line: Claimed, status: int = 200) -> Result:
    return Result(lease=line.lease, status=status, body=b"{}", request_id="r", is_failed=status != 200)


def again(line: Claimed, retry_after: float | None = None, *, counts: bool = False, is_money: bool = False) -> Again:
    return Again(retry_after, is_ours=False, counts=counts, is_money=is_money, result=answer(line, 502))


class Script(Lines):
    """Answers lines as it is told, the others at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.claimed: list[Claimed] = []
        self.orders: list[Order] = []
        self.refusals: dict[str, list[Again | None]] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.running = 0
        self.most = 0
        self.limited = ""
        """A batch whose lines are refused."""
        self.poor = "nobody"
        """The same of a model, or of one line."""
        self.money: int | None = None
        """Lines that can be paid for, and only one at a time."""

    async def run(self, order: Order, line: Claimed, data: bytes, used: Used) -> Result | Again:
        assert line.custom_id.encode() in data
        self.asked.append(line.custom_id)
        self.claimed.append(line)
        self.orders.append(order)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if line.custom_id in self.held:
                await self.held[line.custom_id].wait()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        if self.money is not None and (self.running or self.money < 1):
            return again(line, is_money=True)
        if self.money is not None:
            self.money -= 1
        if order.id == self.limited:
            return again(line, 100.0)
        if line.custom_id.startswith(self.poor):
            return again(line, 60.0)
        if self.refusals.get(line.custom_id):
            self.refusals[line.custom_id].pop()
            return again(line, counts=True)
        return answer(line)


class Away(MemoryWork):
    """A queue that may be away."""

    is_away = False

    async def finish(self, results: Sequence[Result]) -> set[LineLease]:
        if self.is_away:
            raise StoreDown("it is away")
        return await super().finish(results)

    async def give_back(
        self, leases: Collection[LineLease], seconds: float = 0.0, lapses: Mapping[LineLease, int] = {}
    ) -> None:
        if self.is_away:
            raise StoreDown("it is away")
        await super().give_back(leases, seconds, lapses)


class World:
    """A runner whose loops are turned by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.slept: list[float] = []
        self.queue = Queue(directory)
        self.queue.work = self.work = Away(now=lambda: self.queue.now)
        self.script = Script()
        self.most = 64
        self.lag = 0.0
        self.clients = 0
        self.safe = 0
        self.runner = self.made()

    def made(self) -> Runner:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

        around = Surroundings(
            clock=lambda: self.queue.now,
            now=lambda: self.queue.now,
            processor=lambda: 0.0,
            chance=lambda: 0.0,
            lag=lambda: self.lag,
            clients=lambda: self.clients,
            make_safe=self._make_safe,
            sleep=sleep,
        )
        settings = BatchSettings(max_concurrency=self.most)
        callers = Callers.__new__(Callers)
        return Runner(self.work, self.queue.files, self.script, callers, lambda: settings, around)

    def _make_safe(self) -> None:
        self.safe += 1

    async def turn(self, count: int = TURNS) -> None:
        """Claim, run and write what there is."""
        for _ in range(count):
            if self.runner._wants_more(self.queue.now):
                await self.runner._feed()
            await asyncio.sleep(0)
            self.runner._pump()
            while self.runner._outcomes and not self.work.is_away:
                await self.write()

    async def write(self) -> None:
        """Write results, as the loop does."""
        await self.runner._outcomes.write(self.runner._around.sleep)

    async def later(self, seconds: float) -> None:
        """Let time go by, and look around as the loops do."""
        while seconds > 0.0:
            self.queue.now += min(seconds, RENEWED)
            seconds -= RENEWED
            await self.runner._renew()
        self.work._has_work.set()
        await self.runner._listen()
        await self.runner._look()
        await self.turn()


def lapse(world: World, batch_id: str, lapses: dict[int, int]) -> None:
    """Lines of a batch, by their numbers, that nothing was heard of any more so often."""
    for number, count in lapses.items():
        world.work._batches[batch_id].lines[number].lapses = count


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.runner.close()


async def test_all_lines_of_a_batch_are_run_once_and_their_results_are_written(world: World) -> None:
    names = [f"line-{number}" for number in range(300)]
    await world.queue.add(*names)
    await world.turn(200)
    row = await world.queue.row()
    assert (row.state, row.ending, row.completed, row.failed) == ("finalizing", "completed", 300, 0)
    assert sorted(world.script.asked) == sorted(names)
    assert world.script.orders[0].headers == {b"x-litellm-tags": b"night"}
    assert world.runner.counts.completed == 300
    assert not world.runner.is_busy
    # What lines cost is safe before their results are.
    assert world.safe > 0


async def test_no_more_lines_run_than_may_and_those_whose_result_is_not_written_count(world: World) -> None:
    world.most = 4
    world.runner = world.made()
    await world.queue.add(*(f"line-{number}" for number in range(40)))
    world.work.is_away = True
    await world.turn()
    assert world.script.most <= 4
    assert len(world.script.asked) == 4
    world.work.is_away = False
    await world.turn(100)
    assert world.script.most <= 4
    assert (await world.queue.row()).completed == 40


async def test_in_one_turn_only_few_lines_are_begun_so_that_others_have_theirs(world: World) -> None:
    await world.queue.add(*(f"line-{number}" for number in range(40)))
    await world.runner._feed()
    assert world.runner.counts.running == AT_ONCE


async def test_several_batches_have_their_turns(world: World) -> None:
    world.most = 2
    world.runner = world.made()
    await world.queue.add(*(f"a-{number}" for number in range(20)), batch_id="a")
    await world.queue.add(*(f"b-{number}" for number in range(20)), batch_id="b")
    await world.turn(100)
    first = world.script.asked[:20]
    assert any(one.startswith("a") for one in first)
    assert any(one.startswith("b") for one in first)
    assert len(world.script.asked) == 40


@pytest.mark.requirement("batches.retried")
async def test_a_line_whose_upstream_fails_is_tried_again_and_not_for_ever(world: World) -> None:
    await world.queue.add("poor", "well")
    world.script.refusals["poor"] = [None] * 100
    began = world.queue.now
    while (await world.queue.row()).failed == 0:
        await world.later(1.0)
    # An upstream that is begun anew has time for it.
    assert world.queue.now - began >= sum(TRIES)
    row = await world.queue.row()
    assert (row.completed, row.failed) == (1, 1)
    assert world.script.asked.count("poor") == len(TRIES) + 1
    assert world.runner.counts.retried == len(TRIES)
    [poor, _] = await world.work.lines("batch_1")
    assert (poor.status, poor.is_failed) == (502, True)


async def test_a_batch_that_is_refused_rests_with_its_lines_and_others_go_on(world: World) -> None:
    await world.queue.add(*(f"a-{number}" for number in range(20)), batch_id="a")
    await world.queue.add("b", batch_id="b")

    world.script.limited = "a"
    await world.turn()
    begun = [one for one in world.script.asked if one.startswith("a")]
    assert 1 <= len(begun) <= 2 * FIRST
    assert "b" in world.script.asked
    assert (await world.queue.row("b")).completed == 1
    await world.later(LONG_REST)
    # In so long a rest somebody else may have those that were not begun.
    states = [line.state for line in await world.work.lines("a")]
    assert states.count("queued") == 20 - len(begun)
    assert len(world.script.asked) == len(begun) + 1
    await world.later(200.0)
    assert len(world.script.asked) > len(begun) + 1


async def test_money_that_others_hold_is_waited_for_and_where_there_is_none_lines_fail(world: World) -> None:
    world.script.money = 10
    await world.queue.add(*(f"line-{number}" for number in range(20)))
    for _ in range(int(POOR_SECONDS) - 10):
        await world.later(1.0)
    row = await world.queue.row()
    assert (row.completed, row.failed) == (10, 0)
    for _ in range(100):
        await world.later(1.0)
    row = await world.queue.row()
    assert (row.completed, row.failed) == (10, 10)


async def test_as_long_as_somebody_has_money_for_lines_of_a_batch_nobody_gives_up(world: World) -> None:
    """Another process has most of the lines, and all of the money."""
    world.script.money = 0
    await world.queue.add(*(f"line-{number}" for number in range(300)))
    await world.runner._feed()
    others = await world.work.claim("somebody", 128)
    while others:
        for _ in range(int(POOR_SECONDS) // 2):
            await world.later(1.0)
            await world.work.renew("somebody", [one.lease for one in others])
        await world.work.finish([answer(others.pop()) for _ in range(min(len(others), 8))])
    assert (await world.queue.row()).failed == 0
    world.script.money = 300
    for _ in range(400):
        await world.later(2.0)
    assert (await world.queue.row()).completed == 300


@pytest.mark.requirement("batches.models-apart")
@pytest.mark.parametrize("order", ["first", "between"])
async def test_a_model_that_is_refused_keeps_no_other_waiting(world: World, order: str) -> None:
    poor, well = [f"poor-{number}" for number in range(150)], [f"well-{number}" for number in range(1_000)]
    mixed = [*well]
    for place, one in enumerate(poor):
        mixed.insert(place * 7, one)
    await world.queue.add(*(poor + well if order == "first" else mixed))
    world.script.poor = "poor"
    for _ in range(60):
        await world.later(2.0)
    assert (await world.queue.row()).completed == len(well)
    # Nobody is asked more than now and then.
    assert sum(one.startswith("poor") for one in world.script.asked) < 100
    world.script.poor = "nobody"
    for _ in range(200):
        await world.later(2.0)
    assert (await world.queue.row()).completed == len(poor) + len(well)


@pytest.mark.requirement("batches.models-apart")
async def test_one_line_that_is_always_refused_keeps_no_other_of_its_model_waiting(world: World) -> None:
    names = [f"well-{number}" for number in range(600)]
    await world.queue.add("well-large", *names, model="well")
    world.script.poor = "well-large"
    for _ in range(30):
        await world.later(2.0)
    assert (await world.queue.row()).completed == len(names)
    assert world.script.asked.count("well-large") < 5
    world.script.poor = "nobody"
    for _ in range(40):
        await world.later(2.0)
    assert (await world.queue.row()).ending == "completed"


async def test_a_batch_whose_only_model_rests_is_not_claimed_over_and_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = 0
    claim = world.work.claim

    async def counted(*given: Any) -> list[Claimed]:
        nonlocal claims
        claims += 1
        return await claim(*given)

    monkeypatch.setattr(world.work, "claim", counted)
    await world.queue.add(*(f"poor-{number}" for number in range(2_000)), model="poor")
    world.script.poor = "poor"
    for _ in range(30):
        await world.later(2.0)
    assert claims < 100
    assert len(world.script.asked) < 40


@pytest.mark.requirement("batches.taken-over")
async def test_lines_that_are_being_read_are_not_forgotten_with_their_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.queue.add("line-0")
    spans, is_reading = world.queue.files.spans, asyncio.Event()
    go_on = asyncio.Event()

    async def slow(*given: Any) -> list[bytes]:
        is_reading.set()
        await go_on.wait()
        return await spans(*given)

    monkeypatch.setattr(world.queue.files, "spans", slow)
    feeding = asyncio.create_task(world.runner._feed())
    await is_reading.wait()
    for _ in range(10):
        world.queue.now += RENEWED
        await world.runner._renew()
        await world.runner._look()
    go_on.set()
    await feeding
    await world.turn()
    assert (await world.queue.row()).completed == 1


@pytest.mark.requirement("batches.poison")
async def test_a_line_that_ends_whoever_runs_it_takes_no_other_with_it(world: World) -> None:
    """What a killed process had is claimed by the next one, again and again."""
    names = ["poison", *(f"line-{number}" for number in range(40))]
    await world.queue.add(*names)
    for _ in range(MAX_LAPSES + 1):
        world.runner = world.made()
        world.script.held = {"poison": asyncio.Event()}
        for _ in range(40):
            await world.turn(5)
            if world.script.running and "poison" in world.script.asked[-1:]:
                break
        if "poison" not in world.script.asked:
            break
        # It is killed: nothing is given back.
        world.script.asked.clear()
        for task in list(world.runner._tasks._tasks):
            task.cancel()
        await asyncio.sleep(0)
        world.queue.now += 100.0
    world.script.held = {}
    world.runner = world.made()
    for _ in range(60):
        await world.later(2.0)
    lapses = {line.custom_id: line.lapses for line in world.script.claimed}
    assert lapses.pop("poison") >= SUSPECTED
    assert max(lapses.values()) <= SUSPECTED
    assert (await world.queue.row()).completed == len(names)


@pytest.mark.requirement("batches.poison")
async def test_a_line_that_is_suspected_stops_nobody_while_others_are_refused(world: World) -> None:
    world.script.poor = "poor"
    await world.queue.add(*(f"poor-{number}" for number in range(100)), batch_id="a", model="poor")
    await world.turn()
    assert len(world.runner._held) > 0
    await world.queue.add("b-0", "b-1", batch_id="b", model="b")
    lapse(world, "b", {1: SUSPECTED})
    await world.queue.add(*(f"c-{number}" for number in range(500)), batch_id="c", model="c")
    for _ in range(10):
        await world.later(2.0)
    assert [(await world.queue.row(name)).completed for name in "abc"] == [0, 2, 500]


@pytest.mark.requirement("batches.poison")
async def test_what_is_refused_while_a_line_that_is_suspected_waits_for_it_goes_back(world: World) -> None:
    world.script.poor, world.script.held["poor-0"] = "poor", asyncio.Event()
    await world.queue.add("poor-0", batch_id="a", model="poor")
    await world.turn()
    await world.queue.add("b-0", batch_id="b", model="b")
    lapse(world, "b", {1: SUSPECTED})
    await world.later(LOOK_SECONDS)
    # What runs goes on, and the suspect has to wait for it.
    assert world.script.asked == ["poor-0"]
    world.script.held["poor-0"].set()
    for _ in range(10):
        await world.later(2.0)
    assert (await world.queue.row("b")).completed == 1


@pytest.mark.requirement("batches.poison")
async def test_a_line_that_is_suspected_is_the_next_one_when_nothing_else_is_here_any_more(world: World) -> None:
    world.script.held["a-0"] = asyncio.Event()
    await world.queue.add("a-0", batch_id="a", model="a")
    await world.turn()
    await world.queue.add("b-0", batch_id="b", model="b")
    lapse(world, "b", {1: SUSPECTED})
    await world.later(LOOK_SECONDS)
    # The turn of this one would be before, and it is not known yet.
    await world.queue.add("c-0", batch_id="c", model="c")
    world.script.held["a-0"].set()
    for _ in range(10):
        await world.later(2.0)
    assert world.script.asked == ["a-0", "b-0", "c-0"]


@pytest.mark.requirement("batches.poison")
@pytest.mark.parametrize("counts", [False, True])
async def test_a_line_that_is_suspected_and_refused_or_fails_stops_nobody(world: World, counts: bool) -> None:
    world.script.poor = "nobody" if counts else "poor"
    world.script.refusals["poor-0"] = [None] * counts
    await world.queue.add("poor-0", batch_id="a", model="poor")
    lapse(world, "a", {1: SUSPECTED})
    await world.turn()
    assert world.script.asked == ["poor-0"]
    await world.queue.add(*(f"b-{number}" for number in range(100)), batch_id="b", model="b")
    await world.later(2.0)
    assert (await world.queue.row("b")).completed == 100
    world.script.poor = "nobody"
    for _ in range(60):
        await world.later(2.0)
    assert (await world.queue.row("a")).completed == 1
    # It came to an end: it is not what has ended the others.
    assert not Line(world.script.claimed[-1]).is_suspected


@pytest.mark.requirement("batches.poison")
async def test_many_that_are_suspected_and_always_fail_stop_nobody_for_long(world: World) -> None:
    names = [f"poor-{number}" for number in range(64)]
    world.script.refusals = {one: [None] * 100 for one in names}
    await world.queue.add(*names, batch_id="a")
    lapse(world, "a", dict.fromkeys(range(1, 65), MAX_LAPSES - 1))
    await world.queue.add(*(f"b-{number}" for number in range(2_000)), batch_id="b")
    for _ in range(150):
        await world.later(2.0)
    assert (await world.queue.row("b")).completed == 2_000


@pytest.mark.requirement("batches.away")
async def test_what_runs_is_not_given_back_where_the_store_fails_to_take_others_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = [f"well-{number}" for number in range(50)]
    world.script.held = {one: asyncio.Event() for one in well}
    world.script.poor = "poor"
    monkeypatch.setattr(Running, "has_place", lambda _batch, lane, _now: len(lane.ready) < FIRST)
    await world.queue.add(*(f"poor-{number}" for number in range(50)), *well)

    async def failing(*_given: Any) -> None:
        world.runner._pump()
        raise StoreDown("no answer in time")

    with monkeypatch.context() as patched:
        patched.setattr(world.work, "give_back", failing)
        with suppress(StoreDown):
            await world.runner._feed()
        await asyncio.sleep(0)
    for event in world.script.held.values():
        event.set()
    world.script.poor = "nobody"
    for _ in range(60):
        await world.later(2.0)
    assert (await world.queue.row()).completed == 100
    assert all(world.script.asked.count(one) == 1 for one in well)


@pytest.mark.requirement("batches.models-apart")
async def test_many_batches_of_large_lines_that_are_refused_leave_memory_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_BYTES", 8 * len(chat("poor-0")))
    world.script.poor = "poor"
    for number in range(10):
        await world.queue.add("poor-0", "poor-1", batch_id=f"batch_{number}")
    for _ in range(10):
        await world.later(2.0)
    await world.queue.add(*(f"well-{number}" for number in range(20)), batch_id="well")
    for _ in range(60):
        await world.later(2.0)
    assert (await world.queue.row("well")).completed == 20


@pytest.mark.requirement("batches.poison")
async def test_many_that_are_suspected_are_run_few_at_a_time_and_the_last_time_each_by_itself(world: World) -> None:
    names = [f"line-{number}" for number in range(60)]
    await world.queue.add(*names)
    lapse(world, "batch_1", {number: SUSPECTED if number > 4 else MAX_LAPSES - 1 for number in range(1, 51)})
    last, groups = {f"line-{number}" for number in range(4)}, list[set[str]]()
    take = world.runner._held.take

    def took(line: Line) -> None:
        if not world.runner._held:
            groups.append(set())
        groups[-1].add(line.claimed.custom_id)
        take(line)

    world.runner._held.take = took  # type: ignore[method-assign]
    for _ in range(60):
        await world.later(1.0)
    assert (await world.queue.row()).completed == 60
    assert all(len(group) == 1 for group in groups if group & last)
    assert all(len(group) <= FEW for group in groups if group & set(names[:50]))
    assert len(groups) < 60


@pytest.mark.requirement("batches.yields")
async def test_who_was_late_when_nothing_was_left_to_run_runs_again_what_comes(world: World) -> None:
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add("line-0")
    await world.queue.add("line-1", batch_id="batch_2")
    await world.work.pause("batch_2", is_paused=True)
    await world.turn()
    world.lag = 1.0
    await world.runner._mind()
    assert world.runner._room == 0
    world.script.held["line-0"].set()
    await world.turn()
    minding = asyncio.create_task(world.runner._mind())
    await world.work.pause("batch_2", is_paused=False)
    world.lag = 0.0
    await world.later(LOOK_SECONDS)
    minding.cancel()
    assert (await world.queue.row("batch_2")).completed == 1


@pytest.mark.requirement("batches.models-apart")
async def test_thousands_of_lines_that_are_refused_stand_before_no_other_model_for_long(world: World) -> None:
    poor, well = [f"poor-{number}" for number in range(6_000)], [f"well-{number}" for number in range(200)]
    await world.queue.add(*poor, *well)
    world.script.poor = "poor"
    for _ in range(150):
        await world.later(1.0)
    assert (await world.queue.row()).completed == len(well)
    claimed = 0
    claim = world.work.claim

    async def counted(*given: Any) -> list[Claimed]:
        nonlocal claimed
        found = await claim(*given)
        claimed += len(found)
        return found

    world.work.claim = counted  # type: ignore[assignment,method-assign]
    for _ in range(150):
        await world.later(1.0)
    # They are not claimed over and over.
    assert claimed < 150 * A_SECOND * 1.5


@pytest.mark.requirement("batches.models-apart")
@pytest.mark.parametrize("counts", [False, True])
async def test_lines_that_are_always_refused_or_always_fail_keep_no_others_of_their_model_waiting(
    world: World, counts: bool
) -> None:
    bad, well = [f"poor-{number}" for number in range(12)], [f"well-{number}" for number in range(600)]
    await world.queue.add(*bad, *well, model="well")
    world.script.poor = "poor"
    if counts:
        world.script.poor = "nobody"
        world.script.refusals = {one: [None] * 100 for one in bad}
    for _ in range(300):
        await world.later(2.0)
    row = await world.queue.row()
    assert (row.completed, row.failed) == (len(well), len(bad) if counts else 0)
    # What is always refused is asked for seldom, all the same.
    asked = sum(one in bad for one in world.script.asked)
    for _ in range(30):
        await world.later(2.0)
    assert sum(one in bad for one in world.script.asked) - asked <= 3


async def test_lines_that_are_read_when_their_batch_is_stopped_go_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.queue.add("line-0")
    spans = world.queue.files.spans

    async def slow(*given: Any) -> list[bytes]:
        world.runner.drain()
        return await spans(*given)

    monkeypatch.setattr(world.queue.files, "spans", slow)
    await world.runner._feed()
    assert not world.runner._held
    assert [line.state for line in await world.work.lines("batch_1")] == ["queued"]


async def test_what_cannot_be_stored_of_one_line_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = world.work.finish

    async def refusing(results: Sequence[Result]) -> set[LineLease]:
        if any(result.lease.number == 2 and result.status == 200 for result in results):
            raise Refused("it is too large")
        return await finish(results)

    monkeypatch.setattr(world.work, "finish", refusing)
    await world.queue.add("a", "b", "c")
    await world.turn()
    row = await world.queue.row()
    assert (row.completed, row.failed, row.ending) == (2, 1, "completed")
    assert (await world.work.lines("batch_1"))[1].status == 500


async def test_where_not_even_that_can_be_stored_the_line_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = world.work.finish

    async def refusing(results: Sequence[Result]) -> set[LineLease]:
        if any(result.lease.number == 2 for result in results):
            raise Refused("its batch has cost too much")
        return await finish(results)

    monkeypatch.setattr(world.work, "finish", refusing)
    await world.queue.add("a", "b", "c")
    await world.turn()
    assert (await world.queue.row()).completed == 2
    assert not world.runner.is_busy
    assert not world.runner._held


async def test_large_results_are_written_few_at_a_time_and_fewer_where_the_store_is_too_slow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, sizes, slow = world.work.finish, list[int](), 20

    async def counted(results: Sequence[Result]) -> set[LineLease]:
        sizes.append(len(results))
        if len(results) > slow:
            raise StoreDown("no answer in time")
        return await finish(results)

    monkeypatch.setattr(world.work, "finish", counted)
    monkeypatch.setattr(outcomes, "MAX_BYTES", 100)
    await world.queue.add(*(f"line-{number}" for number in range(64)))
    world.work.is_away = True
    await world.turn()
    await world.runner._feed()
    world.work.is_away = False
    assert len(world.runner._outcomes) == 64
    with pytest.raises(StoreDown):
        await world.write()
    with pytest.raises(StoreDown):
        await world.write()
    await world.write()
    assert sizes == [50, 25, 12]
    monkeypatch.setattr(outcomes, "MAX_BYTES", 0)
    await world.write()
    assert sizes[-1] == 1


@pytest.mark.requirement("batches.pause")
async def test_lines_that_wait_here_are_given_back_when_their_batch_is_cancelled_or_paused(world: World) -> None:
    world.most = 1
    world.runner = world.made()
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add(*(f"line-{number}" for number in range(10)))
    await world.turn()
    await world.work.pause("batch_1", is_paused=True)
    await world.later(LOOK_SECONDS)
    states = [line.state for line in await world.work.lines("batch_1")]
    assert states == ["leased", *["queued"] * 9]
    # What runs goes on.
    world.script.held["line-0"].set()
    await world.later(LOOK_SECONDS)
    assert world.script.asked == ["line-0"]
    assert (await world.queue.row()).completed == 1
    await world.work.pause("batch_1", is_paused=False)
    await world.later(LOOK_SECONDS)
    await world.later(LOOK_SECONDS)
    await world.turn(100)
    assert (await world.queue.row()).completed == 10


async def test_a_line_that_somebody_else_has_by_now_is_given_up_and_counts_nowhere(world: World) -> None:
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add("line-0")
    await world.turn()
    assert world.runner.counts.running == 1
    world.queue.now += 100.0
    [taken] = await world.work.claim("somebody", 10)
    await world.runner._renew()
    await asyncio.sleep(0)
    assert world.runner.counts.running == 0
    assert not world.runner._held
    assert await world.work.finish([answer(taken)]) == set()


@pytest.mark.requirement("batches.taken-over")
async def test_who_comes_too_late_with_a_result_is_refused(world: World) -> None:
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add("line-0")
    await world.turn()
    world.queue.now += 100.0
    [taken] = await world.work.claim("somebody", 10)
    world.script.held["line-0"].set()
    await world.turn()
    assert world.runner.counts.completed == 0
    assert await world.work.finish([answer(taken, 404)]) == set()
    assert (await world.queue.row()).failed == 1


@pytest.mark.requirement("batches.away")
async def test_while_the_store_is_away_results_wait_and_are_written_once(world: World) -> None:
    await world.queue.add("line-0")
    world.work.is_away = True
    await world.turn()
    with pytest.raises(StoreDown):
        await world.write()
    assert world.runner.is_busy
    world.work.is_away = False
    await world.write()
    assert (await world.queue.row()).completed == 1


async def test_what_cannot_be_given_back_is_owed(world: World) -> None:
    world.most = 1
    world.runner = world.made()
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add("line-0", "line-1")
    await world.turn()
    world.work.is_away = True
    world.runner.drain()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [line.state for line in await world.work.lines("batch_1")] == ["leased", "leased"]
    world.work.is_away = False
    await world.runner._look()
    assert [line.state for line in await world.work.lines("batch_1")] == ["leased", "queued"]
    world.script.held["line-0"].set()


async def test_who_drains_begins_nothing_and_ends_what_runs(world: World) -> None:
    world.most = 1
    world.runner = world.made()
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add("line-0", "line-1")
    await world.turn()
    world.runner.drain()
    await world.turn()
    assert world.runner.counts.running == 1
    world.script.held["line-0"].set()
    await world.turn()
    assert not world.runner.is_busy
    assert world.script.asked == ["line-0"]
    assert [line.state for line in await world.work.lines("batch_1")] == ["done", "queued"]


@pytest.mark.requirement("batches.taken-over")
async def test_who_ends_at_once_leaves_everything_to_others_at_once(world: World) -> None:
    world.script.held["line-0"] = asyncio.Event()
    await world.queue.add("line-0", "line-1")
    await world.runner._feed()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await world.runner.close()
    states = [line.state for line in await world.work.lines("batch_1")]
    assert states[0] == "queued"
    assert "leased" not in states


async def test_lines_whose_input_file_is_gone_fail(world: World) -> None:
    await world.queue.add("line-0", "line-1")
    world.queue.rows.rows.clear()
    await world.turn()
    row = await world.queue.row()
    assert (row.failed, row.ending) == (2, "completed")
    assert b"file_not_found" in (await world.work.lines("batch_1"))[0].body


async def test_when_its_input_file_is_deleted_the_rest_of_a_batch_fails_and_others_go_on(world: World) -> None:
    await world.queue.add(*(f"line-{n}" for n in range(600)))
    await world.runner._feed()
    read = len(world.runner._held)
    await world.queue.files.delete("", doc_of(await world.queue.row()).input_file_id)
    await world.queue.add("other-0", batch_id="batch_2")
    await world.turn(100)
    row = await world.queue.row()
    assert (row.completed, row.failed) == (read, 600 - read)
    assert 0 < read < 600
    assert (await world.queue.row("batch_2")).completed == 1
    assert PAUSE not in world.slept


async def test_a_batch_whose_file_cannot_be_read_for_now_keeps_no_other_waiting(world: World) -> None:
    await world.queue.add("line-0")
    await world.queue.add("other-0", batch_id="batch_2")
    source = await world.queue.files.find("", doc_of(await world.queue.row()).input_file_id)
    blob = world.directory / source.blob
    blob.rename(world.directory / "elsewhere")
    await world.turn()
    assert ((await world.queue.row()).completed, (await world.queue.row("batch_2")).completed) == (0, 1)
    assert PAUSE not in world.slept
    (world.directory / "elsewhere").rename(blob)
    await world.later(LONG_REST)
    assert (await world.queue.row()).completed == 1


async def test_while_files_cannot_be_read_lines_go_back(world: World) -> None:
    await world.queue.add("line-0")
    world.queue.rows.is_down = True
    await world.runner._feed()
    assert not world.runner._held
    [line] = await world.work.lines("batch_1")
    assert line.state == "queued"
    world.queue.rows.is_down = False
    await world.later(LONG_REST)
    assert (await world.queue.row()).completed == 1


async def test_lines_are_claimed_as_far_as_there_is_memory_for_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.queue.add(*(f"line-{number}" for number in range(10)))
    monkeypatch.setattr(held, "MAX_BYTES", 300)
    world.lag = 1.0
    await world.runner._feed()
    assert 1 <= len(world.runner._held) < 5
    monkeypatch.setattr(held, "MAX_BYTES", 1 << 20)
    await world.turn(100)
    assert (await world.queue.row()).completed == 10


@pytest.mark.requirement("batches.yields")
async def test_room_is_left_for_clients_who_are_there_and_not_for_one_who_looks_in(world: World) -> None:
    world.script.held = {f"line-{number}": asyncio.Event() for number in range(10)}
    await world.queue.add(*world.script.held)
    await world.turn()
    world.clients = 1
    await world.runner._mind()
    world.clients = 0
    await world.runner._mind()
    assert world.runner._room == 64
    world.clients = 1
    busy = iter(range(100))
    world.runner._around = replace(world.runner._around, processor=lambda: float(next(busy)))
    for _ in range(20):
        await world.runner._mind()
    assert world.runner._room < 10
    for event in world.script.held.values():
        event.set()


async def test_a_batch_of_which_nothing_is_here_is_forgotten(world: World) -> None:
    await world.queue.add("line-0")
    await world.turn()
    assert world.runner._batches
    await world.later(1000.0)
    assert not world.runner._batches


async def test_loops_go_on_after_a_failure_of_the_store_and_after_any_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def step() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreDown("it is away")
        if calls == 2:
            raise RuntimeError("a fault")
        if calls > 3:
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(world.runner._forever(step))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    assert calls == 4
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


async def test_once_started_it_runs_whatever_comes(world: World) -> None:
    hints = 0

    def hint() -> None:
        nonlocal hints
        hints += 1

    world.runner.on_work = hint
    world.runner.start()
    await world.queue.add("line-0")
    async with asyncio.timeout(10):
        while (await world.queue.row()).completed < 1:
            await asyncio.sleep(0)
    assert hints > 0
    await world.runner.close()
