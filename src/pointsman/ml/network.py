"""A network with one hidden layer, and the gradient of its cross entropy."""

from __future__ import annotations

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.descent import Parameters, descend, logit, surprise, surprise_slope
from pointsman.ml.residual import Lesson


def train(
    lesson: Lesson, chance: np.random.Generator, *, hidden: int, rate: float, decay: float, epochs: int
) -> Parameters:
    """Begin with the means of what is to be predicted, and descend."""
    width, count = lesson.inputs.shape[1], len(lesson.mean)
    start = {
        "first": chance.standard_normal((width, hidden), np.float32) / np.float32(np.sqrt(hidden)),
        "first_bias": np.zeros(hidden, np.float32),
        "second": np.zeros((hidden, count), np.float32),
        "second_bias": logit(lesson.mean),
    }
    return descend(start, lesson, gradient, loss, chance, rate=rate, decay=decay, epochs=epochs)


def logits(parameters: Parameters, inputs: Floats) -> Floats:
    """What the network says of inputs (n, k): (n, m)."""
    hidden = np.maximum(inputs @ parameters["first"] + parameters["first_bias"], 0)
    said: Floats = hidden @ parameters["second"] + parameters["second_bias"]
    return said


def loss(parameters: Parameters, lesson: Lesson) -> float:
    """Cross entropy."""
    return surprise(logits(parameters, lesson.inputs), lesson)


def gradient(parameters: Parameters, lesson: Lesson) -> Parameters:
    """Of :func:`loss`."""
    hidden = np.maximum(lesson.inputs @ parameters["first"] + parameters["first_bias"], 0)
    slope = surprise_slope(hidden @ parameters["second"] + parameters["second_bias"], lesson)
    back = (slope @ parameters["second"].T) * (hidden > 0)
    return {
        "first": lesson.inputs.T @ back,
        "first_bias": back.sum(0),
        "second": hidden.T @ slope,
        "second_bias": slope.sum(0),
    }
