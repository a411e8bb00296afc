from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from pointsman.access.budgets import UNREACHED
from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.access.slices import Lent, Refused, Returned
from pointsman.store import parent
from pointsman.store.base import StoreDown
from pointsman.store.counting import Counted
from pointsman.store.lending import (
    Ask,
    Denied,
    GiveBack,
    Granted,
    Lender,
    Message,
    Messages,
    Recall,
    Recalled,
    Tell,
    Untold,
)
from pointsman.store.parent import ParentCounters

RPM = Limit("rpm", "rate", 640, 60.0)
PLACES = Limit("places", "slots", 640)
BUDGET = Limit("budget", "money", 6_400)
SOFT = Limit("soft", "money", UNREACHED)
ALL = (Charge(RPM, 1), Charge(PLACES, 1), Charge(BUDGET, 10))
NOW = 1_000.0
DEADLINE = 0.02
LEFT = 400


class Parent:
    """Answers as the test says."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self.line = Messages(lambda _, message: self.heard.put_nowait(message), lambda _: self.heard.put_nowait(None))

    async def hears(self) -> Message | None:
        async with asyncio.timeout(5):
            return await self.heard.get()

    async def asked(self) -> Ask:
        while not isinstance(message := await self.hears(), Ask):
            assert message is not None
        return message

    async def grant(self, more: int = 0) -> Ask:
        ask = await self.asked()
        left = [UNREACHED if want.limit == SOFT else LEFT for want in ask.wants]
        lent = [
            Lent(want.need + (more if want.is_eager else 0), one) for want, one in zip(ask.wants, left, strict=True)
        ]
        self.line.send(Granted(ask.id, NOW, lent, 4))
        return ask


async def spent(_limit: Limit) -> int:
    return 400


def is_away(counters: ParentCounters) -> bool:
    return counters._is_away


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def other() -> AsyncIterator[Parent]:
    made = Parent()
    yield made
    made.line.close()


@pytest.fixture
async def counters(other: Parent, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ParentCounters]:
    monkeypatch.setattr(parent, "PROBE_SECONDS", 0.001)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    await asyncio.get_running_loop().create_connection(lambda: other.line, sock=ours)
    made = ParentCounters(theirs, spent, lambda: NOW, deadline=DEADLINE)
    await made.open()
    yield made
    await made.close()
    await until(lambda: not made._line.is_open)


async def test_what_was_borrowed_costs_no_round_trip(counters: ParentCounters, other: Parent) -> None:
    assert counters.reserve_now(ALL) is None
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    ask = await other.grant(30)
    assert [(want.limit, want.need, want.is_eager) for want in ask.wants] == [(c.limit, c.amount, True) for c in ALL]
    first = await waiting
    second = counters.reserve_now(ALL)
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert not first.is_local
    assert counters.reserve_now((Charge(BUDGET, 21),)) is None
    assert counters.remaining(PLACES) == LEFT + 29
    assert counters.remaining(Limit("other", "slots", 1)) is None


async def test_the_parent_is_told_what_was_spent_and_gets_back_of_rates_what_was_not_used(
    counters: ParentCounters, other: Parent
) -> None:
    waiting = asyncio.ensure_future(counters.reserve((Charge(RPM, 100), Charge(PLACES, 1), Charge(BUDGET, 10))))
    await other.grant()
    grant = await waiting
    assert isinstance(grant, Grant)
    for _ in range(2):
        counters.settle(grant, {"rpm": 60, "budget": 7})
    told = await other.hears()
    assert isinstance(told, GiveBack)
    assert [(one.key, one.unused, one.spent) for one in told.returned] == [("rpm", 40, 0), ("budget", 0, 7)]


async def test_what_is_recalled_is_returned_at_once(counters: ParentCounters, other: Parent) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await other.grant(30)
    await waiting
    other.line.send(Recall(5, "places"))
    assert await other.hears() == GiveBack([Returned("places", NOW, 30, 0)])
    assert await other.hears() == Recalled(5)
    other.line.send(Recall(6, "nobody's"))
    assert await other.hears() == Recalled(6)
    assert counters.reserve_now((Charge(PLACES, 1),)) is None


async def test_what_there_is_no_more_of_goes_back_as_it_becomes_free(counters: ParentCounters, other: Parent) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await other.grant(30)
    grant = await waiting
    assert isinstance(grant, Grant)
    other.line.send(Recall(0, "budget"))
    assert await other.hears() == GiveBack([Returned("budget", NOW, 30, 0)])
    assert await other.hears() == Recalled(0)
    counters.settle(grant, {"budget": 4})
    assert counters.reserve_now((Charge(BUDGET, 1),)) is None
    assert await other.hears() == GiveBack([Returned("budget", NOW, 6, 4)])


async def test_a_refusal_takes_nothing_and_holds_for_a_moment(counters: ParentCounters, other: Parent) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await other.grant(30)
    await waiting
    many = (Charge(PLACES, 20), Charge(RPM, 60))
    waiting = asyncio.ensure_future(counters.reserve(many))
    ask = await other.asked()
    other.line.send(Denied(ask.id, Refused(0, -3, 12.0)))
    assert await waiting == Refusal(RPM, 12.0, 27)
    assert counters.reserve_now((Charge(RPM, 60),)) == Refusal(RPM, 12.0, 27)
    assert isinstance(counters.reserve_now((Charge(PLACES, 30), Charge(RPM, 30))), Grant)


async def test_a_ceiling_that_was_changed_ends_what_was_borrowed_under_the_old_one(
    counters: ParentCounters, other: Parent
) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await other.grant(30)
    await waiting
    fewer = (Charge(Limit("places", "slots", 3), 1),)
    assert counters.reserve_now(fewer) is None
    waiting = asyncio.ensure_future(counters.reserve(fewer))
    assert await other.hears() == GiveBack([Returned("places", NOW, 30, 0)])
    await other.grant()
    assert isinstance(await waiting, Grant)


async def test_money_that_nobody_has_counted_is_told_by_the_ledger(counters: ParentCounters, other: Parent) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    ask = await other.asked()
    other.line.send(Untold(ask.id, 2))
    assert await other.hears() == Tell("budget", 400, float("inf"), is_first=True)
    await other.grant()
    assert isinstance(await waiting, Grant)
    await counters.seed("budget", 9)
    assert await other.hears() == Tell("budget", 9, float("inf"), is_first=False)


async def test_what_is_granted_to_who_has_left_is_there_for_others(counters: ParentCounters, other: Parent) -> None:
    for is_answered in (False, True):
        waiting = asyncio.ensure_future(counters.reserve((Charge(PLACES, 40),)))
        ask = await other.asked()
        if is_answered:
            other.line.send(Granted(ask.id, NOW, [Lent(ask.wants[0].need, 0)], 1))
            await until(lambda: not counters._questions)
            waiting.cancel()
        else:
            waiting.cancel()
            other.line.send(Granted(ask.id, NOW, [Lent(20, 0)], 1))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: not counters._questions)
        assert counters._slices["places"].free == (40 if is_answered else 20)
        assert counters._slices["places"].busy == 0


async def test_requests_go_on_with_a_share_while_the_parent_is_silent_and_it_is_told_once(
    counters: ParentCounters, other: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    soft = (Charge(RPM, 1), Charge(PLACES, 1), Charge(SOFT, 10))
    waiting = asyncio.ensure_future(counters.reserve(soft))
    await other.grant()
    await waiting
    count = 1
    while not is_away(counters):
        late = await counters.reserve(soft)
        assert isinstance(late, Grant)
        assert late.is_local
        count += 1
    local = counters.reserve_now(soft)
    assert isinstance(local, Grant)
    for _ in range(2):
        counters.settle(local, {"soft": 3})
    told: list[Returned] = []
    while is_away(counters) or not told:
        message = await other.hears()
        if isinstance(message, Ask):
            other.line.send(Granted(message.id, NOW, [Lent(want.need, 0) for want in message.wants], 1))
        elif isinstance(message, GiveBack):
            told += message.returned
        await asyncio.sleep(0.001)
    # It was spent, and let through, on top of what was lent.
    told.sort(key=lambda one: one.key)
    assert told == [Returned("rpm", 0.0, -count, 0), Returned("soft", 0.0, -3, 3)]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the parent process that counts is down",
        "the parent process that counts is back",
    ]


async def test_a_worker_goes_on_when_its_parent_has_died(
    counters: ParentCounters, other: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    some = ALL[:2]
    waiting = asyncio.ensure_future(counters.reserve(some))
    await other.asked()
    other.line.abort()
    grant = await waiting
    assert isinstance(grant, Grant)
    assert grant.is_local
    counters.settle(grant, {})
    assert isinstance(counters.reserve_now(some), Grant)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.requirement("counters.workers_share")
async def test_of_a_budget_only_what_was_lent_is_used_while_the_parent_is_silent(
    counters: ParentCounters, other: Parent
) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await other.grant(25)
    await waiting
    grants = []
    while not is_away(counters):
        try:
            grants.append(await counters.reserve((*ALL[:2], Charge(BUDGET, 10))))
        except StoreDown:
            assert counters.reserve_now(ALL) is None
    lent = [grant for grant in grants if isinstance(grant, Grant)]
    # Two of them fit into what was lent; 400 are left for all, as far as this worker knows.
    assert len(lent) == len(grants) == 2
    with pytest.raises(StoreDown):
        await counters.reserve(ALL)
    counters.settle(lent[0], {"budget": 4})
    last = counters.reserve_now(ALL)
    assert isinstance(last, Grant)
    assert last.is_local
    counters.settle(last, {"budget": 12})
    assert counters.reserve_now(ALL) is None
    other.line.abort()
    await until(lambda: not counters._line.is_open)
    # Others may have it by now.
    assert counters.reserve_now((Charge(BUDGET, 1),)) is None
    with pytest.raises(StoreDown):
        await counters.reserve((Charge(BUDGET, 1),))


@pytest.mark.requirement("counters.workers_share")
async def test_workers_of_a_parent_that_is_late_never_spend_more_than_there_is() -> None:
    now = NOW
    lender = Lender(lambda: now)
    workers = []
    for _ in range(4):
        ours, theirs = socket.socketpair()
        await lender.serve(ours)
        workers.append(ParentCounters(theirs, spent, lambda: now, deadline=DEADLINE))
        await workers[-1].open()
    charge = (Charge(Limit("budget", "money", 1_400), 100),)
    granted = 0
    # The first ones have heard that there was much left; it is used by the last one.
    for worker in workers:
        while isinstance(await worker.reserve(charge), Grant):
            granted += 1
            if worker is not workers[-1]:
                break
    assert granted == 10
    for line in lender._lines.values():
        assert line._transport is not None
        line._transport.pause_reading()
    for worker in workers:
        for _ in range(10):
            try:
                granted += isinstance(await worker.reserve(charge), Grant)
            except StoreDown:
                assert is_away(worker) or worker._breaker._failures
    assert granted == 10
    for worker in workers:
        await worker.close()
    lender.close()
    await until(lambda: not lender._lines)


@pytest.mark.requirement("budgets.reconcile")
async def test_all_workers_write_down_and_tell_what_they_have_spent_before_it_is_compared() -> None:
    lender = Lender(lambda: NOW)
    wrote: list[int] = []
    is_well = [True, True]

    def worker(sock: socket.socket, number: int) -> ParentCounters:
        async def write_down() -> bool:
            wrote.append(number)
            return is_well[number]

        return ParentCounters(sock, spent, lambda: NOW, write_down=write_down)

    workers = []
    for number in range(2):
        ours, theirs = socket.socketpair()
        await lender.serve(ours)
        workers.append(worker(theirs, number))
        await workers[-1].open()
    one, two = workers
    assert await one.counted(BUDGET) is None
    ended, running = await two.reserve(ALL), await two.reserve(ALL)
    assert isinstance(ended, Grant)
    assert isinstance(running, Grant)
    two.settle(ended, {"budget": 7})
    assert await one.gather()
    assert sorted(wrote) == [0, 1]
    # Nothing is lent but what is reserved.
    assert await one.counted(BUDGET) == Counted(407, 10)
    one.adjust("budget", -5)
    assert await one.counted(BUDGET) == Counted(402, 10)
    two.adjust("budget", 8)
    two.settle(running, {"budget": 1})
    assert await two.gather()
    assert await one.counted(BUDGET) == Counted(411, 0)
    is_well[1] = False
    assert not await one.gather()
    lender.close()
    await until(lambda: not lender._lines)
    assert not await one.gather()
    with pytest.raises(StoreDown):
        await one.counted(BUDGET)
    for each in workers:
        await each.close()


async def test_all_that_is_not_in_use_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "TICK", 0.001)
    now = NOW
    lender = Lender(lambda: now)
    ours, theirs = socket.socketpair()
    await lender.serve(ours)
    counters = ParentCounters(theirs, spent, lambda: now)
    await counters.open()
    grant = await counters.reserve(ALL)
    assert isinstance(grant, Grant)
    counters.settle(grant, {})
    now += 1e6
    await until(lambda: not counters._slices)
    await until(lambda: counters._tick is None)
    await counters.close()
    await until(lambda: not lender._lines)
