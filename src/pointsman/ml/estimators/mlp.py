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
from pointsman.ml.linear import Linear
from pointsman.ml.network import train
from pointsman.ml.planes import Planar
from pointsman.ml.residual import Arrays, Lesson


@dataclass(kw_only=True)
class Mlp(Planar):
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

    def planes(self, learnt: Arrays) -> Linear:
        """The layer between, before what is below 0 is cut off."""
        return Linear(learnt["first"], learnt["first_bias"])

    def beyond(self, learnt: Arrays, inputs: Floats, said: Floats) -> Floats:  # noqa: ARG002  nothing is
        """What the network says more than the means."""
        hidden = np.maximum(said, 0)
        return sigmoid(hidden @ learnt["second"] + learnt["second_bias"]) - learnt["mean"]
