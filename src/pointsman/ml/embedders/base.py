"""What embedders share that are no part of a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats

TINY = 1e-9

Contents = Callable[[str, int], bytes | memoryview | None]
"""Gives a file of an embedder's directory by its name, at most so many bytes, or ``None`` where there is none.

:raises NoEmbedder: the file cannot be read, or is larger
"""


class NoEmbedder(ValueError):
    """An embedder cannot be had: what is wrong, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what} ({hint})")
        self.what = what
        self.hint = hint


def fingerprint(*parts: bytes | memoryview) -> str:
    """Tells what an embedder is made of from anything else."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def of_length_one(vectors: NDArray[Any]) -> Floats:
    """The rows brought to length 1; those of length 0, and those that hold what is no number, are 0."""
    wide = vectors.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        is_known = np.isfinite(lengths) & (lengths > TINY)
        return np.where(is_known, wide / np.where(is_known, lengths, 1.0), 0.0).astype(np.float32)
