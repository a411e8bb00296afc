"""Counters in this process: exact, and never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from pointsman.access.limits import Book, Charge, Counter, Grant, Limit, Money, Refusal, Window, refusal
from pointsman.store.counting import Counted, Rebuild, nothing_spent, nothing_used


class MemoryCounters:
    """All numbers of a gateway that is one process."""

    def __init__(self, rebuild: Rebuild = nothing_spent, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = Book()
        self._rebuild = rebuild
        self._clock = clock

    def reserve_now(self, charges: Sequence[Charge]) -> Grant | Refusal | None:
        now = self._clock()
        known = self._book.counters
        counters: list[Counter] = []
        left: list[int] = []
        for charge in charges:
            limit = charge.limit
            counter = known.get(limit.key) or self._book.open(limit, now)
            if counter is None or (rest := counter.take(now, limit.ceiling, charge.amount)) < 0:
                _put_back(charges, counters, now)
                return None if counter is None else refusal(limit, counter, now, charge.amount)
            counters.append(counter)
            left.append(rest)
        return Grant(charges, now, counters, left)

    async def reserve(self, charges: Sequence[Charge]) -> Grant | Refusal:
        while True:
            done = self.reserve_now(charges)
            if done is not None:
                return done
            for limit in [charge.limit for charge in charges if charge.limit.kind == "money"]:
                if limit.key not in self._book.counters:
                    spent = await self._rebuild(limit)
                    # Somebody else may have been first, and spent some since.
                    if limit.key not in self._book.counters:
                        self._book.seed(limit.key, spent, self._clock(), limit.window)

    def settle(self, grant: Grant, actual: Mapping[str, int]) -> None:
        settle(grant, actual, self._clock())

    def release(self, grant: Grant) -> None:
        self.settle(grant, nothing_used(grant))

    def remaining(self, limit: Limit) -> int | None:
        counter = self._book.counters.get(limit.key)
        if counter is None:
            return None if limit.kind == "money" else limit.ceiling
        left = counter.room(self._clock(), limit.ceiling)
        return max(0, left)

    async def seed(self, key: str, used: int) -> None:
        self.set_spent(key, used)

    def set_spent(self, key: str, used: int) -> None:
        """As :meth:`seed`, which others have to wait for."""
        self._book.seed(key, used, self._clock())

    def adjust(self, key: str, by: int) -> None:
        counter = self._book.counters.get(key)
        if isinstance(counter, Money):
            counter.used += by

    async def counted(self, limit: Limit) -> Counted | None:
        counter = self._book.counters.get(limit.key)
        return Counted(counter.used, counter.held) if isinstance(counter, Money) else None

    async def gather(self) -> bool:
        return True

    def let_through(self) -> list[tuple[str, float, int]]:
        """What rates have let through within their windows: key, seconds, and how much."""
        now = self._clock()
        rates = [(key, one) for key, one in self._book.counters.items() if isinstance(one, Window)]
        return [(key, rate.seconds, used) for key, rate in rates if (used := -rate.room(now, 0)) > 0]

    async def close(self) -> None:
        """Nobody else has to know."""


def settle(grant: Grant, actual: Mapping[str, int], now: float) -> None:
    """Settle a grant whose parts are counters."""
    if grant.is_open:
        grant.is_open = False
        at = grant.at
        for charge, counter in zip(grant.charges, grant.parts, strict=True):
            reserved = charge.amount
            counter.settle(at, now, reserved, actual.get(charge.limit.key, reserved))


def _put_back(charges: Sequence[Charge], counters: Sequence[Counter], now: float) -> None:
    for charge, counter in zip(charges, counters, strict=False):
        counter.settle(now, now, charge.amount, 0)
