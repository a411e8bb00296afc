"""A network with one hidden layer and one output for each model, trained on every quality that was observed.

The loss is the cross entropy of each model's quality, not of "the best model": where models tie there is nothing to
choose between. Several networks, each trained without a part of the prompts, are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.descent import sigmoid
from pointsman.ml.network import logits, train
from pointsman.ml.residual import Arrays, Lesson, Residual


@dataclass(kw_only=True)
class Mlp(Residual):
    """``hidden`` is the width of the layer between."""

    NAME: ClassVar[str] = "mlp"
    IS_ENSEMBLE: ClassVar[bool] = True

    repeats: int = 2
    hidden: int = 128
    rate: float = 2e-3
    decay: float = 1.0
    epochs: int = 30

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """The weights, and the means that deviations start from."""
        found = train(lesson, chance, hidden=self.hidden, rate=self.rate, decay=self.decay, epochs=self.epochs)
        return {**found, "mean": lesson.mean}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What the network says more than the means."""
        return sigmoid(logits(learnt, inputs)) - learnt["mean"]
