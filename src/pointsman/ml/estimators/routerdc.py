"""Dual contrastive learning: prompts and models in one space, where a prompt is near the models that answer it well.

RouterDC (Chen et al., arXiv 2409.19886) with the embedder left as it is, and a projection of its vectors learnt. Three
losses pull together what belongs together, and apart what does not:

- a prompt and each model that did better on it than the mean of the models, against all that did worse. Models that
  did equally well are on the same side, so that no order of them decides;
- two prompts of one task, against the other prompts;
- two prompts for which the same models did well (clusters of their qualities), against the other prompts.

How near they are becomes a deviation by a regression for each model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.descent import Parameters, descend
from pointsman.ml.linear import ridge
from pointsman.ml.residual import Arrays, Lesson, Residual

TINY = 1e-6


@dataclass(kw_only=True)
class RouterDC(Residual):
    """``temperature`` is how far apart counts as apart, ``tasks`` and ``clusters`` weigh the last two losses."""

    NAME: ClassVar[str] = "routerdc"
    IS_ENSEMBLE: ClassVar[bool] = True

    repeats: int = 2
    size: int = 64
    temperature: float = 0.2
    tasks: float = 0.2
    clusters: float = 0.2
    cluster_count: int = 16
    penalty: float = 3.0
    rate: float = 5e-3
    decay: float = 0.3
    epochs: int = 15

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """The projection and the models' vectors, then what nearness says of each model."""
        width, count = lesson.inputs.shape[1], len(lesson.mean)
        start = {
            "projection": chance.standard_normal((width, self.size), np.float32) / np.float32(np.sqrt(self.size)),
            "models": chance.standard_normal((count, self.size), np.float32),
        }
        alike = _clusters(lesson, self.cluster_count, chance)
        with_clusters = replace(lesson, groups=np.stack([lesson.groups, alike], axis=1))
        found = descend(
            start,
            with_clusters,
            lambda parameters, part: self.loss_and_gradient(parameters, part)[1],
            lambda parameters, part: self.loss_and_gradient(parameters, part)[0],
            chance,
            rate=self.rate,
            decay=self.decay,
            epochs=self.epochs,
        )
        near = ridge(_nearness(found, lesson.inputs), lesson.residuals, self.penalty, lesson.weights)
        return {**found, "slopes": near.slopes, "intercept": near.intercept}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What nearness says."""
        return _nearness(learnt, inputs) @ learnt["slopes"] + learnt["intercept"]

    def loss_and_gradient(self, parameters: Parameters, lesson: Lesson) -> tuple[float, Parameters]:
        """The weighted sum of the three losses; ``groups`` (n, 2) are tasks and clusters."""
        prompts, long = _unit(lesson.inputs @ parameters["projection"])
        models, wide = _unit(parameters["models"])
        near = (prompts @ models.T) / np.float32(self.temperature)
        total, by_near = _toward_the_better(near, lesson)
        by_prompts, by_models = by_near @ models, by_near.T @ prompts
        among = (prompts @ prompts.T) / np.float32(self.temperature)
        for weight, groups in ((self.tasks, lesson.groups[:, 0]), (self.clusters, lesson.groups[:, 1])):
            loss, by_among = _toward_the_same(among, groups)
            total += weight * loss
            by_prompts += np.float32(weight) * ((by_among + by_among.T) @ prompts)
        scale = np.float32(1 / self.temperature)
        return total, {
            "projection": lesson.inputs.T @ _through_unit(by_prompts * scale, prompts, long),
            "models": _through_unit(by_models * scale, models, wide),
        }


def _nearness(learnt: Arrays, inputs: Floats) -> Floats:
    """(n, m) cosines."""
    return _unit(inputs @ learnt["projection"])[0] @ _unit(learnt["models"])[0].T


def _unit(rows: Floats) -> tuple[Floats, Floats]:
    """Rows of length 1, and what their lengths were."""
    lengths = np.sqrt((rows**2).sum(1, keepdims=True)) + np.float32(TINY)
    return rows / lengths, lengths


def _through_unit(slope: Floats, unit: Floats, lengths: Floats) -> Floats:
    back: Floats = (slope - unit * (slope * unit).sum(1, keepdims=True)) / lengths
    return back


def _toward_the_better(near: Floats, lesson: Lesson) -> tuple[float, Floats]:
    """Each better model alone against all worse ones; where all did equally well there is nothing to learn."""
    known = ~np.isnan(lesson.quality)
    usual = np.where(known, lesson.quality, 0).sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    better, worse = lesson.quality > usual + TINY, lesson.quality < usual - TINY
    weights = better * lesson.weights[:, None] / np.maximum(better.sum(1, keepdims=True), 1) / len(near)
    highest = near.max(1, keepdims=True)
    powers = np.exp(near - highest)
    against = powers + (powers * worse).sum(1, keepdims=True)
    loss = float((weights * (highest + np.log(against) - near)).sum())
    shares = weights / against
    slope: Floats = powers * (shares + worse * shares.sum(1, keepdims=True)) - weights
    return loss, slope.astype(np.float32)


def _toward_the_same(among: Floats, groups: NDArray[Any]) -> tuple[float, Floats]:
    """Each prompt's companions against all other prompts; those in no group, or alone in it, are others only."""
    others = ~np.eye(len(among), dtype=np.bool_)
    companions = (groups[:, None] == groups) & (groups[:, None] >= 0) & others
    weights = companions / np.maximum(companions.sum(1, keepdims=True), 1) / len(among)
    highest = among.max(1, keepdims=True)
    powers = np.exp(among - highest) * others
    total = powers.sum(1, keepdims=True) + np.float32(TINY)
    loss = float((weights * (highest + np.log(total) - among)).sum())
    slope: Floats = powers / total * weights.sum(1, keepdims=True) - weights
    return loss, slope.astype(np.float32)


def _clusters(lesson: Lesson, count: int, chance: np.random.Generator) -> NDArray[np.intp]:
    """(n,) prompts by what models made of them: k-means, where what is not known counts as usual."""
    points = np.nan_to_num(lesson.residuals)
    centres = points[chance.permutation(len(points))[:count]]
    nearest = np.zeros(len(points), np.intp)
    for _ in range(10):
        nearest = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, points)
        sizes = np.bincount(nearest, minlength=len(centres))[:, None]
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres).astype(np.float32)
    return nearest
