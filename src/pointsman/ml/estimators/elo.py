"""Ratings out of pairs of models: who did better on the same prompt.

Bradley and Terry's model (1952), fitted to all pairs at once; a tie is half a win for either. By default ratings know
nothing of the prompt, and the model rated highest is always the best. With ``is_weighted``, outcomes on prompts like
the one at hand count more, as in RouteLLM's ``sw_ranking`` (arXiv 2406.18665): one step of Fisher scoring away from the
ratings of all prompts, in the direction of what happened nearby.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.descent import logit, sigmoid
from pointsman.ml.residual import Arrays, Lesson, Residual, means

Doubles = NDArray[np.float64]

DRAWS = 1.0
"""Pretended draws of each model against an average one, so that who always wins has a finite rating."""
STEPS = 50
SHARPEST = 80.0
"""Beyond it weights would be no numbers any more."""
SCALE, MIDDLE = 400 / np.log(10), 1000.0
LEAST_SLOPE = 1e-3


@dataclass(kw_only=True)
class Elo(Residual):
    """``sharpness`` is how much more what is near counts, ``landmarks`` how many places there are to be near to."""

    NAME: ClassVar[str] = "elo"

    is_weighted: bool = False
    landmarks: int = 256
    sharpness: float = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.sharpness <= SHARPEST:
            raise ValueError(f"sharpness is from 0 to {SHARPEST:g}")

    def means(self, quality: Floats, weights: Floats) -> Floats:
        """What ratings say of quality: a rising curve through what each model did."""
        strengths = bradley_terry(*duels(quality, weights))
        return sigmoid(_curve(strengths, quality, weights)[0]).astype(np.float32)

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """Nothing, or how outcomes near each landmark differ from what the ratings say."""
        if not self.is_weighted:
            return {}
        won, met = duels(lesson.quality, lesson.weights)
        strengths = bradley_terry(won, met)
        base, slope = _curve(strengths, lesson.quality, lesson.weights)
        chosen = np.sort(chance.permutation(len(lesson.inputs))[: self.landmarks])
        places = _unit(lesson.inputs[chosen])
        nearest = (_unit(lesson.inputs) @ places.T).argmax(1)
        surprises = np.zeros((len(places), len(base)), np.float32)
        np.add.at(surprises, nearest, _surprises(lesson, strengths))
        counts = np.bincount(nearest, lesson.weights, minlength=len(places)).astype(np.float32)
        step = np.linalg.inv(_information(strengths, met) / max(float(counts.sum()), 1.0))
        return {
            "places": places,
            "counts": counts,
            "steps": (surprises @ step * slope).astype(np.float32),
            "base": base.astype(np.float32),
        }

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What ratings nearby say more than the ratings of all prompts."""
        if not self.is_weighted:
            return np.zeros((len(inputs), len(self._learnt["mean"])), np.float32)
        base = learnt["base"]
        weights = np.exp(np.float32(self.sharpness) * (_unit(inputs) @ learnt["places"].T))
        moved = weights @ learnt["steps"] / np.maximum(weights @ learnt["counts"], 1e-6)[:, None]
        apart: Floats = sigmoid(base + moved) - sigmoid(base)
        return apart


def duels(quality: Floats, weights: Floats) -> tuple[Doubles, Doubles]:
    """(m, m) how often the first did better than the second, ties being half, and how often they met."""
    count = quality.shape[1]
    won, met = np.zeros((count, count)), np.zeros((count, count))
    for i in range(count):
        mine = quality[:, [i]]
        known = ~np.isnan(mine + quality)
        won[i] = weights @ ((mine > quality) + 0.5 * (mine == quality))
        met[i] = weights @ known
    return won, met


def bradley_terry(won: Doubles, met: Doubles) -> Doubles:
    """(m,) strengths: the first of two does better with the probability ``sigmoid(first - second)``; 0 is average."""
    strengths = np.zeros(len(won))
    for _ in range(STEPS):
        expected = met / (1 + np.exp(strengths[None, :] - strengths[:, None]))
        slope = (won - expected).sum(1) - DRAWS * (sigmoid(strengths) - 0.5)
        move = np.linalg.solve(_information(strengths, met), slope)
        strengths += np.clip(move, -1, 1)
        if np.abs(move).max(initial=0) < 1e-10:
            break
    return strengths


def ratings(strengths: Doubles) -> Doubles:
    """Strengths as Elo writes them: 1000 is average, 400 more is ten to one."""
    found: Doubles = MIDDLE + SCALE * strengths
    return found


def _information(strengths: Doubles, met: Doubles) -> Doubles:
    certain = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    between = met * certain * (1 - certain)
    np.fill_diagonal(between, 0)
    own = sigmoid(strengths)
    matrix: Doubles = np.diag(between.sum(1) + DRAWS * own * (1 - own)) - between
    return matrix


def _curve(strengths: Doubles, quality: Floats, weights: Floats) -> tuple[Doubles, float]:
    """(m,) the logit of the quality that goes with each strength, and how fast it rises."""
    counts = weights @ ~np.isnan(quality) + 1e-6
    known = logit(means(quality, weights))
    middle, level = counts @ strengths / counts.sum(), counts @ known / counts.sum()
    away = strengths - middle
    slope = max(float(counts @ (away * known)) / (float(counts @ away**2) + 1e-12), LEAST_SLOPE)
    return level + slope * away, slope


def _surprises(lesson: Lesson, strengths: Doubles) -> Floats:
    """(n, m) by how much each model won more duels on each prompt than its strength says."""
    quality, out = lesson.quality, np.zeros(lesson.quality.shape, np.float32)
    for i, strength in enumerate(strengths):
        mine = quality[:, [i]]
        expected = 1 / (1 + np.exp(strengths - strength))
        each = np.where(np.isnan(mine + quality), 0, (mine > quality) + 0.5 * (mine == quality) - expected)
        out[:, i] = each.sum(1) * lesson.weights
    return out


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return unit
