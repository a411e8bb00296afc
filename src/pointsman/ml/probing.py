"""A new model joins a checkpoint after a few probes: prompts that stand for all, whose outcomes are found out.

Which prompts: one in the middle of each cell of the training prompts (k-means), in the order in which each adds most to
what those before it tell (D-optimal design), so that the first N of them are good probes whatever N is.

What they tell: how the new model differs from those already known (UniRoute, arXiv 2502.08773, with predicted outcomes
as coordinates). Its quality for a prompt is ``level + slope * ease + sum of weight_j * (how much model j differs)``,
where ``ease`` is the mean of what is predicted for the known models, less its average. The coefficients are those of a
Bayesian regression whose prior is: as good as its card says, as other models are on easy and on hard prompts, and no
peculiarities. So without any probe it is what its card says, and each probe says more.

Probes are few, and may be easier than they look. So what the known models made of them, beyond what was predicted, is
held against it: how hard a probe really was, is a further input of the regression, which is 0 for other prompts.

It joins at the lower bound of what is believed of it. To be preferred to all known models it has to be better beyond
reasonable doubt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Floats, Scores, State
from pointsman.ml.cells import distances, find_cells

Doubles = NDArray[np.float64]

MAX_PROMPT = 8_000
MAX_PROBES = 1_000
LEVEL_DEVIATION = 0.15
"""Of a card: how far off it usually is."""
SLOPE_DEVIATION = 0.5
PECULIAR_DEVIATION = 0.5
"""Of all weights together."""
DOUBT = 0.75
"""Standard deviations below what is believed at which a model joins."""
LEADING_DOUBT = 2.0
"""The same where it would be better than all others."""
BEHIND = 1e-3
"""Quality by which it stays behind the best of the others, where it is not better beyond that doubt."""
NOISE = 0.2
"""Variance of an outcome."""
CARD_PROBES = 2.0
"""As many probes tell of the cost what a card does."""


class Scorer(Protocol):
    """Scores prompts."""

    def score(self, features: Features) -> Scores:
        """(n, m) of the known models."""


def medoids(embedding: Floats, count: int, *, seed: int = 0) -> NDArray[np.intp]:
    """At most ``count`` places of prompts (n, d) that stand for all, the most telling first."""
    count = min(count, len(embedding))
    if count < 1:
        return np.zeros(0, np.intp)
    centres, cell = find_cells(embedding, count, np.random.default_rng(seed))
    apart = distances(embedding, centres)
    middle = [int(np.where(cell == place, apart[:, place], np.inf).argmin()) for place in range(len(centres))]
    return np.array(middle, np.intp)[_telling_first(embedding[middle].astype(np.float64))]


def _telling_first(rows: Doubles, noise: float = 0.1) -> NDArray[np.intp]:
    """The greedy D-optimal order: always the one whose outcome is least certain, given those before it.

    That is a pivoted Cholesky decomposition of the covariance; equals stay in their order.
    """
    covariance = rows @ rows.T
    order: list[int] = []
    left = covariance.diagonal().copy()
    factors = np.zeros((0, len(rows)))
    for _ in range(len(rows)):
        place = int(np.where(np.isin(np.arange(len(rows)), order), -np.inf, left).argmax())
        factor = (covariance[place] - factors[:, place] @ factors) / math.sqrt(max(left[place], 0.0) + noise)
        factors = np.vstack([factors, factor])
        left = left - factor**2
        order.append(place)
    return np.array(order, np.intp)


def probes_of(prompts: Sequence[str], quality: Floats, embedding: Floats, count: int, *, seed: int = 0) -> State:
    """The part ``probes`` of a checkpoint: some of the prompts, and what the models (n, m) made of them."""
    places = medoids(embedding, count, seed=seed)
    return State(
        {"quality": quality[places].astype(np.float32)}, {"prompts": [prompts[place][:MAX_PROMPT] for place in places]}
    )


def prompts_of(state: State) -> list[str]:
    """The prompts of a part that :func:`probes_of` made.

    :raises ValueError: they are none
    """
    prompts = state.settings.get("prompts")
    if not isinstance(prompts, list) or len(prompts) > MAX_PROBES or not all(isinstance(p, str) for p in prompts):
        raise ValueError("its probes are not texts")
    return prompts


def outcomes_of(state: State, prompts: Sequence[str], models: int) -> Floats:
    """(n, m) what the known models made of these prompts, as far as they are probes; NaN elsewhere.

    :raises ValueError: it is no part that :func:`probes_of` made for so many models
    """
    kept, quality = prompts_of(state), np.asarray(state.arrays.get("quality", np.zeros(0)), np.float32)
    if quality.shape != (len(kept), models):
        raise ValueError("the outcomes of its probes do not fit its models")
    place = {prompt: i for i, prompt in enumerate(kept)}
    at = [place.get(prompt[:MAX_PROMPT], -1) for prompt in prompts]
    padded = np.vstack([quality, np.full((1, models), np.nan, np.float32)])
    return padded[at]


@dataclass(frozen=True, slots=True)
class Joined:
    """Models that joined, by what is believed of them. ``k`` of them, besides ``m`` that were trained."""

    models: tuple[str, ...]
    average: Doubles
    """(m,) what is predicted for each known model on average."""
    mean: Doubles
    """(k, m + 2) coefficients: level, slope, weights."""
    covariance: Doubles
    """(k, m + 2, m + 2)"""
    log_cost: Doubles
    """(k,) the logarithm of what each costs, by the geometric mean of the known models."""

    @classmethod
    def none(cls, average: Doubles) -> Self:
        """Nobody has joined the ``m`` models yet."""
        size = len(average) + 2
        return cls((), average, np.zeros((0, size)), np.zeros((0, size, size)), np.zeros(0))

    def extend(self, scores: Scores) -> Scores:
        """The scores (n, m + k): those that joined come last."""
        basis = _basis(scores.quality.astype(np.float64), self.average)
        believed = basis @ self.mean.T
        variance = np.maximum(np.einsum("ni,kij,nj->nk", basis, self.covariance, basis), 0.0)
        quality = np.clip(_bound(believed, np.sqrt(variance), scores.quality.max(1, keepdims=True)), 0.0, 1.0)
        cost = np.exp(_log_costs(scores.cost_usd)[:, None] + self.log_cost)

        def beside(known: Floats, new: Doubles) -> Floats:
            return np.hstack([known, new.astype(np.float32)])

        return Scores(beside(scores.quality, quality), beside(scores.variance, variance), beside(scores.cost_usd, cost))

    def with_model(
        self,
        name: str,
        scores: Scores,
        quality: Any,
        cost_usd: Any,
        *,
        level: float,
        cost_factor: float,
        known: Floats | None = None,
    ) -> Joined:
        """Another one joins.

        ``scores`` (n, m) are those of the known models on the probes, ``quality`` and ``cost_usd`` (n,) the outcomes,
        NaN where they are not known. ``level`` and ``cost_factor`` are what its card says: its mean quality, and its
        cost by the geometric mean of those known. ``known`` (n, m) is what the known models really made of the probes.

        :raises ValueError: it has joined already
        """
        if name in self.models:
            raise ValueError(f"{name} is there already")
        basis = _basis(scores.quality.astype(np.float64), self.average)
        mean, covariance = _posterior(basis, _ease_beyond(scores.quality, known), quality, level)
        return Joined(
            (*self.models, name),
            self.average,
            np.vstack([self.mean, mean]),
            np.concatenate([self.covariance, covariance[None]]),
            np.append(self.log_cost, _log_cost(scores, cost_usd, cost_factor)),
        )

    def state(self) -> State:
        """The part ``joined`` of a checkpoint."""
        arrays = {
            "average": self.average,
            "mean": self.mean,
            "covariance": self.covariance,
            "log_cost": self.log_cost,
        }
        return State(arrays, {"models": list(self.models)})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: it is none
        """
        models = state.settings.get("models")
        if not isinstance(models, list) or not models or not all(isinstance(name, str) for name in models):
            raise ValueError("the models that joined have no names")
        average, mean, covariance, log_cost = (
            np.asarray(state.arrays.get(name, np.zeros(0)), np.float64)
            for name in ("average", "mean", "covariance", "log_cost")
        )
        count, size = len(models), average.size + 2
        shapes = [(size - 2,), (count, size), (count, size, size), (count,)]
        if [a.shape for a in (average, mean, covariance, log_cost)] != shapes or size < 3:
            raise ValueError("the models that joined do not fit those that were trained")
        if not all(np.isfinite(a).all() for a in (average, mean, covariance, log_cost)) or np.abs(log_cost).max() > 50:
            raise ValueError("of the models that joined something is no number")
        return cls(tuple(models), average, mean, covariance, log_cost)

    def scorer(self, known: Scorer) -> Scorer:
        """Scores all, those that joined last; ``known`` scores those that were trained."""
        return _Extended(known, self)


