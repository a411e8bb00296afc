"""Learning by small steps: Adam (Kingma and Ba, arXiv 1412.6980) with decoupled decay (arXiv 1711.05101).

It stops when prompts that were put aside are no longer predicted better, and gives what predicted them best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.residual import Lesson

Parameters = Mapping[str, NDArray[Any]]
Gradient = Callable[[Parameters, Lesson], Parameters]
Loss = Callable[[Parameters, Lesson], float]

ASIDE = 0.15
BATCH = 128
LEAST_BATCHES = 16
"""In an epoch, so that few prompts are not few steps."""
PATIENCE = 3
MEAN_SHARE, SQUARE_SHARE = 0.9, 0.999
TINY = 1e-8


def descend(
    start: Parameters,
    lesson: Lesson,
    gradient: Gradient,
    loss: Loss,
    chance: np.random.Generator,
    *,
    rate: float,
    decay: float,
    epochs: int,
) -> Parameters:
    """The best parameters met; ``rate`` falls linearly to 0 over the epochs, ``decay`` is for matrices only."""
    shuffled = chance.permutation(len(lesson.inputs))
    aside, rest = np.split(shuffled, [max(1, int(ASIDE * len(shuffled)))])
    held, now = lesson.of(aside), {name: array.copy() for name, array in start.items()}
    means, squares = ({name: np.zeros_like(array) for name, array in start.items()} for _ in range(2))
    best, lowest, since, step = start, loss(start, held), 0, 0
    for epoch in range(epochs):
        for rows in _batches(chance.permutation(rest)):
            step += 1
            pace = rate * (1 - epoch / epochs) * np.sqrt(1 - SQUARE_SHARE**step) / (1 - MEAN_SHARE**step)
            for name, slope in gradient(now, lesson.of(rows)).items():
                means[name] += (1 - MEAN_SHARE) * (slope - means[name])
                squares[name] += (1 - SQUARE_SHARE) * (slope * slope - squares[name])
                if slope.ndim > 1:
                    now[name] *= np.float32(1 - rate * decay)
                now[name] -= np.float32(pace) * means[name] / (np.sqrt(squares[name]) + TINY)
        reached, since = loss(now, held), since + 1
        if reached < lowest:
            best, lowest, since = {name: array.copy() for name, array in now.items()}, reached, 0
        elif since >= PATIENCE:
            break
    return best


def _batches(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return np.array_split(rows, max(1, len(rows) // BATCH, min(LEAST_BATCHES, len(rows) // 2)))


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """Logits as probabilities."""
    probabilities: NDArray[Any] = 1 / (1 + np.exp(-np.minimum(np.maximum(logits, -30), 30)))
    return probabilities


def logit(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The reverse of :func:`sigmoid`; what is nearer than 1 % to 0 or 1 counts as 1 % away."""
    inside = np.clip(probabilities, 0.01, 0.99)
    logits: NDArray[Any] = np.log(inside / (1 - inside))
    return logits


def surprise(logits: NDArray[Any], lesson: Lesson) -> float:
    """Mean cross entropy of what is known."""
    known = ~np.isnan(lesson.quality)
    each = np.logaddexp(0, logits) - np.where(known, lesson.quality, 0) * logits
    weights = known * lesson.weights[:, None]
    return float((each * weights).sum() / max(float(weights.sum()), TINY))


def surprise_slope(logits: NDArray[Any], lesson: Lesson) -> Floats:
    """Its derivative by the logits."""
    known = ~np.isnan(lesson.quality)
    weights = known * lesson.weights[:, None]
    slope: Floats = np.where(known, sigmoid(logits) - lesson.quality, 0) * weights
    return (slope / max(float(weights.sum()), TINY)).astype(np.float32)
