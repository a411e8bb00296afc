"""Figures about routers, with bootstrap intervals.

A router is a curve: for each setting of its knob a mean cost and a mean quality. Its *hull* is the upper convex one
that never falls, since between two settings one can toss a coin (RouterBench's NDCH, arXiv 2403.12031). From it come

* ``aiq``: the mean of the hull between the costs of the cheapest and the dearest model (RouterBench), and ``aiq_log``,
  the same over the logarithm of the cost, so that one dear model does not decide,
* ``neutral_usd``: the least mean cost at which the hull is as good as the best single model (QNC of UniRoute,
  arXiv 2502.08773), and ``cost_save``, that as a part of what the best single model costs (LLMRouterBench, 2601.07206),
* ``gain_at_best``, ``gap_to_oracle``: the peak against the best single model and against the oracle (LLMRouterBench).

For a strong and a weak model: ``apgr``, the mean share of the gap between them that is recovered, and ``cpt50``,
``cpt80``, the percentage of calls of the strong one that recovers half and four fifths of it (RouteLLM, 2406.18665).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Table
from pointsman.ml.knobs import PRICES

Doubles = NDArray[np.float64]
Places = NDArray[np.intp]
GRID = 2001
RESAMPLES = 200
COVERED = 0.95


class Interval(NamedTuple):
    """A figure, and where it lies in 95 % of the resamples of the prompts. NaN where it does not exist."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Run:
    """The choices of one router."""

    name: str
    choices: Places
    """(k, n) which model each prompt gets at each of ``k`` settings; the first setting wants quality alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one router on one table. Costs are in dollars a request."""

    name: str
    points: Doubles
    """(k, 2) mean cost and mean quality of each setting."""
    accuracy: Interval
    """At the first setting."""
    cost_usd: Interval
    """At the first setting."""
    peak: Interval
    """The highest mean quality of any setting."""
    aiq: Interval
    aiq_log: Interval
    neutral_usd: Interval
    cost_save: Interval
    gain_at_best: Interval
    gap_to_oracle: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFigures:
    """Of a router between two models."""

    apgr: Interval
    cpt50: Interval
    """Percent."""
    cpt80: Interval
    """Percent."""


def sweep(quality: Any, cost_usd: Any, models: Sequence[str], prices: Sequence[float] = PRICES) -> Places:
    """(k, n) the models with the most quality less price times cost, from predictions (n, m) of both.

    Equals: the cheaper one, then by name.
    """
    columns = np.argsort(np.array(models))
    quality = np.asarray(quality, np.float64)[:, columns]
    cost = np.asarray(cost_usd, np.float64)[:, columns]
    choices = []
    for price in prices:
        worth = quality - price * cost
        choices.append(np.where(worth == worth.max(1, keepdims=True), cost, np.inf).argmin(1))
    places: Places = columns[np.array(choices)]
    return places


def hull(points: Doubles) -> Doubles:
    """(h, 2) the upper convex hull of (k, 2) costs and qualities that never falls."""
    rising: list[tuple[float, float]] = []
    for cost, quality in sorted(map(tuple, points.tolist())):
        if not rising or quality > rising[-1][1]:
            rising.append((cost, quality))
    kept: list[tuple[float, float]] = []
    for point in rising:
        while len(kept) >= 2 and _turn(kept[-2], kept[-1], point) >= 0.0:
            kept.pop()
        kept.append(point)
    return np.array(kept)


def area(points: Doubles, low: float, high: float, *, is_log: bool = False) -> float:
    """The mean height of the hull between two costs, 0 left of it: AIQ, or AIQlog over the logarithm of the cost."""
    upper = hull(points)
    grid = np.exp(np.linspace(np.log(low), np.log(high), GRID)) if is_log else np.linspace(low, high, GRID)
    height = np.interp(grid, upper[:, 0], upper[:, 1], left=0.0)
    begins_in_time = upper[0, 0] <= low * 1.0001
    height[grid < upper[0, 0] - 1e-12] = upper[0, 1] if begins_in_time else 0.0
    at = np.log(grid) if is_log else grid
    if at[-1] == at[0]:  # all cost the same
        return float(height[-1])
    return float(np.trapezoid(height, at) / (at[-1] - at[0]))


def neutral_cost(points: Doubles, quality: float) -> float:
    """The least cost at which the hull is this good; NaN where it never is."""
    upper = hull(points)
    return float(np.interp(quality, upper[:, 1], upper[:, 0])) if upper[-1, 1] >= quality else np.nan


