"""When to stop asking a store that does not answer, and when to ask again.

A breaker is *closed* while the store answers, and *open* after several failures in a row; slow is a failure. While it
is open, one call in each ``rest`` is let through to see, and the first one that is answered in time closes it. What
changes is told once, however many requests notice it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FAILURES = 3
REST = 1.0


class Breaker:
    """``admits`` before each call, ``answered`` or ``failed`` after it."""

    def __init__(
        self,
        what: str,
        *,
        slow: float,
        failures: int = FAILURES,
        rest: float = REST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``what`` is called so in the log; an answer after more than ``slow`` seconds is a failure."""
        self.is_open = False
        self._what = what
        self._slow = slow
        self._limit = failures
        self._rest = rest
        self._now = now
        self._failures = 0
        self._next = 0.0

    def admits(self) -> bool:
        """Whether to ask now; if so, the outcome must be told."""
        if not self.is_open:
            return True
        now = self._now()
        if now < self._next:
            return False
        self._next = now + self._rest
        return True

    def answered(self, seconds: float) -> None:
        """It answered, after so long."""
        if seconds > self._slow:
            self.failed("slow")
            return
        self._failures = 0
        if self.is_open:
            self.is_open = False
            log.warning("%s is back", self._what)

    def failed(self, why: str) -> None:
        """It did not answer."""
        self._failures += 1
        if not self.is_open and self._failures >= self._limit:
            self.is_open = True
            self._next = self._now() + self._rest
            log.warning("%s is down: %s", self._what, why)
