from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from random import Random

import pytest
from contract.redis_server import RedisServer, redis_or_skip

from pointsman.access.limits import Charge, Grant, Limit
from pointsman.store.counting import Counted, Counters
from pointsman.store.lending import Lender
from pointsman.store.memory import MemoryCounters
from pointsman.store.parent import ParentCounters
from pointsman.store.redis import RedisCounters
from pointsman.store.settings import RedisSettings
from pointsman.telemetry.tasks import Tasks

ABORTED = int(os.environ.get("POINTSMAN_ABORTED_REQUESTS", "500"))
AT_A_TIME = 20
PLACES = Limit("places", "slots", 12)
BUDGET = Limit("budget", "money", 10**12)
PATIENCE = 30.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = redis_or_skip()
    yield server
    server.close()


@pytest.fixture(params=["memory", "parent", "redis"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    tasks = Tasks(logging.getLogger("test"), 10)
    lender = Lender()
    made: MemoryCounters | ParentCounters | RedisCounters
    if request.param == "memory":
        made = MemoryCounters()
    elif request.param == "parent":
        ours, theirs = socket.socketpair()
        await lender.serve(ours)
        made = ParentCounters(theirs, deadline=PATIENCE, refusal_rests=0)
        await made.open()
    else:
        made = RedisCounters(RedisSettings(port=request.getfixturevalue("redis").port), tasks, deadline=PATIENCE)
        await made.open()
    yield made
    await made.close()
    async with asyncio.timeout(PATIENCE):
        while lender._lines:
            await asyncio.sleep(0)
    assert await tasks.close(1) == []


@pytest.mark.requirement("counters.no_leaks")
async def test_requests_that_are_aborted_at_any_moment_leave_nothing_reserved(counters: Counters) -> None:
    chance, spent = Random(0), 0

    async def request() -> None:
        nonlocal spent
        grant = await counters.reserve((Charge(PLACES, 1), Charge(BUDGET, 1_000)))
        if isinstance(grant, Grant):
            used = {}
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                used = {"budget": 900}
            finally:
                spent += used.get("budget", 0)
                counters.settle(grant, used or {"budget": 0})

    for _ in range(ABORTED // AT_A_TIME):
        running = [asyncio.ensure_future(request()) for _ in range(AT_A_TIME)]
        for one in running:
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            one.cancel()
        for one in running:
            with suppress(asyncio.CancelledError):
                await one
    async with asyncio.timeout(PATIENCE):
        while not isinstance(
            done := await counters.reserve((Charge(PLACES, 12), Charge(BUDGET, 10**12 - spent))), Grant
        ):
            await asyncio.sleep(0.001)
    counters.release(done)
    refused = await counters.reserve((Charge(BUDGET, 10**12 - spent + 1),))
    assert not isinstance(refused, Grant)


@pytest.mark.requirement("budgets.reconcile")
async def test_what_was_spent_is_told_without_what_is_reserved_and_can_be_moved(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointsman.store.redis.OTHERS_WRITE", 0.0)
    limit = Limit("compared", "money", 1_000)
    assert await counters.counted(limit) is None
    ended, running = [await counters.reserve((Charge(limit, 100),)) for _ in range(2)]
    assert isinstance(ended, Grant)
    assert isinstance(running, Grant)
    counters.settle(ended, {"compared": 30})

    async def becomes(spent: int, held: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while await counters.counted(limit) != Counted(spent, held):
                assert await counters.gather()

    await becomes(30, 100)
    counters.adjust("compared", 50)
    await becomes(80, 100)
    counters.adjust("compared", -20)
    await becomes(60, 100)
    counters.settle(running, {"compared": 5})
    await becomes(65, 0)
    assert not isinstance(await counters.reserve((Charge(limit, 936),)), Grant)
    last = await counters.reserve((Charge(limit, 935),))
    assert isinstance(last, Grant)
    counters.release(last)
