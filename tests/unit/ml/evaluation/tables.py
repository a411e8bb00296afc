"""A table of outcomes by arithmetic, and predictions for it that are sometimes right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pointsman.ml.base import Floats, Table

PROMPTS, MODELS = 60, 4
NAMES = ("a", "b", "c", "d")


def table() -> Table:
    """Dearer models are better, and every model answers something that the others do not."""
    i, j = np.arange(PROMPTS)[:, None], np.arange(MODELS)[None, :]
    return Table(
        prompts=[f"prompt {k}" for k in range(PROMPTS)],
        models=NAMES,
        quality=((i * (3 * j + 5) + j * j) % 23 < 8 + 3 * j).astype(np.float32),
        cost_usd=((1 + j * j) * 1e-4 * (1 + (i % 7) / 7)).astype(np.float32),
        tasks=[("law", "maths", "art")[k % 3] for k in range(PROMPTS)],
    )


def predictions() -> tuple[Floats, Floats]:
    """(n, m) qualities and costs."""
    known = table()
    i, j = np.arange(PROMPTS)[:, None], np.arange(MODELS)[None, :]
    quality = known.quality.mean(0) + 0.2 * np.sin(i * (j + 1) + j) + 0.1 * known.quality
    cost = known.cost_usd.mean(0) * np.exp(0.2 * np.cos(i + 3 * j))
    return quality.astype(np.float32), cost.astype(np.float32)


def permuted(known: Table, places: list[int]) -> Table:
    """The same with its models in another order."""
    return replace(
        known,
        models=tuple(known.models[place] for place in places),
        quality=known.quality[:, places],
        cost_usd=known.cost_usd[:, places],
    )
