"""What a process may use by itself while it does not reach those it shares counters with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store.counting import Rebuild
from pointsman.store.memory import MemoryCounters

MAX_KNOWN = 10_000
NEAR_END = 20
"""Of money of which less than such a part was left, nothing is given: the others may have spent it by now."""


class Known:
    """What was left of limits when somebody who knows was asked last; the oldest knowledge goes first."""

    def __init__(self, most: int = MAX_KNOWN) -> None:
        self._most = most
        self._left: dict[str, tuple[int, float]] = {}

    def note(self, key: str, left: int, at: float) -> None:
        if key not in self._left and len(self._left) >= self._most:
            del self._left[next(iter(self._left))]
        self._left[key] = left, at

    def left(self, key: str) -> int | None:
        return self._left.get(key, (None,))[0]

    def until(self, limit: Limit) -> float:
        """When a rate that was asked for last is sure to have all of it left again, if nobody uses any."""
        return self._left.get(limit.key, (0, -inf))[1] + limit.window


class Share:
    """Counters of this process alone, with its part of each limit: one of ``count``.

    Of money a part is one of what was left when that was known last, else of what the ledger does not know spent; near
    its end there is none. So it is of a rate, as long as what was used then may count: or else, whenever there is no
    answer for a moment, all would let another part through. What it gives is settled by
    :func:`pointsman.store.memory.settle`.
    """

    def __init__(self, count: int, known: Known, rebuild: Rebuild, clock: Callable[[], float]) -> None:
        self._count = max(1, count)
        self._known = known
        self._rebuild = rebuild
        self._money: dict[str, int] = {}
        """What may be spent, by key."""
        self._clock = clock
        self._memory = MemoryCounters(clock=clock)

    def reserve_now(self, charges: Sequence[Charge]) -> Grant | Refusal | None:
        parts = []
        for charge in charges:
            limit = self._part(charge.limit)
            if limit is None:
                return None
            parts.append(Charge(limit, charge.amount))
        done = self._memory.reserve_now(parts)
        if isinstance(done, Refusal):
            whole = next(charge.limit for charge in charges if charge.limit.key == done.limit.key)
            wait = done.retry_after
            if wait is None and whole.kind == "rate" and done.limit.ceiling < self._whole_part(whole):
                wait = self._known.until(whole) - self._clock()
            return Refusal(whole, wait, done.remaining)
        if done is not None:
            done.is_local = True
            # Of a part, not of the whole.
            done.left = ()
        return done

    async def reserve(self, charges: Sequence[Charge]) -> Grant | Refusal:
        """Raises what the ledger raises."""
        while True:
            done = self.reserve_now(charges)
            if done is not None:
                return done
            await self.learn(charges)

    async def learn(self, charges: Sequence[Charge]) -> None:
        """Ask the ledger for what nobody knows. Raises what it raises."""
        for limit in [charge.limit for charge in charges if charge.limit.kind == "money"]:
            if limit.key not in self._money:
                self._allow(limit, limit.ceiling - await self._rebuild(limit))

    def _part(self, limit: Limit) -> Limit | None:
        """One part of a limit; ``None``: nobody knows what is left."""
        left = self._known.left(limit.key)
        if limit.kind != "money":
            part = self._whole_part(limit)
            if limit.kind == "rate" and left is not None and self._clock() < self._known.until(limit):
                part = min(part, max(0, left) // self._count)
            return Limit(limit.key, limit.kind, part, limit.window)
        if limit.key not in self._money:
            if left is None:
                return None
            self._allow(limit, left)
        return Limit(limit.key, limit.kind, self._money[limit.key], limit.window)

    def let_through(self) -> list[tuple[str, float, int]]:
        """What rates have let through within their windows, for those it is shared with: key, seconds, how much."""
        return self._memory.let_through()

    def _whole_part(self, limit: Limit) -> int:
        return max(1, limit.ceiling // self._count)

    def _allow(self, limit: Limit, left: int) -> None:
        # Others may have asked the ledger meanwhile.
        if limit.key not in self._money:
            is_near = left * NEAR_END < limit.ceiling
            self._money[limit.key] = 0 if is_near else left // self._count
            self._memory.set_spent(limit.key, 0)
