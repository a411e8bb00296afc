"""Ridge regression (Hoerl and Kennard, 1970): every model's quality as a weighted sum of the inputs.

How well all models do on a prompt can be told much better than which of them does better. So the mean over models and
what each differs from it are learnt apart, each with the penalty that suits it best on prompts that were held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.linear import Linear, ridge
from pointsman.ml.planes import Planar
from pointsman.ml.residual import Arrays, Lesson

HELD_OUT = 0.2
LEAST = 20


@dataclass(kw_only=True)
class Ridge(Planar):
    """``penalties`` are tried; where there are few prompts, the heaviest is taken."""

    NAME: ClassVar[str] = "ridge"

    penalties: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """Two linear models, added."""
        targets = _apart(lesson)
        common, own = self._best(lesson, targets, chance)
        found = [
            ridge(lesson.inputs, part, penalty, lesson.weights)
            for part, penalty in zip(targets, (common, own), strict=True)
        ]
        return {"slopes": found[0].slopes + found[1].slopes, "intercept": found[0].intercept + found[1].intercept}

    def planes(self, learnt: Arrays) -> Linear:
        """Of each model one."""
        return Linear(learnt["slopes"], learnt["intercept"])

    def beyond(self, learnt: Arrays, inputs: Floats, said: Floats) -> Floats:  # noqa: ARG002  nothing is
        """What the planes say: (n, m)."""
        return said

    def _best(self, lesson: Lesson, targets: tuple[Floats, Floats], chance: np.random.Generator) -> list[float]:
        """The penalty for each of the targets."""
        if len(lesson.inputs) < LEAST:
            return [max(self.penalties)] * len(targets)
        is_held = chance.permutation(len(lesson.inputs)) < HELD_OUT * len(lesson.inputs)
        losses = np.zeros((len(targets), len(self.penalties), int(is_held.sum())))
        for i, penalty in enumerate(self.penalties):
            for j, target in enumerate(targets):
                fit = ridge(lesson.inputs[~is_held], target[~is_held], penalty, lesson.weights[~is_held])
                errors = np.nan_to_num(target[is_held] - fit(lesson.inputs[is_held]))
                losses[j, i] = lesson.weights[is_held] * (errors**2).sum(1)
        return [self.penalties[_heaviest(each)] for each in losses]


def _heaviest(losses: NDArray[np.float64]) -> int:
    """Of penalties (p,), ascending, the last of which losses (p, n) are by less than a standard error above the least.

    The penalty that predicts best is known badly, and a heavier one routes better (Breiman et al., 1984).
    """
    more = losses - losses[losses.mean(1).argmin()]
    error = more.std(1) / np.sqrt(losses.shape[1])
    return int(np.flatnonzero(more.mean(1) <= error).max())


def _apart(lesson: Lesson) -> tuple[Floats, Floats]:
    """(n, 1) the mean residual of a prompt, drawn to 0 where models are missing, and (n, m) what is left."""
    residuals = lesson.residuals
    known = (~np.isnan(residuals)).sum(1, keepdims=True)
    missing = 1 - known / residuals.shape[1]
    common = np.nansum(residuals, axis=1, keepdims=True) / np.maximum(known + missing, 1)
    return common.astype(np.float32), (residuals - common).astype(np.float32)
