"""How much of what may be used at a time, in a minute or in a month: the sums, with the time given.

All amounts are integers: requests, tokens, nano-dollars. A request brings all that it will use at once, as *charges*,
which are reserved together or not at all. When it is over, what it really used is settled.

A *rate* lets at most ``ceiling`` through within any ``window`` seconds. (GCRA with room for a burst of ``ceiling``
would let twice that through in the first window, and with less room no large request at all.) What was let through is
kept in sums, each of which leaves when the last of what it holds is a window old: so a rate is never exceeded, and
nothing is kept for longer than a hundredth of the window too long, nor more than that of the ceiling at a time.

*Slots* are what is in use at a time, and *money* what has been spent and what is reserved. Money counts until its
window ends: the next one has another key. Times are seconds of one clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Any, Final, Literal, TypeAlias

import msgspec

PARTS: Final = 128
"""A sum of a rate's window is of such a part of its time,"""
SHARES: Final = 256
"""or of such a part of its ceiling, as long as there are no more sums than that."""
PURGE_AT_LEAST: Final = 1024
BOUNDLESS: Final = 2**63
"""The ceiling of what is taken whatever there is."""

Kind: TypeAlias = Literal["rate", "slots", "money"]


def name_of(*parts: str) -> str:
    """The name of a counter, which is that of no other: ids and models may have colons in them."""
    return ":".join(part.replace("%", "%25").replace(":", "%3A") for part in parts)


class Limit(msgspec.Struct, frozen=True, gc=False):
    """What may be used of something. One key has always the same kind and window."""

    key: str
    kind: Kind
    ceiling: int
    """Below 2 to the power of 62."""
    window: float = inf
    """Seconds of a rate. Of money: after so long without use the counter is forgotten, and rebuilt when asked for."""


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What a request will use of a limit."""

    limit: Limit
    amount: int
    """At least 1."""


class Refusal(msgspec.Struct, frozen=True):
    """Nothing was reserved, for the first limit that has too little room."""

    limit: Limit
    retry_after: float | None
    """Seconds until there is room, if everybody waits; ``None``: time alone does not tell."""
    remaining: int


class Grant(msgspec.Struct, eq=False, gc=False):
    """What was reserved; to be settled or released once, by those who gave it."""

    charges: Sequence[Charge]
    """Their keys are distinct."""
    at: float
    parts: Sequence[Any] = ()
    """Of whoever gave it: where it was taken from, in the order of the charges."""
    left: Sequence[int] = ()
    """What of each limit is left beside it, in their order, where whoever gave it knows that at once."""
    is_local: bool = False
    """Whether it came from the share that this process has while it does not reach the others."""
    is_open: bool = True


class Window:
    """A rate: what was let through within the last ``seconds``."""

    __slots__ = ("_closes", "_full", "_leaves", "_newest", "_parts", "_share", "_width", "seconds", "used")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.used = 0
        self._width = seconds / PARTS
        self._newest: list[Any] = [inf, inf, 0]
        """When its first and its last were let through, and how much."""
        self._parts: deque[list[Any]] = deque()
        self._closes = -inf
        """When the newest part takes no more."""
        self._leaves = inf
        """Before this none does."""
        self._share = 0.0
        """What a part is to hold,"""
        self._full = 0.0
        """and what the newest holds before the next one begins."""

    def take(self, now: float, ceiling: int, amount: int) -> int:
        """Let ``amount`` through, if that is not more than ``ceiling`` together with what was.

        Gives what is left beside it; below 0: nothing was let through. So does :meth:`take` of all counters.
        """
        if now >= self._leaves:
            self._expire(now)
        used = self.used + amount
        if used > ceiling:
            return -1
        self.used = used
        newest = self._newest
        if now < self._closes and newest[2] < self._full:
            newest[1] = now
            newest[2] += amount
        else:
            self._begin(now, ceiling, amount)
        return ceiling - used

    def settle(self, at: float, now: float, reserved: int, used: int) -> None:
        """Of what was taken ``at``: what is given back was free since, and what was used beyond counts from now."""
        back = reserved - used
        if back > 0:
            newest = self._newest
            if newest[0] <= at and newest[2] >= back:
                newest[2] -= back
                self.used -= back
            else:
                self._give_back(at, back)
        elif back:
            self.take(now, BOUNDLESS, -back)

    def room(self, now: float, ceiling: int) -> int:
        """What can be let through now; below 0 where more was used than had been reserved."""
        if now >= self._leaves:
            self._expire(now)
        return ceiling - self.used

    def wait(self, now: float, ceiling: int, amount: int) -> float | None:
        """Seconds until there is room for ``amount``, if nothing more is let through."""
        missing = amount - self.room(now, ceiling)
        if missing <= 0:
            return 0.0
        for _, last, part in self._parts:
            missing -= part
            if missing <= 0:
                return float(last + self.seconds - now)
        return None

    def is_idle(self, now: float) -> bool:
        self.room(now, 0)
        return not self._parts

    def _begin(self, now: float, ceiling: int, amount: int) -> None:
        self._share = ceiling / SHARES
        self._full = self._share if len(self._parts) < SHARES else inf
        self._newest = [now, now, amount]
        self._closes = now + self._width
        if not self._parts:
            self._leaves = now + self.seconds
        self._parts.append(self._newest)

    def _give_back(self, at: float, amount: int) -> None:
        if not self._parts or at < self._parts[0][0]:
            return
        for place in range(len(self._parts) - 1, -1, -1):
            part = self._parts[place]
            if part[0] <= at:
                back = min(amount, part[2])
                part[2] -= back
                self.used -= back
                amount -= back
                self._join(place)
                if not amount:
                    return

    def _join(self, place: int) -> None:
        """Keep no more sums than are needed, where most of one was given back."""
        if 0 < place < len(self._parts) - 1:
            before, part = self._parts[place - 1], self._parts[place]
            if max(before[2], part[2]) < self._share and part[1] - before[0] < self._width:
                before[1] = part[1]
                before[2] += part[2]
                del self._parts[place]

    def _expire(self, now: float) -> None:
        parts = self._parts
        while parts and now >= parts[0][1] + self.seconds:
            gone = parts.popleft()
            self.used -= gone[2]
            gone[2] = 0
        self._leaves = parts[0][1] + self.seconds if parts else inf
        if not parts:
            self._closes = -inf


class Slots:
    """What is in use."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0

    def room(self, now: float, ceiling: int) -> int:  # noqa: ARG002  as all kinds have it
        return ceiling - self.held

    def take(self, now: float, ceiling: int, amount: int) -> int:  # noqa: ARG002
        held = self.held + amount
        if held > ceiling:
            return -1
        self.held = held
        return ceiling - held

    def settle(self, at: float, now: float, reserved: int, used: int) -> None:  # noqa: ARG002
        self.held -= reserved

    def wait(self, now: float, ceiling: int, amount: int) -> float | None:  # noqa: ARG002
        return None

    def is_idle(self, now: float) -> bool:  # noqa: ARG002
        return not self.held


