"""When a second attempt is sent although the first has not failed (Dean and Barroso, "The Tail at Scale", 2013)."""

from __future__ import annotations

from pointsman.routing.budgets import ExtraAttempts
from pointsman.routing.latency import Quantile
from pointsman.routing.settings import Hedging

SHORTEST_DELAY = 0.001


class Hedges:
    """The hedges of one group: when they are due, and how many there may be."""

    __slots__ = ("_budget", "_quantiles", "_settings")

    def __init__(self, settings: Hedging) -> None:
        self._settings = settings
        self._budget = ExtraAttempts(settings.share, always=1)
        self._quantiles: dict[tuple[str, bool], Quantile] = {}

    def delay(self, operation: str, *, is_stream: bool, now: float) -> float | None:
        """Count a request; give the seconds after which it may be hedged, ``None`` where that is not known yet."""
        self._budget.request(now)
        if self._settings.delay is not None:
            return self._settings.delay
        quantile = self._quantiles.get((operation, is_stream))
        value = None if quantile is None else quantile.value
        return None if value is None else max(SHORTEST_DELAY, value)

    def take(self, now: float) -> bool:
        """Whether a hedge may be sent now; it is counted then."""
        if not self._budget.is_open(now):
            return False
        self._budget.spend(now)
        return True

    def observe(self, operation: str, seconds: float, *, is_stream: bool) -> None:
        """Take the time in which a request was answered: to the first output of a stream, else to the answer."""
        key = (operation, is_stream)
        quantile = self._quantiles.get(key)
        if quantile is None:
            quantile = self._quantiles[key] = Quantile()
        quantile.observe(seconds)
