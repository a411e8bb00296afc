"""Message passing between prompts and models, after GraphRouter (Feng, Shen and You, arXiv 2410.03834).

Prompts and models are the nodes of a graph, observed qualities its edges. In two rounds

1. every model hears from the prompts it did better or worse on than usual,
2. every prompt hears from its models, and the models once more from those prompts.

A new prompt has no edges: it hears nothing, and is compared with what the models have become. That is trained for:
of every batch one half of the prompts lends its edges, and the other half has to be predicted without. When training is
done the states of the models are computed once from all edges and kept, so that serving needs no graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.descent import Parameters, descend, logit, sigmoid, surprise, surprise_slope
from pointsman.ml.residual import Arrays, Lesson, Residual


@dataclass(kw_only=True)
class Graph(Residual):
    """``hidden`` is the size of a node's state."""

    NAME: ClassVar[str] = "graph"
    IS_ENSEMBLE: ClassVar[bool] = True

    repeats: int = 3
    hidden: int = 64
    rate: float = 2e-2
    decay: float = 0.3
    epochs: int = 8

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """Weights by descent, then the states of the models."""
        h, width, count = self.hidden, lesson.inputs.shape[1], len(lesson.mean)

        def drawn(*shape: int) -> Floats:
            return chance.standard_normal(shape, np.float32) / np.float32(np.sqrt(h))

        start = {
            "prompt": drawn(width, h),
            "model": 0.1 * drawn(count, h),
            "hear": drawn(h, h),
            "keep": np.eye(h, dtype=np.float32),
            "tell": drawn(h, h),
            "again": drawn(h, h),
            "bias": logit(lesson.mean),
        }
        found = descend(start, lesson, gradient, loss, chance, rate=self.rate, decay=self.decay, epochs=self.epochs)
        states = _models(found, *_edges(lesson), lesson.inputs)[-1]
        return {
            "prompt": found["prompt"],
            "keep": found["keep"],
            "states": states,
            "bias": found["bias"],
            "mean": lesson.mean,
        }

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What comes of comparing prompts without edges with the states of the models."""
        seen = np.maximum(np.maximum(inputs @ learnt["prompt"], 0) @ learnt["keep"], 0)
        return sigmoid(seen @ learnt["states"].T + learnt["bias"]) - learnt["mean"]


def _edges(lesson: Lesson) -> tuple[Floats, Floats]:
    """Messages are means: (n, m) what each prompt is worth to each model, and each model to each prompt."""
    known = ~np.isnan(lesson.quality)
    worth = np.where(known, lesson.residuals, 0) * lesson.weights[:, None]
    to_models = worth / np.maximum(known.sum(0), 1)
    return to_models.astype(np.float32), (worth / np.maximum(known.sum(1, keepdims=True), 1)).astype(np.float32)


def _models(p: Parameters, to_models: Floats, to_prompts: Floats, inputs: Floats) -> tuple[Floats, ...]:
    """Both rounds: the prompts, the models after the first, the prompts after the second, the models in the end."""
    prompts = np.maximum(inputs @ p["prompt"], 0)
    once = np.tanh(p["model"] + to_models.T @ prompts @ p["hear"])
    told = np.maximum(prompts @ p["keep"] + to_prompts @ once @ p["tell"], 0)
    return prompts, once, told, once + to_models.T @ told @ p["again"]


def _halves(lesson: Lesson) -> tuple[Lesson, Lesson]:
    rows = np.arange(len(lesson.inputs))
    return lesson.of(rows[::2]), lesson.of(rows[1::2])


def loss(p: Parameters, lesson: Lesson) -> float:
    """Cross entropy of the qualities of every second prompt, given the edges of the others."""
    lends, asks = _halves(lesson)
    states = _models(p, *_edges(lends), lends.inputs)[-1]
    seen = np.maximum(np.maximum(asks.inputs @ p["prompt"], 0) @ p["keep"], 0)
    return surprise(seen @ states.T + p["bias"], asks)


def gradient(p: Parameters, lesson: Lesson) -> Parameters:
    """Of :func:`loss`."""
    lends, asks = _halves(lesson)
    to_models, to_prompts = _edges(lends)
    prompts, once, told, states = _models(p, to_models, to_prompts, lends.inputs)
    first = np.maximum(asks.inputs @ p["prompt"], 0)
    seen = np.maximum(first @ p["keep"], 0)
    slope = surprise_slope(seen @ states.T + p["bias"], asks)

    by_states = slope.T @ seen
    by_seen = (slope @ states) * (seen > 0)
    by_first = (by_seen @ p["keep"].T) * (first > 0)
    by_told = (to_models @ by_states @ p["again"].T) * (told > 0)
    by_once = (by_states + to_prompts.T @ by_told @ p["tell"].T) * (1 - once**2)
    by_prompts = (by_told @ p["keep"].T + to_models @ by_once @ p["hear"].T) * (prompts > 0)
    return {
        "prompt": asks.inputs.T @ by_first + lends.inputs.T @ by_prompts,
        "model": by_once,
        "hear": prompts.T @ (to_models @ by_once),
        "keep": first.T @ by_seen + prompts.T @ by_told,
        "tell": (to_prompts @ once).T @ by_told,
        "again": told.T @ (to_models @ by_states),
        "bias": slope.sum(0),
    }