class Money:
    """What was spent in a window, and what is reserved beside it. ``seconds``: how long it is kept without use."""

    __slots__ = ("_changed", "_seen", "held", "seconds", "used")

    def __init__(self, used: int, seconds: float) -> None:
        self.used = used
        self.held = 0
        self.seconds = seconds
        self._seen = used
        self._changed: float | None = None

    def room(self, now: float, ceiling: int) -> int:  # noqa: ARG002
        return ceiling - self.used - self.held

    def take(self, now: float, ceiling: int, amount: int) -> int:  # noqa: ARG002
        held = self.held + amount
        left = ceiling - self.used - held
        if left < 0:
            return -1
        self.held = held
        return left

    def settle(self, at: float, now: float, reserved: int, used: int) -> None:  # noqa: ARG002
        self.held -= reserved
        self.used += used

    def wait(self, now: float, ceiling: int, amount: int) -> float | None:  # noqa: ARG002
        return None

    def is_idle(self, now: float) -> bool:
        """Whether it has been the same since a look that is ``seconds`` ago."""
        if self._changed is None or self.held or self.used != self._seen:
            self._seen, self._changed = self.used, now
        return now - self._changed >= self.seconds


Counter: TypeAlias = Window | Slots | Money


class Book:
    """The counters of all limits, by key. What nothing is known of any more is forgotten now and then."""

    def __init__(self) -> None:
        self.counters: dict[str, Counter] = {}
        self._purge_at = PURGE_AT_LEAST

    def open(self, limit: Limit, now: float) -> Counter | None:
        """The counter of a limit; ``None``: what was spent must be told first, by :meth:`seed`."""
        found = self.counters.get(limit.key)
        if found is None and limit.kind != "money":
            self._purge(now)
            found = self.counters[limit.key] = Window(limit.window) if limit.kind == "rate" else Slots()
        return found

    def seed(self, key: str, used: int, now: float, seconds: float = inf) -> None:
        """So much was spent, whatever was known before."""
        found = self.counters.get(key)
        if isinstance(found, Money):
            found.used = used
        else:
            self._purge(now)
            self.counters[key] = Money(used, seconds)

    def _purge(self, now: float) -> None:
        if len(self.counters) >= self._purge_at:
            self.counters = {key: counter for key, counter in self.counters.items() if not counter.is_idle(now)}
            self._purge_at = max(PURGE_AT_LEAST, 2 * len(self.counters))


def refusal(limit: Limit, counter: Counter, now: float, amount: int) -> Refusal:
    """Why ``amount`` is too much."""
    remaining = max(0, counter.room(now, limit.ceiling))
    return Refusal(limit, counter.wait(now, limit.ceiling, amount), remaining)
