"""Clusters: prompts fall into kinds, and a model has a mean for each kind.

As Avengers-Pro (arXiv 2508.12631) and UniRoute (arXiv 2502.08773) have it, with two differences: a prompt belongs to
several clusters as far as it is near them, and the mean of a cluster is drawn to that of all prompts by a few imaginary
ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.cells import find_cells, squares
from pointsman.ml.linear import Linear
from pointsman.ml.planes import Planar
from pointsman.ml.residual import Arrays, Lesson


@dataclass(kw_only=True)
class Clusters(Planar):
    """At most ``clusters``, of about ``least`` prompts or more."""

    NAME: ClassVar[str] = "clusters"
    IS_ENSEMBLE: ClassVar[bool] = True

    clusters: int = 64
    least: int = 30
    prior: float = 10.0
    sharpness: float = 12.0

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """Centres, and each model's deviation there."""
        count = min(self.clusters, 1 + len(lesson.inputs) // self.least)
        centres, _ = find_cells(lesson.inputs, count, chance)
        shares = _shares(self._nearness(centres)(lesson.inputs)) * lesson.weights[:, None]
        known = ~np.isnan(lesson.residuals)
        sums = shares.T @ np.nan_to_num(lesson.residuals)
        return {"centres": centres, "means": sums / (shares.T @ known.astype(np.float32) + self.prior)}

    def planes(self, learnt: Arrays) -> Linear:
        """Of each cluster one."""
        return self._nearness(learnt["centres"])

    def beyond(self, learnt: Arrays, inputs: Floats, said: Floats) -> Floats:  # noqa: ARG002  nothing is
        """What its clusters know, as far as it belongs to them: (n, m)."""
        return _shares(said) @ learnt["means"]

    def _nearness(self, centres: Floats) -> Linear:
        """How near inputs are to each centre, but for what is the same for all centres."""
        sharp = np.float32(self.sharpness)
        return Linear(sharp * centres.T, -sharp / 2 * squares(centres))


def _shares(near: Floats) -> Floats:
    """(n, c) how far each belongs to each cluster; they come to 1."""
    shares: Floats = np.exp(near - near.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares
