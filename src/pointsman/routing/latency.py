"""How quickly deployments and groups have answered."""

from __future__ import annotations

import math

DECAY_SECONDS = 10.0
FORGET_SECONDS = 30.0
KEPT = 256
FRESH = 16
FEWEST = 20


class PeakEwma:
    """A moving average that believes bad news at once and good news slowly (as Finagle's balancer has it).

    ``value`` is in seconds, 0 before anything was seen.
    """

    __slots__ = ("_seen", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._seen = 0.0

    def expected(self, now: float) -> float:
        """The value, fading while nothing is observed: whoever was slow once is asked again some time."""
        return self.value * math.exp(-max(0.0, now - self._seen) / FORGET_SECONDS)

    def observe(self, seconds: float, now: float) -> None:
        """Take the latency of a call that was answered."""
        if seconds > self.value:
            self.value = seconds
        else:
            weight = math.exp(-max(0.0, now - self._seen) / DECAY_SECONDS)
            self.value = self.value * weight + seconds * (1 - weight)
        self._seen = now


class Quantile:
    """A quantile of the last 256 observations; it is computed anew every 16 of them."""

    __slots__ = ("_at", "_fresh", "_kept", "_q", "_value")

    def __init__(self, q: float = 0.95) -> None:
        self._q = q
        self._kept: list[float] = []
        self._at = 0
        self._fresh = 0
        self._value: float | None = None

    def observe(self, seconds: float) -> None:
        """Take one observation."""
        if len(self._kept) < KEPT:
            self._kept.append(seconds)
        else:
            self._kept[self._at] = seconds
            self._at = (self._at + 1) % KEPT
        self._fresh += 1

    @property
    def value(self) -> float | None:
        """The quantile in seconds; ``None`` before 20 observations."""
        if len(self._kept) < FEWEST:
            return None
        if self._value is None or self._fresh >= FRESH:
            ordered = sorted(self._kept)
            self._value = ordered[min(len(ordered) - 1, int(self._q * len(ordered)))]
            self._fresh = 0
        return self._value
