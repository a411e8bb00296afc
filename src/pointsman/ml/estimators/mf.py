"""Matrix factorisation: a vector for each model, and a projection that puts prompts into the same space.

How likely a model is right is the product of the two (EmbedLLM, arXiv 2410.02223; RouteLLM's ``mf``, arXiv 2406.18665).
Two losses are added: the cross entropy of every quality, and for every two models that did not do equally well on a
prompt, the cross entropy of which was better. Ties say nothing about the order of two models, and take no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.descent import Parameters, descend, logit, sigmoid, surprise, surprise_slope
from pointsman.ml.residual import Arrays, Lesson, Residual


@dataclass(kw_only=True)
class Mf(Residual):
    """``rank`` is the length of a model's vector, ``pairs`` the weight of the loss of pairs."""

    NAME: ClassVar[str] = "mf"
    IS_ENSEMBLE: ClassVar[bool] = True

    repeats: int = 3
    rank: int = 32
    pairs: float = 0.5
    rate: float = 1e-2
    decay: float = 0.3
    epochs: int = 30

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """Begin with the means, and descend."""
        width, count = lesson.inputs.shape[1], len(lesson.mean)
        start = {
            "projection": chance.standard_normal((width, self.rank), np.float32) / np.float32(np.sqrt(self.rank)),
            "models": np.zeros((self.rank, count), np.float32),
            "bias": logit(lesson.mean),
        }
        found = descend(
            start, lesson, self.gradient, loss, chance, rate=self.rate, decay=self.decay, epochs=self.epochs
        )
        # Both matrices matter as their product only.
        return {"product": found["projection"] @ found["models"], "bias": found["bias"], "mean": lesson.mean}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What the products say more than the means."""
        return sigmoid(inputs @ learnt["product"] + learnt["bias"]) - learnt["mean"]

    def gradient(self, parameters: Parameters, lesson: Lesson) -> Parameters:
        """Of the sum of both losses."""
        seen = lesson.inputs @ parameters["projection"]
        logits = seen @ parameters["models"] + parameters["bias"]
        slope = surprise_slope(logits, lesson) + np.float32(self.pairs) * pairs_slope(logits, lesson)
        return {
            "projection": lesson.inputs.T @ (slope @ parameters["models"].T),
            "models": seen.T @ slope,
            "bias": slope.sum(0),
        }


def loss(parameters: Parameters, lesson: Lesson) -> float:
    """Cross entropy of the qualities, by which it is told when to stop."""
    return surprise(lesson.inputs @ parameters["projection"] @ parameters["models"] + parameters["bias"], lesson)


def pairs_slope(logits: NDArray[Any], lesson: Lesson) -> Floats:
    """By the logits, of the mean cross entropy of which of two models was better."""
    quality = lesson.quality
    weights = (quality[:, :, None] > quality[:, None, :]) * lesson.weights[:, None, None]  # never true beside a NaN
    lost = weights * sigmoid(logits[:, None, :] - logits[:, :, None])
    slope: Floats = lost.sum(1) - lost.sum(2)
    return (slope / max(float(weights.sum()), 1.0)).astype(np.float32)
