"""Gradients against differences, and lessons to take them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.residual import Lesson

SMALL = 1e-5


def lesson(count: int = 12, width: int = 5, models: int = 4, *, missing: float = 0.2, seed: int = 0) -> Lesson:
    """Inputs and qualities without a meaning, in double precision."""
    chance: Any = np.random.default_rng(seed)
    quality = (chance.random((count, models)) < 0.5).astype(np.float64)
    quality[chance.random(quality.shape) < missing] = np.nan
    return Lesson(
        inputs=chance.standard_normal((count, width)),
        quality=quality,
        mean=np.full(models, 0.5),
        weights=chance.random(count) + 0.5,
        groups=chance.integers(-1, 2, count),
        baseline=0,
    )


def parameters(seed: int = 1, **shapes: tuple[int, ...]) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    return {name: chance.standard_normal(shape) / 2 for name, shape in shapes.items()}


def expect_gradient(
    loss: Callable[[Any, Lesson], float],
    gradient: Callable[[Any, Lesson], Any],
    at: dict[str, NDArray[Any]],
    part: Lesson,
) -> None:
    found = gradient(at, part)
    assert found.keys() == at.keys()
    for name, values in at.items():
        expected = np.zeros(values.shape)
        for place in np.ndindex(values.shape):
            kept = values[place]
            values[place] = kept + SMALL
            above = loss(at, part)
            values[place] = kept - SMALL
            expected[place] = (above - loss(at, part)) / (2 * SMALL)
            values[place] = kept
        assert np.abs(expected).max() > 1e-4, f"{name} makes no difference"
        np.testing.assert_allclose(found[name], expected, atol=2e-6, err_msg=name)
