"""The coarse clock: one timer for every deadline of a gateway.

A timer per request would cost more than the rest of the request's bookkeeping. Instead one callback runs
every ``tick`` seconds and asks each member whether its time is over. Deadlines are therefore late by up to
two ticks, never early.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Sweepable(Protocol):
    """Something with a deadline."""

    def sweep(self, now: float) -> None:
        """Look at the clock (``loop.time()``) and give up what is overdue; may add and discard members."""


class Sweeper:
    """Calls ``sweep`` of each member once per tick.

    ``now`` is ``loop.time()`` at the last tick, so reading the time costs an attribute.
    """

    __slots__ = ("_handle", "_is_late", "_lateness", "_members", "lag", "loop", "now", "tick")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: float = 0.1) -> None:
        self.loop = loop
        self.tick = tick
        self.now = loop.time()
        self._members: set[Sweepable] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._is_late = False
        self._lateness = 0.0
        self.lag = 0.0
        """Seconds that the loop is behind its work: the smaller lateness of the last two ticks, as one long turn is
        nothing unusual."""

    def add(self, item: Sweepable) -> None:
        """Make ``item`` a member; no-op when it is one."""
        self._members.add(item)

    def discard(self, item: Sweepable) -> None:
        """End the membership of ``item``, if any."""
        self._members.discard(item)

    def start(self) -> None:
        """Begin to tick; no-op when it ticks."""
        if self._handle is None:
            self.now = self.loop.time()
            self._handle = self.loop.call_later(self.tick, self._on_tick)

    def stop(self) -> None:
        """Stop ticking; members stay."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_tick(self) -> None:
        previous, self.now = self.now, self.loop.time()
        self._handle = self.loop.call_later(self.tick, self._on_tick)
        before, self._lateness = self._lateness, max(0.0, self.now - previous - self.tick)
        self.lag = min(before, self._lateness)
        # After a stall of the loop the answers that arrived meanwhile are still unread in the sockets
        # (libuv runs timers before it polls), so nobody is judged on the first tick after one; on the
        # second they are.
        if not self._is_late and self.now - previous > 5 * self.tick:
            self._is_late = True
            return
        self._is_late = False
        for item in tuple(self._members):
            item.sweep(self.now)
