"""Some processes that share counters, each kind of counters in its own way, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Coroutine, Mapping, Sequence
from itertools import count
from typing import Any, Protocol, TypeVar

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store.lending import Lender
from pointsman.store.memory import MemoryCounters
from pointsman.store.parent import ParentCounters
from pointsman.store.redis import LEASE, RENEWAL, RedisCounters
from pointsman.store.settings import RedisSettings
from pointsman.telemetry.tasks import Tasks

T = TypeVar("T")

BEGINNING = 1_000.0
PATIENCE = 60.0
_names = count(1)


class World(Protocol):
    """The processes are numbered. Whatever is done has been heard of everywhere when it returns."""

    size: int
    lease: float
    """Seconds after which what a killed process holds is free."""
    now: float

    async def reserve(self, who: int, charges: Sequence[Charge]) -> Grant | Refusal: ...
    async def settle(self, who: int, grant: Grant, actual: Mapping[str, int]) -> None: ...
    async def release(self, who: int, grant: Grant) -> None: ...
    async def seed(self, who: int, key: str, used: int) -> None: ...
    async def advance(self, seconds: float) -> None: ...
    async def kill(self, who: int) -> None: ...
    async def close(self) -> None: ...


class Ledger:
    """What was spent before the counters began."""

    def __init__(self, spent: Mapping[str, int]) -> None:
        self._spent = spent

    async def __call__(self, limit: Limit) -> int:
        return self._spent.get(limit.key, 0)


class InMemory:
    """One process."""

    size = 1
    lease = math.inf

    def __init__(self, ledger: Ledger) -> None:
        self.now = BEGINNING
        self._counters = MemoryCounters(ledger, lambda: self.now)

    async def reserve(self, _who: int, charges: Sequence[Charge]) -> Grant | Refusal:
        return await self._counters.reserve(charges)

    async def settle(self, _who: int, grant: Grant, actual: Mapping[str, int]) -> None:
        self._counters.settle(grant, actual)

    async def release(self, _who: int, grant: Grant) -> None:
        self._counters.release(grant)

    async def seed(self, _who: int, key: str, used: int) -> None:
        await self._counters.seed(key, used)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def kill(self, _who: int) -> None:
        raise AssertionError("the counters would be gone too")

    async def close(self) -> None:
        await self._counters.close()


class WithParent:
    """Workers that borrow from a parent."""

    lease = 0.0

    def __init__(self, ledger: Ledger, size: int = 3) -> None:
        self.now = BEGINNING
        self.size = size
        self._ledger = ledger
        self.lender = Lender(lambda: self.now, patience=PATIENCE)
        self.workers: list[ParentCounters] = []

    async def open(self) -> None:
        for _ in range(self.size):
            self.workers.append(await self._hire())

    async def _hire(self) -> ParentCounters:
        ours, theirs = socket.socketpair()
        await self.lender.serve(ours)
        worker = ParentCounters(theirs, self._ledger, lambda: self.now, deadline=PATIENCE, refusal_rests=0)
        await worker.open()
        return worker

    async def reserve(self, who: int, charges: Sequence[Charge]) -> Grant | Refusal:
        done = await self.workers[who].reserve(charges)
        await self._hear(who)
        return done

    async def settle(self, who: int, grant: Grant, actual: Mapping[str, int]) -> None:
        self.workers[who].settle(grant, actual)
        await self._hear(who)

    async def release(self, who: int, grant: Grant) -> None:
        self.workers[who].release(grant)
        await self._hear(who)

    async def seed(self, who: int, key: str, used: int) -> None:
        await self.workers[who].seed(key, used)
        await self._hear(who)

    async def _hear(self, who: int) -> None:
        """Let all others hear what has come of what one has done."""
        for worker in (self.workers[who], *self.workers, self.workers[who]):
            await self._tick(worker)

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        for worker in self.workers:
            await self._tick(worker)

    async def kill(self, who: int) -> None:
        dying, size = self.workers[who], len(self.lender._lines)
        # What it had of rates and had not used would count as used, which the model does not know of.
        rates = [part.give_back(self.now, is_called=True) for part in dying._slices.values() if part.is_rate]
        dying._send_back([back for back in rates if back is not None])
        await dying._ask(()).future
        dying._is_closing = True
        dying._line.abort()
        while len(self.lender._lines) == size:
            await asyncio.sleep(0)
        await dying.close()
        self.workers[who] = await self._hire()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
        while self.lender._lines:
            await asyncio.sleep(0)

    async def _tick(self, worker: ParentCounters) -> None:
        if worker._tick is not None:
            worker._tick.cancel()
        worker._look_through()
        # The parent has heard all that was said before what it answers.
        await worker._ask(()).future


class OnRedis:
    """Replicas with one Redis. They talk when the test has them talk."""

    lease = LEASE

    def __init__(self, ledger: Ledger, port: int, size: int = 3) -> None:
        self.now = BEGINNING
        self.size = size
        self._ledger = ledger
        self._settings = RedisSettings(port=port, prefix=f"test{next(_names)}")
        self._tasks = Tasks(logging.getLogger("test"), 10)
        self.replicas: list[RedisCounters] = []

    async def open(self) -> None:
        self.replicas = [await self._start() for _ in range(self.size)]

    async def _start(self) -> RedisCounters:
        replica = RedisCounters(self._settings, self._tasks, self._ledger, deadline=PATIENCE, clock=lambda: self.now)
        # A busy machine may not connect in time.
        while replica._is_away:
            await replica._turn()
        return replica

    async def reserve(self, who: int, charges: Sequence[Charge]) -> Grant | Refusal:
        replica = self.replicas[who]
        asking = asyncio.ensure_future(replica.reserve(charges))
        while not asking.done():
            await asyncio.sleep(0)
            await replica._turn()
        return await asking

    async def settle(self, who: int, grant: Grant, actual: Mapping[str, int]) -> None:
        self.replicas[who].settle(grant, actual)
        await self._tell(self.replicas[who])

    async def release(self, who: int, grant: Grant) -> None:
        self.replicas[who].release(grant)
        await self._tell(self.replicas[who])

    async def seed(self, who: int, key: str, used: int) -> None:
        await self.replicas[who].seed(key, used)
        await self._tell(self.replicas[who])

    async def advance(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, RENEWAL)
            self.now += step
            seconds -= step
            for replica in self.replicas:
                replica._renewed = -math.inf
                await self._tell(replica)

    async def kill(self, who: int) -> None:
        await self.replicas[who]._link.close()
        _cancel(self.replicas[who]._report)
        self.replicas[who] = await self._start()

    async def close(self) -> None:
        for replica in self.replicas:
            await replica._link.close()
            _cancel(replica._report)

    async def _tell(self, replica: RedisCounters) -> None:
        _cancel(replica._report)
        replica._report = None
        await replica._turn()
        assert not replica._is_away


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


class Steps:
    """Runs one step after the other in a loop that lives between them."""

    def __init__(self) -> None:
        # Not of uvloop, which cannot be closed where a test has failed and left connections open.
        self._loop = asyncio.new_event_loop()

    def __call__(self, step: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(step, PATIENCE))

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
