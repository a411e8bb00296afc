"""Prompts in cells: k-means (Lloyd, 1982) from spread starts (Arthur and Vassilvitskii, "k-means++", 2007)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats

ROUNDS = 12


def find_cells(inputs: Floats, count: int, chance: np.random.Generator) -> tuple[Floats, NDArray[np.intp]]:
    """Centres (c, k) of at most ``count`` cells, none of them empty, and (n,) the cell of each row."""
    centres = _starts(inputs, count, chance)
    place = nearest(inputs, centres)
    for _ in range(ROUNDS):
        kept, place = np.unique(place, return_inverse=True)
        belongs = np.zeros((len(kept), len(inputs)), np.float32)
        belongs[place, np.arange(len(inputs))] = 1.0
        centres = belongs @ inputs / belongs.sum(1, keepdims=True)
        before, place = place, nearest(inputs, centres)
        if np.array_equal(before, place):
            break
    kept, place = np.unique(place, return_inverse=True)
    return np.ascontiguousarray(centres[kept]), place


def squares(rows: Floats) -> Floats:
    """(n,) the squared lengths."""
    lengths: Floats = np.vecdot(rows, rows)
    return lengths


def distances(inputs: Floats, centres: Floats, lengths: Floats | None = None) -> Floats:
    """(n, c) squared, at least 0; ``lengths`` (c,) are the :func:`squares` of the centres, if they are known."""
    apart: Floats = inputs @ centres.T
    apart *= -2
    apart += squares(centres) if lengths is None else lengths
    apart += squares(inputs)[:, None]
    return np.maximum(apart, 0, out=apart)


def nearest(inputs: Floats, centres: Floats) -> NDArray[np.intp]:
    """(n,) the cell of each row."""
    places: NDArray[np.intp] = distances(inputs, centres).argmin(1)
    return places


def _starts(inputs: Floats, count: int, chance: np.random.Generator) -> Floats:
    """Rows, each drawn by its squared distance to those before it; fewer where there are not so many different ones."""
    chosen = [int(chance.integers(len(inputs)))]
    apart = distances(inputs, inputs[chosen])[:, 0].astype(np.float64)
    while len(chosen) < count and apart.sum() > 1e-6 * len(inputs):  # rounding, not a distance
        chosen.append(int(chance.choice(len(inputs), p=apart / apart.sum())))
        apart = np.minimum(apart, distances(inputs, inputs[chosen[-1:]])[:, 0])
        apart[chosen[-1]] = 0.0
    return inputs[chosen]
