"""Clocks that are set while leases are held.

A lease is over at a time of the database. If its clock is set forward, all leases seem to be over, and if it is set
back, none is for as long. Who lives renews what he holds, and so in the new time, well within a lease: after one
nothing of his is in doubt, and what is still to come much later is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
MOST: Final = 10.0
"""Seconds that somebody may be late to read a clock that was not set."""


class Jumps(Generic[T]):
    """A clock, and when it was seen to have been set, by one that nobody sets."""

    def __init__(self, clock: Callable[[T], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead: float | None = None
        self.last: float | None = None
        """The last one, by the other clock; ``None``: there was none, or it is over and done with."""

    def time(self, place: T, /) -> float:
        """What the clock of that place shows."""
        now, here = self._clock(place), self._monotonic()
        if self._ahead is not None and abs(now - here - self._ahead) > MOST:
            self.last = here
        self._ahead = now - here
        return now

    def is_within(self, seconds: float) -> bool:
        """Whether it was set no longer ago than that."""
        return self.last is not None and self._monotonic() < self.last + seconds
