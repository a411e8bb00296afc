from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store import redis
from pointsman.store.base import StoreDown
from pointsman.store.counting import Counted
from pointsman.store.redis import RedisCounters
from pointsman.store.settings import RedisSettings
from pointsman.telemetry.tasks import Tasks

RPM = Limit("rpm", "rate", 640, 60.0)
PLACES = Limit("places", "slots", 640)
BUDGET = Limit("budget", "money", 6_400)
ALL = (Charge(RPM, 5), Charge(PLACES, 1), Charge(BUDGET, 10))
AT = 5_000_000
GRANTED = [1, 635, 639, 6_390]


class FakeLink:
    """A server that answers each question as the test says."""

    def __init__(self, *_: Any) -> None:
        self.epoch = 0
        self.is_open = False
        self.is_down = False
        self.is_silent = False
        self.said: list[Any] = []
        """What was told and asked: number, dues, holds, seeds and asks, with the names of keys."""
        self.answers: list[Any] = []
        """To the next requests; by default they are granted."""

    async def open(self) -> None:
        if self.is_down:
            raise ConnectionRefusedError("refused")
        self.epoch += 1
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def call(self, keys: list[str], message: bytes) -> Any:
        _, epoch, number, now, _, dues, holds, seeds, asks = msgspec.msgpack.decode(message)
        assert epoch == self.epoch
        assert now == 0

        def named(rows: list[Any]) -> list[Any]:
            return [[keys[place - 1].rpartition(":")[2], *rest] for place, *rest in rows]

        is_silent = self.is_silent
        self.said.append((number, named(dues), named(holds), named(seeds), [named(ask) for ask in asks]))
        await asyncio.sleep(0)
        if is_silent:
            raise TimeoutError
        return [1, AT, 4, [self.answers.pop(0) if self.answers else GRANTED[: len(ask) + 1] for ask in asks]]


async def spent(_limit: Limit) -> int:
    return 400


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> FakeLink:
    made = FakeLink()
    monkeypatch.setattr(redis, "ScriptLink", lambda *_: made)
    monkeypatch.setattr(redis, "PROBE_SECONDS", 0.001)
    monkeypatch.setattr(redis, "REPORT_SECONDS", 0.001)
    return made


@pytest.fixture
async def counters(link: FakeLink) -> AsyncIterator[RedisCounters]:
    tasks = Tasks(logging.getLogger("test"), 10)
    made = RedisCounters(RedisSettings(), tasks, spent, deadline=5.0)
    await made.open()
    link.said.clear()
    yield made
    await made.close()
    assert await tasks.close(1) == []


async def heard(link: FakeLink, count: int) -> Any:
    async with asyncio.timeout(5):
        while len(link.said) < count:
            await asyncio.sleep(0)
    return link.said[count - 1]


async def test_one_call_asks_for_all_that_a_request_brings(counters: RedisCounters, link: FakeLink) -> None:
    assert counters.reserve_now(ALL) is None
    grant = await counters.reserve(ALL)
    assert isinstance(grant, Grant)
    assert not grant.is_local
    ((_, dues, holds, seeds, asks),) = link.said
    assert (dues, holds, seeds) == ([], [], [])
    assert [charge[:3] for charge in asks[0]] == [
        ["rpm", "rate", 640],
        ["places", "slots", 640],
        ["budget", "money", 6_400],
    ]
    assert [counters.remaining(charge.limit) for charge in ALL] == GRANTED[1:]
    assert counters.remaining(Limit("other", "slots", 1)) is None


async def test_what_the_ledger_knows_is_told_even_if_other_calls_went_out_meanwhile(link: FakeLink) -> None:
    is_read = asyncio.Event()

    async def slow(_limit: Limit) -> int:
        await is_read.wait()
        return 400

    tasks = Tasks(logging.getLogger("test"), 10)
    counters = RedisCounters(RedisSettings(), tasks, slow, deadline=5.0)
    await counters.open()
    link.said.clear()
    link.answers.append([2, 2])
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await heard(link, 1)
    assert isinstance(await counters.reserve((Charge(RPM, 1),)), Grant)
    is_read.set()
    assert isinstance(await waiting, Grant)
    assert [row[:3] for row in link.said[-1][3]] == [["budget", 400, True]]
    await counters.close()
    assert await tasks.close(1) == []


async def test_what_was_let_through_while_the_server_was_away_is_told_when_it_is_back(
    counters: RedisCounters, link: FakeLink
) -> None:
    await counters.reserve(ALL)
    link.is_silent = True
    late = await counters.reserve(ALL)
    assert isinstance(late, Grant)
    assert late.is_local
    link.is_silent = False
    async with asyncio.timeout(5):
        while counters._is_away:
            await asyncio.sleep(0.001)
    said = len(link.said)
    await heard(link, said + 1)
    assert ["rpm", "rate", 0, -5, 60_000_000] in [due for one in link.said[said - 1 :] for due in one[1]]


async def test_requests_that_come_together_go_out_together(counters: RedisCounters, link: FakeLink) -> None:
    grants = await asyncio.gather(*(counters.reserve(ALL) for _ in range(5)))
    assert all(isinstance(grant, Grant) for grant in grants)
    assert [len(asks) for *_, asks in link.said] == [5]


