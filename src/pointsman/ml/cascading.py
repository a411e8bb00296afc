"""When a cascade keeps an answer, learnt from outcomes: what each tier's answer was worth, how sure the verifier was.

What a cascade is measured by is its benefit per cost, ``(quality - cheapest quality) / (cost - cheapest cost)``,
against that of the dearest tier alone: the *lift* (ΔIBC of AutoMix, arXiv 2310.12963). A cascade that escalates one
prompt in a thousand can have any lift, so what is made as large as possible is its *gain*: the quality above what a
coin that mixes the cheapest and the dearest tier gives for the same money. That is ``quality - price * cost`` at the
price at which the dearest tier gives its quality, so the best step of each tier can be found from the last backwards.

Shapes: ``n`` prompts, ``m`` tiers, the cheapest first; the last one is not judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Steps = tuple[tuple[int, ...], ...]
"""For each tier but the last, and each of equally wide ranges of 0..1: the tier to go on with; its own: keep."""

RANGES = 8
FOLDS = 5
PRIOR_PROMPTS = 10.0
"""What is known of a range is mixed with so many prompts that are like all."""
LEAST_PROMPTS = 50


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of prompts at each tier."""

    quality: Doubles
    """(n, m)"""
    cost_usd: Doubles
    """(n, m)"""
    sureness: Doubles
    """(n, m - 1) share of the verifier's judgements that found the answer right."""
    verifier_usd: Doubles
    """(n, m - 1)"""

    def __post_init__(self) -> None:
        n, m = self.quality.shape
        shapes = (self.cost_usd.shape, self.sureness.shape, self.verifier_usd.shape)
        if m < 2 or shapes != ((n, m), (n, m - 1), (n, m - 1)):
            raise ValueError("a cascade has two tiers or more, and outcomes of each for each prompt")
        if not all(np.isfinite(one).all() for one in (self.quality, self.cost_usd, self.sureness, self.verifier_usd)):
            raise ValueError("outcomes of a cascade are finite numbers")

    def __len__(self) -> int:
        return len(self.quality)

    def rows(self, places: NDArray[Any]) -> Outcomes:
        """Some of them."""
        return Outcomes(self.quality[places], self.cost_usd[places], self.sureness[places], self.verifier_usd[places])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What was learnt."""

    method: str
    """``threshold``, ``thresholds``, ``table``, or ``none``: judging gains nothing, and the best tier is left."""
    tiers: tuple[str, ...]
    steps: Steps
    quality: float
    """Mean, on what it was learnt from."""
    cost_usd: float
    lift: float
    gain: float
    held_out_gain: float
    """On prompts that the steps were not learnt from."""
    held_out_lift: float

    def document(self) -> dict[str, Any]:
        """As a configuration has it (``ladder``)."""
        return {"tiers": list(self.tiers), "steps": [list(step) for step in self.steps]}


def learn(outcomes: Outcomes, tiers: Sequence[str], ranges: int = RANGES) -> Cascade:
    """The way of choosing steps that gains most on held-out prompts, learnt anew from all of them.

    :raises ValueError: there are too few prompts, or not as many names as tiers
    """
    if len(tiers) != outcomes.quality.shape[1] or len(outcomes) < LEAST_PROMPTS:
        raise ValueError(f"a cascade is learnt from {LEAST_PROMPTS} prompts or more, with a name for each tier")
    found = {method: _held_out(outcomes, method, ranges) for method in METHODS}
    # Equally good: the simpler one, which comes first.
    method = max(METHODS, key=lambda one: round(found[one][0], 9))
    if found[method][0] <= 0:
        return _without(outcomes, tiers)
    steps = METHODS[method](outcomes, ranges)
    quality, cost = follow(outcomes, steps)
    return Cascade(
        method=method,
        tiers=tuple(tiers),
        steps=steps,
        quality=float(quality.mean()),
        cost_usd=float(cost.mean()),
        lift=lift(outcomes, quality, cost),
        gain=gain(outcomes, quality, cost),
        held_out_gain=found[method][0],
        held_out_lift=found[method][1],
    )


def follow(outcomes: Outcomes, steps: Steps) -> tuple[Doubles, Doubles]:
    """(n,) the quality that each prompt ends with, and (n,) what that costs with all judgements."""
    quality, cost = _from(outcomes, steps, 0)
    return quality, cost


def price(outcomes: Outcomes) -> float:
    """What the dearest tier gives for a dollar more than the cheapest; 0 where it is not better."""
    more = outcomes.cost_usd[:, -1].mean() - outcomes.cost_usd[:, 0].mean()
    better = outcomes.quality[:, -1].mean() - outcomes.quality[:, 0].mean()
    return float(max(0.0, better) / more) if more > 0 else 0.0


def lift(outcomes: Outcomes, quality: Doubles, cost: Doubles) -> float:
    """By which share the benefit per cost is above that of the dearest tier; 0 where there is none to compare with."""
    base = price(outcomes)
    more = float(cost.mean() - outcomes.cost_usd[:, 0].mean())
    if not base or more <= 0:
        return 0.0
    return float((quality.mean() - outcomes.quality[:, 0].mean()) / more / base - 1.0)


def gain(outcomes: Outcomes, quality: Doubles, cost: Doubles) -> float:
    """Quality above that of a coin which mixes the cheapest and the dearest tier for the same money."""
    base = outcomes.quality[:, 0].mean() + price(outcomes) * (cost.mean() - outcomes.cost_usd[:, 0].mean())
    return float(quality.mean() - base)


def judgements(quality: Doubles, skill: float, samples: int, chance: np.random.Generator) -> Doubles:
    """How sure a simulated verifier is of answers: each of its judgements is right with probability ``skill``."""
    says_right = quality * skill + (1 - quality) * (1 - skill)
    sure: Doubles = chance.binomial(samples, says_right) / samples
    return sure


def threshold(outcomes: Outcomes, ranges: int) -> Steps:
    """Keep from one sureness on."""
    return _best(outcomes, (_kept(outcomes, ranges, 0, high) for high in range(ranges + 1)))


def thresholds(outcomes: Outcomes, ranges: int) -> Steps:
    """Keep from one sureness on, and below another: what is hopeless is not worth more."""
    pairs = itertools.combinations_with_replacement(range(ranges + 1), 2)
    return _best(outcomes, (_kept(outcomes, ranges, low, high) for low, high in pairs))


def table(outcomes: Outcomes, ranges: int) -> Steps:
    """For each tier and range what is worth most, from the last tier backwards: a decision process that sees ranges."""
    worth, last = price(outcomes), outcomes.quality.shape[1] - 1
    steps: Steps = tuple((tier,) * ranges for tier in range(last))
    for tier in range(last - 1, -1, -1):
        place = _ranges(outcomes, tier, ranges)
        further = []
        for other in range(tier + 1, last + 1):
            quality, cost = _from(outcomes, steps, other)
            further.append(quality - worth * cost - outcomes.quality[:, tier])
        worths = np.stack([_means(one, place, ranges) for one in further])
        to = worths.argmax(0) + tier + 1
        step = np.where(worths.max(0) > 0, to, tier)
        steps = (*steps[:tier], tuple(int(one) for one in step), *steps[tier + 1 :])
    return steps


METHODS: Mapping[str, Callable[[Outcomes, int], Steps]] = {
    "threshold": threshold,
    "thresholds": thresholds,
    "table": table,
}


def _without(outcomes: Outcomes, tiers: Sequence[str]) -> Cascade:
    """Only the tier whose answers are worth most; of equal ones the one that costs least."""
    qualities, costs = outcomes.quality.mean(0), outcomes.cost_usd.mean(0)
    place = max(range(len(tiers)), key=lambda one: (round(float(qualities[one]), 9), -float(costs[one])))
    quality, cost = float(qualities[place]), float(costs[place])
    return Cascade(
        method="none",
        tiers=(tiers[place],),
        steps=(),
        quality=quality,
        cost_usd=cost,
        lift=0.0,
        gain=0.0,
        held_out_gain=0.0,
        held_out_lift=0.0,
    )


def _held_out(outcomes: Outcomes, method: str, ranges: int) -> tuple[float, float]:
    """Gain and lift on prompts that steps were not learnt from, all folds together."""
    fold = np.arange(len(outcomes)) % FOLDS
    quality, cost = np.empty(len(outcomes)), np.empty(len(outcomes))
    for one in range(FOLDS):
        is_out = fold == one
        steps = METHODS[method](outcomes.rows(~is_out), ranges)
        quality[is_out], cost[is_out] = follow(outcomes.rows(is_out), steps)
    return gain(outcomes, quality, cost), lift(outcomes, quality, cost)


def _best(outcomes: Outcomes, tried: Iterator[Steps]) -> Steps:
    return max(tried, key=lambda steps: gain(outcomes, *follow(outcomes, steps)))


def _kept(outcomes: Outcomes, ranges: int, low: int, high: int) -> Steps:
    is_kept = [place < low or place >= high for place in range(ranges)]
    return tuple(tuple(tier if one else tier + 1 for one in is_kept) for tier in range(outcomes.quality.shape[1] - 1))


def _ranges(outcomes: Outcomes, tier: int, count: int) -> NDArray[np.intp]:
    at: NDArray[np.intp] = np.minimum(count - 1, (outcomes.sureness[:, tier] * count + 1e-9).astype(np.intp))
    return at


def _from(outcomes: Outcomes, steps: Steps, tier: int) -> tuple[Doubles, Doubles]:
    """(n,) what beginning at ``tier`` comes to: quality and cost."""
    quality, cost = outcomes.quality[:, tier].copy(), outcomes.cost_usd[:, tier].copy()
    if tier == len(steps):
        return quality, cost
    cost += outcomes.verifier_usd[:, tier]
    to = np.array(steps[tier])[_ranges(outcomes, tier, len(steps[tier]))]
    for other in sorted({int(one) for one in to} - {tier}):
        goes = to == other
        further, dearer = _from(outcomes.rows(goes), steps, other)
        quality[goes] = further
        cost[goes] += dearer
    return quality, cost


def _means(values: Doubles, place: NDArray[np.intp], count: int) -> Doubles:
    """(count,) means by range, drawn towards that of all."""
    sums = np.bincount(place, values, count) + PRIOR_PROMPTS * values.mean()
    means: Doubles = sums / (np.bincount(place, minlength=count) + PRIOR_PROMPTS)
    return means
