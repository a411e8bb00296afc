"""A kernel machine: the models' deviations as sums of bells around prompts of the training data.

A support vector machine with a squared loss, which is kernel ridge regression (Saunders, Gammerman and Vovk, 1998), for
all models at once. Of the training prompts a few hundred stand for all (Williams and Seeger, "Using the Nystroem method
to speed up kernel machines", 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.linear import ridge
from pointsman.ml.residual import Arrays, Lesson, Residual

JITTER = 1e-6


@dataclass(kw_only=True)
class Svm(Residual):
    """``width`` is that of the bells: of unrelated prompts, which are about 1.4 apart, they see little."""

    NAME: ClassVar[str] = "svm"

    landmarks: int = 512
    width: float = 1.0
    penalty: float = 30.0

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """The landmarks, and how much each says of every model."""
        chosen = np.sort(chance.permutation(len(lesson.inputs))[: self.landmarks])
        landmarks = lesson.inputs[chosen]
        extent, turn = np.linalg.eigh(self._near(landmarks, landmarks).astype(np.float64))
        whiten = (turn / np.sqrt(np.maximum(extent, JITTER))).astype(np.float32)
        found = ridge(self._near(lesson.inputs, landmarks) @ whiten, lesson.residuals, self.penalty, lesson.weights)
        return {"landmarks": landmarks, "slopes": whiten @ found.slopes, "intercept": found.intercept}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """The sums of the bells."""
        return self._near(inputs, learnt["landmarks"]) @ learnt["slopes"] + learnt["intercept"]

    def _near(self, inputs: Floats, landmarks: Floats) -> Floats:
        apart = (inputs**2).sum(1)[:, None] + (landmarks**2).sum(1) - 2 * inputs @ landmarks.T
        near: Floats = np.exp(np.maximum(apart, 0) / np.float32(-2 * self.width**2))
        return near
