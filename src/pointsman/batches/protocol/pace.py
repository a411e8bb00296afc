"""How many lines of batches may be run at a time.

Two decisions, one for each process and one for each model of a batch. The process gives way to clients: :func:`room` is
what is left for lines beside them. A model gives way to whoever refuses its lines, a limit of their caller or an
upstream: :class:`Pace` runs fewer at a time and lets them rest, and finds out again how much can be borne, as TCP does
(RFC 5681: doubling up to where it went wrong the last time, then slowly). A single refusal may be the
matter of one line, such as one that is larger than all others; that line waits by itself, as :func:`waits` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LAG: Final = 0.05
"""Seconds that the event loop is late, from where on no line is begun."""
BUSY: Final = 0.4
"""Share of the processor that the event loop may use while there are clients."""
FIRST: Final = 8.0
"""Lines at a time to begin with."""
SHORTEST: Final = 0.1
"""Seconds of rest after a refusal of this gateway's own, which is over soon."""
SHORT: Final = 1.0
"""The same after one of an upstream, or of a limit that does not say for how long."""
LONGEST: Final = 60.0
TWICE: Final = 2
"""Refusals after each other that are more than the matter of one line."""
AWAY: Final = 3
"""Failures after each other that are more than an accident."""
PROBE_SECONDS: Final = 10.0
"""Until it is tried whether an upstream, or a limit, bears a little more than what was found out."""
SHARE: Final = 0.75
"""Of what was borne before it was too much, for a batch beside clients."""
MOST: Final = 300.0
"""However long somebody says that it takes: it may be over before."""
TRIES: Final = (5.0, 15.0, 45.0, 60.0)
"""Seconds that a line waits after the first failure of its upstream, the second, and so on; then it has failed."""
SPREAD: Final = 0.25
"""Of a rest, as others rest as well, and are not to come back all at once."""


def room(most: int, *, before: int, lag: float, busy: float, has_clients: bool) -> int:
    """Lines at a time of all batches, where it was ``before`` until now.

    ``lag`` is how late the event loop is, ``busy`` its share of the processor, 0 to 1. Never less than one, so that
    every batch comes to its end, unless the loop is late.
    """
    if lag > LAG:
        return 0
    if not has_clients:
        return most
    if busy > BUSY:
        return max(1, min(before, most) * 3 // 4)
    return min(most, before + 1)


def waits(refusals: int, *, is_ours: bool, retry_after: float | None, chance: float) -> float:
    """Seconds that a line waits which was refused so often; ``is_ours``: by this gateway, which had too much to do."""
    usual = min(LONGEST, (SHORTEST if is_ours else SHORT) * 2.0 ** min(max(0, refusals - 1), 16))
    return max(usual, min(retry_after or 0.0, MOST)) * (1.0 + SPREAD * chance)


class Pace:
    """Of one model of a batch. Times are seconds of one clock, the caller's."""

    __slots__ = (
        "_chance",
        "_failed",
        "_grown_at",
        "_is_careful",
        "_level",
        "_refused",
        "_rests",
        "_window",
        "rests_until",
    )

    def __init__(self, chance: Callable[[], float]) -> None:
        """``chance`` gives numbers from 0 to 1."""
        self._chance = chance
        self._window = FIRST
        self._level = float("inf")
        """Up to which the window grows quickly."""
        self._failed = 0
        self._refused = 0
        self._rests = 0
        """All three since the last success."""
        self._is_careful = False
        """Whether somebody else than this gateway has refused lines, whom others ask as well."""
        self._grown_at = 0.0
        self.rests_until = 0.0

    @property
    def window(self) -> int:
        """Lines at a time."""
        return int(self._window)

    @property
    def is_well(self) -> bool:
        """Whether a line was answered since it rested the last time."""
        return not self._rests

    @property
    def is_known(self) -> bool:
        """Whether it was found out how much can be borne."""
        return self._level < float("inf")

    def may_begin(self, running: int, now: float, *, has_clients: bool = False) -> bool:
        """Whether one line more can be run beside those that are; clients have the last quarter for themselves."""
        most = self._window
        if has_clients and self._is_careful:
            most = min(most, max(1.0, SHARE * 2 * self._level))
        return running < most and now >= self.rests_until

    def succeeded(self, now: float, most: int, *, has_clients: bool = False) -> None:
        """A line was answered; ``most`` bounds the window."""
        self._failed = self._refused = self._rests = 0
        if self._window < self._level and (self.is_known or not has_clients):
            self._window += 1.0
        elif not self._is_careful:
            self._window += 1.0 / self._window
        elif now >= self._grown_at + PROBE_SECONDS:
            # Whoever finds out by refusals how much can be borne takes a share of them to everybody else.
            self._grown_at = now
            self._window += max(1.0, self._window / 10)
        self._window = min(self._window, float(max(1, most)))

    def failed(self, now: float, began: float) -> None:
        """The upstream of a line failed that ``began`` then; where several do one after the other, it is away."""
        self._failed += 1
        if self._failed >= AWAY and began >= self.rests_until:
            self._rest(now, is_ours=False, retry_after=None)

    def refused(self, now: float, began: float, *, is_ours: bool = False, retry_after: float | None = None) -> None:
        """A line that ``began`` then was refused; ``is_ours``: by this gateway, for it had too much to do.

        Of lines that ran at the same time only the first ones count.
        """
        self._refused += 1
        if self._refused >= TWICE and began >= self.rests_until:
            self._rest(now, is_ours=is_ours, retry_after=retry_after)

    def _rest(self, now: float, *, is_ours: bool, retry_after: float | None) -> None:
        self._window = self._level = max(1.0, self._window / 2)
        self._is_careful |= not is_ours
        self._grown_at = now
        self._rests += 1
        self.rests_until = now + waits(self._rests, is_ours=is_ours, retry_after=retry_after, chance=self._chance())
