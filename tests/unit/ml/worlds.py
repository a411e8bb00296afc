"""Small worlds in which it is known what a router can learn."""

from __future__ import annotations

import numpy as np

from pointsman.ml.base import Features, Table

KINDS = ("law", "maths", "poems")
MODELS = ("able", "lawyer", "poet", "small")
CHANCES = np.array([[0.7, 0.95, 0.2, 0.4], [0.7, 0.1, 0.2, 0.3], [0.6, 0.2, 0.9, 0.5]])
"""Of each model, for each kind of prompt. ``able`` is the best single one."""
COSTS = np.array([0.01, 0.004, 0.003, 0.001])
DIMENSION = 12


def world(
    count: int = 240, *, seed: int = 0, missing: float = 0.0, is_told: bool = True, is_plain: bool = False
) -> tuple[Features, Table]:
    """Prompts of three kinds; where the world ``is_plain``, kinds make no difference to what models do."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, len(KINDS), count)
    embedding = 2.0 * np.eye(DIMENSION)[kind] + chance.normal(size=(count, DIMENSION)) / 2
    chances = np.broadcast_to(CHANCES.mean(0), (count, len(MODELS))) if is_plain else CHANCES[kind]
    quality = (chance.random((count, len(MODELS))) < chances).astype(np.float32)
    cost = (COSTS * chance.lognormal(0, 0.3, (count, 1))).astype(np.float32)
    for values in (quality, cost):
        values[chance.random(values.shape) < missing] = np.nan
    return Features(
        (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32),
        chance.normal(size=(count, 3)).astype(np.float32),
    ), Table(
        prompts=[f"prompt {seed}/{i}" for i in range(count)],
        models=MODELS,
        quality=quality,
        cost_usd=cost,
        tasks=[KINDS[k] for k in kind] if is_told else (),
    )