async def test_it_is_told_what_was_used_and_what_is_held(counters: RedisCounters, link: FakeLink) -> None:
    first, second = [await counters.reserve(ALL) for _ in range(2)]
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    for _ in range(2):
        counters.settle(first, {"rpm": 2, "budget": 7})
    number, dues, holds, _, asks = await heard(link, 3)
    assert (number, asks) == (1, [])
    assert dues == [["rpm", "rate", AT, 3, 60_000_000], ["budget", "money", 0, 7, 0]]
    assert sorted(holds) == [["budget", 10], ["places", 1]]
    counters.release(second)
    number, dues, holds, _, _ = await heard(link, 4)
    assert (number, dues) == (2, [["rpm", "rate", AT, 5, 60_000_000]])
    assert sorted(holds) == [["budget", 0], ["places", 0]]


async def test_a_refusal_says_which_limit_and_for_how_long(counters: RedisCounters, link: FakeLink) -> None:
    link.answers = [[0, 0, -4, 1_500_000], [0, 1, 3, -1]]
    assert await counters.reserve(ALL) == Refusal(RPM, 1.5, 0)
    assert await counters.reserve(ALL) == Refusal(PLACES, None, 3)
    assert counters.remaining(RPM) == 0


async def test_money_that_nobody_has_counted_is_told_by_the_ledger(counters: RedisCounters, link: FakeLink) -> None:
    link.answers = [[2, 2]]
    assert isinstance(await counters.reserve(ALL), Grant)
    assert link.said[1][3][0][:3] == ["budget", 400, True]
    await counters.seed("budget", 9)
    assert (await heard(link, 3))[3][0][:3] == ["budget", 9, False]


@pytest.mark.requirement("budgets.reconcile")
async def test_what_was_counted_is_asked_for_and_put_right(
    counters: RedisCounters, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "OTHERS_WRITE", 0.0)
    link.answers = [[3, 40, 10], [2, 0]]
    assert await counters.counted(BUDGET) == Counted(40, 10)
    assert [charge[4] for charge in link.said[0][4][0]] == [0]
    assert await counters.counted(BUDGET) is None
    counters.adjust("budget", -5)
    assert (await heard(link, 3))[1] == [["budget", "money", 0, -5, 0]]
    assert await counters.gather()
    link.is_silent = True
    with pytest.raises(StoreDown):
        await counters.counted(BUDGET)
    assert not await counters.gather()
    with pytest.raises(StoreDown):
        await counters.counted(BUDGET)


async def test_who_leaves_while_it_waits_gets_nothing(counters: RedisCounters, link: FakeLink) -> None:
    waiting = asyncio.ensure_future(counters.reserve(ALL))
    await heard(link, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    _, dues, holds, _, _ = await heard(link, 2)
    assert dues == [["rpm", "rate", AT, 5, 60_000_000]]
    assert sorted(holds) == [["budget", 0], ["places", 0]]


async def test_what_may_not_have_been_heard_is_told_again_by_its_number(
    counters: RedisCounters, link: FakeLink
) -> None:
    open_one, grant = [await counters.reserve(ALL) for _ in range(2)]
    assert isinstance(grant, Grant)
    assert isinstance(open_one, Grant)
    link.is_silent = True
    counters.settle(grant, {"budget": 7})
    await heard(link, 3)
    link.is_silent = False
    counters.settle(open_one, {"budget": 8})
    number, dues, holds, _, _ = await heard(link, 4)
    assert (number, dues) == (1, [["budget", "money", 0, 7, 0]])
    assert sorted(holds) == [["budget", 0], ["places", 0]]
    number, dues, _, _, _ = await heard(link, 5)
    assert (number, dues) == (2, [["budget", "money", 0, 8, 0]])


async def test_what_a_lost_call_may_have_reserved_is_put_right(counters: RedisCounters, link: FakeLink) -> None:
    link.is_silent = True
    grant = await counters.reserve(ALL)
    assert isinstance(grant, Grant)
    assert grant.is_local
    link.is_silent = False
    _, _, holds, _, _ = await heard(link, 2)
    assert sorted(holds) == [["budget", 0], ["places", 0]]


async def test_nobody_waits_for_a_connection(
    counters: RedisCounters, link: FakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    link.is_silent = link.is_down = True
    grant = await counters.reserve(ALL)
    assert isinstance(grant, Grant)
    local = counters.reserve_now(ALL[:2])
    assert isinstance(local, Grant)
    assert local.is_local
    counters.settle(grant, {"budget": 7})
    async with asyncio.timeout(5):
        while not caplog.records:
            await asyncio.sleep(0)
    link.is_silent = link.is_down = False
    number, dues, _, _, _ = await heard(link, 2)
    assert (number, dues) == (1, [["budget", "money", 0, 7, 0]])
    async with asyncio.timeout(5):
        while counters.reserve_now(ALL) is not None:
            await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == [
        "the Redis that counts is down: refused",
        "the Redis that counts is back",
    ]


async def test_a_connection_that_was_replaced_is_given_up(
    counters: RedisCounters, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def replaced(*_: Any) -> Any:
        return [0]

    monkeypatch.setattr(link, "call", replaced)
    grant = await counters.reserve(ALL)
    assert isinstance(grant, Grant)
    assert grant.is_local


async def test_what_is_held_is_given_up_at_the_end(link: FakeLink) -> None:
    tasks = Tasks(logging.getLogger("test"), 10)
    counters = RedisCounters(RedisSettings(), tasks, spent)
    await counters.open()
    await counters.reserve(ALL)
    await counters.close()
    _, _, holds, _, _ = link.said[-1]
    assert sorted(holds) == [["budget", 0], ["places", 0]]
    assert not link.is_open