@dataclass(frozen=True, slots=True)
class _Extended:
    known: Scorer
    joined: Joined

    def score(self, features: Features) -> Scores:
        return self.joined.extend(self.known.score(features))


def _basis(quality: Doubles, average: Doubles) -> Doubles:
    """(n, m + 2) 1, how easy a prompt is, and what is special about it."""
    away = quality - average
    ease = away.mean(1, keepdims=True)
    return np.hstack([np.ones_like(ease), ease, away - ease])


def _bound(believed: Doubles, deviation: Doubles, top: Any) -> Doubles:
    """The lower bound, which is lower where it would lead."""
    bound = believed - DOUBT * deviation
    leading = np.maximum(believed - LEADING_DOUBT * deviation, top - BEHIND)
    return np.where(bound > top - BEHIND, leading, bound)


def _ease_beyond(predicted: Floats, known: Floats | None) -> Doubles:
    """(n,) by how much the known models did better than was predicted, on average; 0 where that is not known."""
    if known is None:
        return np.zeros(len(predicted))
    apart = known.astype(np.float64) - predicted
    is_known = np.isfinite(apart)
    ease: Doubles = np.where(is_known, apart, 0.0).sum(1) / np.maximum(is_known.sum(1), 1)
    return ease


def _posterior(basis: Doubles, beyond: Doubles, quality: Any, level: float) -> tuple[Doubles, Doubles]:
    """Mean and covariance of the coefficients of the basis; that of the ease beyond what was predicted is left out."""
    outcome = np.asarray(quality, np.float64)
    is_known = np.isfinite(outcome)
    rows, outcome = np.hstack([basis, beyond[:, None]])[is_known], outcome[is_known]
    size = rows.shape[1]
    prior = np.zeros(size)
    prior[[0, 1, -1]] = level, 1.0, 1.0
    spread = np.full(size, PECULIAR_DEVIATION / math.sqrt(max(size - 3, 1)))
    spread[[0, 1, -1]] = LEVEL_DEVIATION, SLOPE_DEVIATION, SLOPE_DEVIATION
    covariance: Doubles = np.linalg.inv(np.diag(spread**-2.0) + rows.T @ rows / NOISE).astype(np.float64)
    mean: Doubles = covariance @ (prior / spread**2 + rows.T @ outcome / NOISE)
    return mean[:-1], covariance[:-1, :-1]


def _log_cost(scores: Scores, cost_usd: Any, cost_factor: float) -> float:
    """The logarithm of the cost by the mean of the others: what the card says counts as much as a few probes."""
    ratio = np.log(np.maximum(np.asarray(cost_usd, np.float64), 1e-12)) - _log_costs(scores.cost_usd)
    ratio = ratio[np.isfinite(ratio)]
    said = math.log(cost_factor)
    if not len(ratio):
        return said
    trust = len(ratio) / (len(ratio) + CARD_PROBES)
    # Half the variance: the mean of what is distributed like that lies so much above its logarithms.
    return (1 - trust) * said + trust * float(ratio.mean() + ratio.var() / 2)


def _log_costs(cost_usd: Floats) -> Doubles:
    logs: Doubles = np.log(np.maximum(cost_usd.astype(np.float64), 1e-12)).mean(1)
    return logs
