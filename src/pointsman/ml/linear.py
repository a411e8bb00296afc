"""Ridge regression of many targets at once, some of which are not known (Hoerl and Kennard, 1970)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats


@dataclass(frozen=True, slots=True)
class Linear:
    """``inputs @ slopes + intercept``."""

    slopes: Floats
    """(inputs, targets)"""
    intercept: Floats
    """(targets,)"""

    def __call__(self, inputs: Floats) -> Floats:
        """What the inputs (n, k) come to: (n, targets)."""
        said: Floats = inputs.dot(self.slopes)
        said += self.intercept
        return said


def ridge(inputs: Floats, targets: Floats, penalty: float, weights: Floats | None = None) -> Linear:
    """Fit the targets (n, t), NaN where not known; the intercept is not penalised.

    ``weights`` (n,) have a mean of about 1. A target that is known nowhere gets 0.
    """
    known = ~np.isnan(targets)
    counts = known * (np.ones(len(targets)) if weights is None else weights)[:, None]
    slopes = np.zeros((inputs.shape[1], targets.shape[1]), np.float32)
    intercept = np.zeros(targets.shape[1], np.float32)
    groups, group = np.unique(counts, axis=1, return_inverse=True)
    for i in range(groups.shape[1]):  # targets that are known for the same rows are solved together
        columns, rows = np.flatnonzero(group.ravel() == i), np.flatnonzero(groups[:, i])
        if len(rows):
            slopes[:, columns], intercept[columns] = _solved(
                inputs[rows], targets[np.ix_(rows, columns)], groups[rows, i], penalty
            )
    return Linear(slopes, intercept)


def _solved(inputs: Floats, targets: Floats, weights: NDArray[Any], penalty: float) -> tuple[Any, Any]:
    total = weights.sum()
    middle, mean = weights @ inputs / total, weights @ targets / total
    root = np.sqrt(weights)[:, None].astype(np.float32)
    centred = (inputs - middle).astype(np.float32) * root
    gram = (centred.T @ centred).astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty
    slopes = np.linalg.solve(gram, (centred.T @ ((targets - mean).astype(np.float32) * root)).astype(np.float64))
    return slopes, mean - middle @ slopes
