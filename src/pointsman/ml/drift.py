"""Whether requests, answers and prices are still what a checkpoint was made for.

Four things are watched over the last requests, each as one number:

* *population*: how far the mean embedding of the last prompts is from that of those before, in units of what chance
  would bring; about 1 where nothing changes,
* *unknown share*: prompts that are further from all those known than nineteen in twenty of these are from each other,
* *calibration*: for each model, the mean rating less what was expected,
* *cost*: for each model, what was charged by what was predicted.

They are for people and alarms. What follows from them by itself is learnt elsewhere (:mod:`pointsman.ml.online`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Floats

WINDOW = 500
"""Prompts that are compared with those before."""
MEMORY = 0.995
"""Of ratings and costs, by each further one: over the last 200 or so."""
FEW = 20.0
REFERENCES = 128
"""Prompts that others are compared with; of the first requests, where a checkpoint brings none."""
FAR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifts:
    """What is seen at a moment; NaN where too little was seen."""

    population: float
    unknown_share: float
    calibration: Sequence[float]
    """(m,)"""
    cost: Sequence[float]
    """(m,)"""


class Drift:
    """Watches one checkpoint and its candidates. Not for several threads."""

    def __init__(self, count: int, known: Floats | None = None) -> None:
        """``count`` is that of the candidates, ``known`` (r, d) prompts that stand for the training, embedded."""
        self._known = known if known is not None and len(known) > 1 else None
        self._near = -1.0 if self._known is None else _threshold(self._known)
        self._first: list[Floats] = []
        self._before: _Window | None = None
        self._now: _Window | None = None
        self._last = _Window(0)
        self._errors = np.zeros((count, 2))
        self._rated = np.zeros(count, np.int64)
        self._costs = np.zeros((count, 3))

    def see(self, features: Features) -> None:
        """Take a prompt."""
        row = features.embedding[0]
        if self._known is None:
            self._begin(row)
        elif self._known.shape[1] != len(row):
            return
        if self._now is None or len(self._now.total) != len(row):
            self._before, self._now = None, _Window(len(row))
        self._now.take(row, is_unknown=self._known is not None and float((self._known @ row).max()) < self._near)
        if self._now.count >= WINDOW:
            if self._before is None:
                self._before = self._now
            else:
                self._last = self._now
            self._now = _Window(len(row))

    def _begin(self, row: Floats) -> None:
        self._first = [other for other in self._first if len(other) == len(row)]
        self._first.append(row)
        if len(self._first) == REFERENCES:
            self._known = np.array(self._first)
            self._near = _threshold(self._known)
            self._first = []

    def rate(self, place: int, expected: float, quality: float) -> int:
        """Take a rating of the model in ``place``; gives its number among those of this model, for :meth:`correct`."""
        if np.isfinite(expected) and np.isfinite(quality):
            self._errors[place] = self._errors[place] * MEMORY + (quality - expected, 1.0)
            self._rated[place] += 1
        return int(self._rated[place])

    def correct(self, place: int, number: int, change: float) -> None:
        """A rating that was taken before is higher by ``change``."""
        self._errors[place, 0] += change * MEMORY ** max(0, int(self._rated[place]) - number)

    def charge(self, place: int, predicted_usd: float, cost_usd: float) -> None:
        """Take what a request has cost."""
        if np.isfinite(predicted_usd) and np.isfinite(cost_usd):
            self._costs[place] = self._costs[place] * MEMORY + (cost_usd, predicted_usd, 1.0)

    def drifts(self) -> Drifts:
        """What is seen now."""
        last = self._last if self._last.count else self._now
        seen = self._before if last is None or not last.count else last
        return Drifts(
            population=_distance(self._before, self._last),
            unknown_share=float("nan") if seen is None or not seen.count else seen.unknown / seen.count,
            calibration=_shares(self._errors[:, 0], self._errors[:, 1], self._errors[:, 1]),
            cost=_shares(self._costs[:, 0], self._costs[:, 1], self._costs[:, 2]),
        )


class _Window:
    """Sums over some prompts."""

    def __init__(self, size: int) -> None:
        self.total = np.zeros(size)
        self.squares = 0.0
        self.count = 0
        self.unknown = 0

    def take(self, row: Floats, *, is_unknown: bool) -> None:
        length = float(row @ row)
        self.total += row
        self.squares += length
        self.count += 1
        self.unknown += is_unknown

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.total / self.count

    @property
    def spread(self) -> float:
        """Variance of the mean, over all directions."""
        return max(0.0, self.squares / self.count - float(self.mean @ self.mean)) / self.count


def _threshold(known: Floats) -> float:
    """As near as all but a few of these are to the nearest other one."""
    alike = known @ known.T
    np.fill_diagonal(alike, -1.0)
    return float(np.quantile(alike.max(1), FAR))


def _distance(before: _Window | None, last: _Window) -> float:
    if before is None or not before.count or not last.count or len(before.total) != len(last.total):
        return float("nan")
    apart = before.mean - last.mean
    chance = before.spread + last.spread
    return float(apart @ apart) / chance if chance > 0.0 else float("nan")


def _shares(of: NDArray[np.float64], by: NDArray[np.float64], seen: NDArray[np.float64]) -> list[float]:
    is_enough = (seen >= FEW) & (by > 0.0)
    found: list[float] = np.where(is_enough, of / np.where(is_enough, by, 1.0), np.nan).tolist()
    return found
