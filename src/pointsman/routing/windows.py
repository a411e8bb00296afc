"""Sums over the last seconds."""

from __future__ import annotations

SLOTS = 10


class Window:
    """What was added within the last ``seconds``, to a tenth of them. Times are of one clock that never goes back."""

    __slots__ = ("_at", "_ends", "_newest", "_older", "_sums", "_width")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / SLOTS
        self._sums = [0.0] * SLOTS
        self._at = 0
        self._ends = 0.0
        """When the newest slot ends."""
        self._newest = 0.0
        self._older = 0.0

    def add(self, now: float, amount: float = 1.0) -> None:
        """Count ``amount``."""
        if now >= self._ends:
            self._advance(now)
        self._newest += amount

    def total(self, now: float) -> float:
        """Everything that is still inside."""
        if now >= self._ends:
            self._advance(now)
        return self._older + self._newest

    def _advance(self, now: float) -> None:
        at = int(now / self._width)
        self._sums[self._at % SLOTS] += self._newest
        if at - self._at >= SLOTS:
            self._sums = [0.0] * SLOTS
        else:
            for old in range(self._at + 1, at + 1):
                self._sums[old % SLOTS] = 0.0
        self._older = sum(self._sums)
        self._newest = 0.0
        self._at = at
        self._ends = (at + 1) * self._width