def figures(run: Run, table: Table, best: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Figures:
    """What a router is worth on a table where every model has answered every prompt.

    ``best`` is the place of the best single model, chosen on other prompts.

    :raises ValueError: outcomes are missing
    """
    quality, cost = table.quality.astype(np.float64), table.cost_usd.astype(np.float64)
    if not np.isfinite(quality + cost).all():
        raise ValueError("figures need the outcome of every model for every prompt")
    rows = np.arange(len(table))
    chosen = np.array([cost[rows, run.choices], quality[rows, run.choices]])
    points, oracle = chosen.mean(2).T, quality.max(1)
    found = [_of_curve(points, cost.mean(0), float(quality.mean(0)[best]), float(oracle.mean()), best)]
    for pick in _picks(len(rows), resamples, seed):
        weights = np.bincount(pick, minlength=len(rows)) / len(rows)
        found.append(
            _of_curve(
                (chosen @ weights).T, weights @ cost, float(weights @ quality[:, best]), float(weights @ oracle), best
            )
        )
    return Figures(name=run.name, points=points, **_intervals(found))


def _of_curve(points: Doubles, costs: Doubles, target: float, oracle: float, best: int) -> dict[str, float]:
    """``costs`` (m,) are those of the single models, ``target`` is the quality of the best one."""
    low, high = costs.min(), costs.max()
    neutral = neutral_cost(points, target)
    peak = points[:, 1].max()
    return {
        "accuracy": points[0, 1],
        "cost_usd": points[0, 0],
        "peak": peak,
        "aiq": area(points, low, high),
        "aiq_log": area(points, low, high, is_log=True),
        "neutral_usd": neutral,
        "cost_save": 1.0 - neutral / costs[best],
        "gain_at_best": peak / target - 1.0,
        "gap_to_oracle": 1.0 - peak / oracle,
    }


def pair_figures(need: Any, strong: Any, weak: Any, *, resamples: int = RESAMPLES, seed: int = 0) -> PairFigures:
    """RouteLLM's figures of a router that gives each prompt (n,) its ``need`` of the strong model.

    ``strong`` and ``weak`` (n,) are the qualities of the two. Thresholds are the deciles of the need; equal needs are
    told apart by chance.
    """
    chance = np.random.default_rng(0).random(len(need))
    columns = [np.asarray(need, np.float64) + 1e-9 * chance, *np.asarray([strong, weak], np.float64)]
    picks = [np.arange(len(chance)), *_picks(len(chance), resamples, seed)]
    return PairFigures(**_intervals([_of_pair(*(column[pick] for column in columns)) for pick in picks]))


def _of_pair(need: Doubles, strong: Doubles, weak: Doubles) -> dict[str, float]:
    points = []
    for i, threshold in enumerate(np.quantile(need, np.linspace(0, 1, 11))):
        is_strong = need >= threshold if i < 10 else need > threshold
        points.append((is_strong.mean(), np.where(is_strong, strong, weak).mean()))
    calls, quality = np.array(sorted(points)).T
    floor, gap = weak.mean(), strong.mean() - weak.mean()
    return {
        "apgr": (np.trapezoid(quality, calls) - floor) / gap,
        "cpt50": 100.0 * np.interp(floor + 0.5 * gap, quality, calls),
        "cpt80": 100.0 * np.interp(floor + 0.8 * gap, quality, calls),
    }


def calibration_error(predicted: Any, observed: Any, *, bins: int = 10) -> float:
    """The expected calibration error (Guo et al., arXiv 1706.04599) over bins of equal width.

    Both (n,); what was not observed is passed over, and with nothing observed it is NaN.
    """
    predicted, observed = np.asarray(predicted, np.float64), np.asarray(observed, np.float64)
    is_known = ~np.isnan(observed)
    predicted, observed = predicted[is_known], observed[is_known]
    if not len(observed):
        return float("nan")
    place = np.clip((predicted * bins).astype(np.intp), 0, bins - 1)
    return float(np.abs(np.bincount(place, predicted - observed, bins)).sum() / len(observed))


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """At least 0 where ``b`` lies on or below the line from ``a`` to ``c``."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _picks(count: int, resamples: int, seed: int) -> Places:
    """(resamples, count) rows drawn with replacement."""
    return np.random.default_rng(seed).integers(0, count, (resamples, count))


def _intervals(found: Sequence[dict[str, float]]) -> dict[str, Interval]:
    """Of each figure: its first value, and the quantiles of the others where it exists at all."""
    intervals = {}
    for name, value in found[0].items():
        others = np.array([figure[name] for figure in found[1:]])
        others = others[np.isfinite(others)]
        if np.isfinite(value) and len(others):
            low, high = np.quantile(others, [(1 - COVERED) / 2, (1 + COVERED) / 2])
            intervals[name] = Interval(float(value), float(low), float(high))
        else:
            intervals[name] = Interval(float(value), float("nan"), float("nan"))
    return intervals
