from __future__ import annotations

import asyncio

import pytest

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store.memory import MemoryCounters

RPM = Limit("rpm", "rate", 10, 60.0)
PLACES = Limit("places", "slots", 1)
BUDGET = Limit("budget", "money", 100)


class Ledger:
    """Knows what was spent, after a while."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_open = asyncio.Event()

    async def __call__(self, limit: Limit) -> int:
        self.asked.append(limit.key)
        await self.is_open.wait()
        return 30


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def counters(ledger: Ledger) -> MemoryCounters:
    return MemoryCounters(ledger, lambda: 1_000.0)


async def test_the_ledger_is_asked_for_money_that_nobody_has_counted(counters: MemoryCounters, ledger: Ledger) -> None:
    charges = (Charge(RPM, 1), Charge(BUDGET, 20))
    assert counters.reserve_now(charges) is None
    assert counters.remaining(BUDGET) is None
    waiting = [asyncio.ensure_future(counters.reserve(charges)) for _ in range(2)]
    await asyncio.sleep(0)
    ledger.is_open.set()
    assert all(isinstance(one, Grant) for one in await asyncio.gather(*waiting))
    assert ledger.asked == ["budget", "budget"]
    assert counters.remaining(BUDGET) == 30
    assert counters.remaining(RPM) == 8
    assert isinstance(counters.reserve_now(charges), Grant)


async def test_what_is_refused_takes_nothing_of_what_stands_before_it(counters: MemoryCounters) -> None:
    counters.set_spent("budget", 100)
    refused = counters.reserve_now((Charge(RPM, 3), Charge(PLACES, 1), Charge(BUDGET, 1)))
    assert refused == Refusal(BUDGET, None, 0)
    assert counters.remaining(RPM) == 10
    assert counters.remaining(PLACES) == 1


async def test_a_grant_is_settled_once(counters: MemoryCounters) -> None:
    await counters.seed("budget", 0)
    grant = counters.reserve_now((Charge(RPM, 5), Charge(PLACES, 1), Charge(BUDGET, 50)))
    assert isinstance(grant, Grant)
    for _ in range(2):
        counters.settle(grant, {"budget": 7, "rpm": 2})
        counters.release(grant)
    assert [counters.remaining(limit) for limit in (RPM, PLACES, BUDGET)] == [8, 1, 93]
    await counters.close()


async def test_what_was_not_used_is_released(counters: MemoryCounters) -> None:
    await counters.seed("budget", 0)
    grant = counters.reserve_now((Charge(RPM, 5), Charge(PLACES, 1), Charge(BUDGET, 50)))
    assert isinstance(grant, Grant)
    counters.release(grant)
    assert [counters.remaining(limit) for limit in (RPM, PLACES, BUDGET)] == [10, 1, 100]
