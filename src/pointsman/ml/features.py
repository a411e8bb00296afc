"""Prompts as numbers: an embedding, and a few facts of the surface that any embedding loses.

The text of a prompt is its last user turn after a short summary of what came before; whoever calls makes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from pointsman.ml.base import Embedder, Features, Floats, State

TINY = 1e-9
SURFACE = (
    "characters", "words", "word_length", "variety", "lines", "line_length", "short_lines", "number_lines",
    "digits", "capitals", "marks", "beyond_ascii", "questions", "maths", "code", "blanks",
)  # fmt: skip
"""Names of the columns of :attr:`Features.surface`. Counts are logarithms, everything else a share or a mean."""
MAX_CHARACTERS = 8_000
SPREAD = 3.0
WIDEST = 512
"""Longer embeddings are turned to their leading directions: estimators would be large and slow, and route no better."""
# Means and deviations over questions, exercises, code and chat, for when there is nothing to learn them from.
USUAL_MEAN = (5.6, 4.0, 5.0, 0.75, 1.3, 4.1, 0.3, 0.05, 0.03, 0.04, 0.05, 0.005, 0.5, 0.01, 0.01, 0.02)
USUAL_DEVIATION = (1.0, 1.0, 0.9, 0.15, 0.9, 0.9, 0.3, 0.15, 0.05, 0.05, 0.04, 0.03, 0.35, 0.03, 0.04, 0.06)

_DIGITS, _CAPITALS = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS, _MATHS = b".,;:!?'\"()-", b"$\\^=+*/<>_{}"
_CODE = ("```", "def ", "return", "import ", "();", "==", "{\n", "#include", "function", "class ")
_SHORT_LINE = 40


def surface(text: str) -> list[float]:
    """The columns of :data:`SURFACE`, not yet standardised."""
    text = text[:MAX_CHARACTERS]
    length, words = max(len(text), 1), text.split()
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    count = max(len(lines), 1)
    raw = text.encode("utf-8", "surrogatepass")

    def share(signs: bytes) -> float:
        return 1 - (len(text) - len(raw) + len(raw.translate(None, signs))) / length

    return [
        math.log1p(len(text)),
        math.log1p(len(words)),
        len("".join(words)) / max(len(words), 1),
        len(set(words)) / max(len(words), 1),
        math.log1p(len(lines)),
        math.log1p(length / count),
        sum(len(line) <= _SHORT_LINE for line in lines) / count,
        sum(line[-1].isdigit() for line in map(str.rstrip, lines)) / count,
        share(_DIGITS),
        share(_CAPITALS),
        share(_MARKS),
        0.0 if text.isascii() else 1 - len(text.encode("ascii", "ignore")) / length,
        math.log1p(text.count("?")),
        share(_MATHS),
        sum(sign in text for sign in _CODE) / len(_CODE),
        text.count("_") / length + text.count("  ") / length,
    ]


class Featurizer:
    """Turns prompts into features, the same way in training and at serving time."""

    def __init__(
        self,
        embedder: Embedder,
        mean: Floats | None = None,
        deviation: Floats | None = None,
        directions: Floats | None = None,
    ) -> None:
        """Without means and deviations, usual ones are taken. ``directions`` are columns on which embeddings are seen.

        :raises ValueError: they are not as many as there are surface features, or do not fit the embedder
        """
        self.embedder = embedder
        self._mean = np.array(USUAL_MEAN, np.float32) if mean is None else mean.astype(np.float32)
        self._deviation = np.array(USUAL_DEVIATION, np.float32) if deviation is None else deviation.astype(np.float32)
        if self._mean.shape != (len(SURFACE),) or self._deviation.shape != (len(SURFACE),):
            raise ValueError("the surface features of the checkpoint are not those of this version")
        self._scale = np.maximum(self._deviation, np.float32(1e-3))
        self._directions = None if directions is None else directions.astype(np.float32)
        if self._directions is not None and (self._directions.ndim, len(self._directions)) != (2, embedder.dimension):
            raise ValueError("the directions of the checkpoint do not fit its embedder")
        parts = [self._mean, self._deviation] + ([] if self._directions is None else [self._directions])
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError("the features of the checkpoint are damaged")

    @classmethod
    def trained(cls, embedder: Embedder, texts: Sequence[str]) -> Self:
        """Standardised by these texts; by what is usual where there are fewer than two."""
        directions = _leading(embedder.embed(texts), WIDEST) if embedder.dimension > WIDEST else None
        if len(texts) < 2:
            return cls(embedder, directions=directions)
        raw = np.array([surface(text) for text in texts], np.float32)
        return cls(embedder, raw.mean(0), raw.std(0), directions)

    def features(self, texts: Sequence[str], users: Sequence[str] = (), embedding: Floats | None = None) -> Features:
        """What estimators see of these prompts. ``embedding`` is what the embedder gave for them, if that is known."""
        raw = np.array([surface(text) for text in texts], np.float32).reshape(len(texts), len(SURFACE))
        standard = (raw - self._mean) / self._scale
        vectors = self.embedder.embed(texts) if embedding is None else embedding
        return Features(self._turned(vectors), np.minimum(np.maximum(standard, -SPREAD), SPREAD), users)

    def _turned(self, vectors: Floats) -> Floats:
        if self._directions is None:
            return vectors
        turned: Floats = vectors @ self._directions
        turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), TINY)
        return turned

    def state(self) -> State:
        """Means, deviations and directions; the embedder is kept beside."""
        arrays = {"mean": self._mean, "deviation": self._deviation}
        if self._directions is not None:
            arrays["directions"] = self._directions.astype(np.float16)
        return State(arrays, {"embedder": self.embedder.id})

    @classmethod
    def from_state(cls, state: State, embedder: Embedder) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: another embedder, other features, or a part that is missing
        """
        if state.settings.get("embedder") != embedder.id:
            raise ValueError(f"trained with the embedder {state.settings.get('embedder')}, not with {embedder.id}")
        if not {"mean", "deviation"} <= state.arrays.keys():
            raise ValueError("the means of the features are missing")
        return cls(embedder, state.arrays["mean"], state.arrays["deviation"], state.arrays.get("directions"))


def _leading(vectors: Floats, count: int) -> Floats:
    """(d, count): the directions in which the vectors are longest, the longest first."""
    _, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    return directions[:, ::-1][:, :count].astype(np.float32)
