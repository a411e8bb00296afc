"""Hashed words and characters: an embedding that needs nothing but the texts it is trained on.

A text becomes counts of its words, pairs of words and runs of characters inside words, each known by a hash of its
bytes. Training keeps those that tell texts apart, weighs them by rarity (Salton and Buckley, "Term-weighting approaches
in automatic text retrieval", 1988) and projects them on the leading directions of the texts: latent semantic analysis,
by the randomised range finder of Halko, Martinsson and Tropp (arXiv 0909.4061). Strong directions are those of style
and subject; they are scaled down by the root of their strength, so that the weaker ones, which know near duplicates,
are heard too.

All hashes of a text come out of one running sum. With ``H[i] = b[0] + b[1] p + ... + b[i-1] p^(i-1)`` modulo 2^64 and
an odd ``p``, the bytes from ``i`` to ``j`` have the hash ``(H[j] - H[i]) p^-i`` wherever they stand.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats, State

Hashes = NDArray[np.uint32]

VERSION = "hashed-1"
MAX_BYTES = 4096
RUNS = (4,)
"""Lengths of the runs of characters. 3 and 5 beside 4 cost thrice the time and routed no better."""
SPACE = 32
BASE = 0x9E3779B97F4A7C15
MIX = [np.uint64(x) for x in (0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3)]
TINY = 1e-9
LARGEST = 1e6
"""Of any scale; what is trained has far smaller ones."""


def _powers(base: int) -> NDArray[np.uint64]:
    powers = [1]
    for _ in range(MAX_BYTES):
        powers.append(powers[-1] * base % 2**64)
    return np.array(powers, np.uint64)


POWERS = _powers(BASE)
INVERSES = _powers(pow(BASE, -1, 2**64))
IS_WORD = bytes(c >= 128 or chr(c).isalnum() for c in range(256))
"""For :meth:`bytes.translate`."""
MOST_BITS = 24
MOST_STEPS = 8
"""From the first hash with the same leading bits; where keys crowd so, the whole of them is searched."""


def hashes(text: str) -> tuple[Hashes, NDArray[np.intp]]:
    """What the text is made of, each kind of gram once and in ascending order, and how often it occurs.

    Case and the amount of white space make no difference; what stands beyond the first 4,096 bytes does not count.
    """
    raw = b" ".join(text[:MAX_BYTES].lower().encode("utf-8", "replace").split())[: MAX_BYTES - 2]
    raw = b" %b " % raw
    data, is_word = np.frombuffer(raw, np.uint8), np.frombuffer(raw.translate(IS_WORD), np.bool_)
    sums = np.zeros(len(data) + 1, np.uint64)
    (data * POWERS[: len(data)]).cumsum(out=sums[1:])
    edges = (is_word[1:] != is_word[:-1]).nonzero()[0] + 1
    starts = edges[::2]
    words = (sums.take(edges[1::2]) - sums.take(starts)) * INVERSES.take(starts)
    is_black = data != SPACE
    found = [words * MIX[0], (words[:-1] * MIX[1] + words[1:]) * MIX[2]]
    for length in RUNS:
        if len(data) > length:  # a run may begin or end with a space, and has none inside
            runs = sums[length:] - sums[:-length]
            runs *= INVERSES[: len(runs)]
            runs += np.uint64(length)
            runs *= MIX[3]
            is_run = is_black[1 : len(runs) + 1]
            for inside in range(2, length - 1):
                is_run = is_run & is_black[inside : len(runs) + inside]
            found.append(runs[is_run])
    mixed = np.concatenate(found)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(BASE)
    mixed >>= np.uint64(32)
    short = mixed.astype(np.uint32)
    short.sort()
    ends = np.empty(len(short), np.bool_)
    np.not_equal(short[1:], short[:-1], out=ends[:-1])
    ends[-1:] = True
    last = ends.nonzero()[0]
    counts = last + 1
    counts[1:] -= counts[:-1].copy()
    return short.take(last), counts


@dataclass(frozen=True, slots=True)
class Sparse:
    """A matrix of which each row is a few columns and their weights."""

    starts: NDArray[np.intp]
    columns: NDArray[np.int32]
    weights: Floats
    width: int

    def times(self, right: Floats) -> Floats:
        """The product with a dense matrix."""
        out = np.zeros((len(self.starts) - 1, right.shape[1]), np.float32)
        for i, (start, end) in enumerate(zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)):
            np.dot(self.weights[start:end], right.take(self.columns[start:end], 0), out=out[i])
        return out

    def transposed(self) -> Sparse:
        """Rows and columns exchanged."""
        order = np.argsort(self.columns, kind="stable")
        rows = np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.columns, minlength=self.width))])
        return Sparse(starts, rows[order], self.weights[order], len(self.starts) - 1)


class Hashed:
    """The default embedder. Untrained it knows no word, and gives 0."""

    is_quick = True

    def __init__(self, keys: Hashes, table: NDArray[np.int8], scale: Floats) -> None:
        """Take the hashes it knows, ascending, and the vector of each: a row of the table times its scale.

        :raises ValueError: they do not fit together
        """
        if table.ndim != 2 or keys.shape != (len(table),) or scale.shape != (len(table),):
            raise ValueError("the parts of the hashed embedder do not fit together")
        if np.any(keys[1:] <= keys[:-1]) or not (np.abs(scale) <= LARGEST).all():
            raise ValueError("the hashed embedder is damaged")
        self._keys, self._table, self._scale = Keys(keys), table, scale
        digest = hashlib.sha256(b"".join(part.tobytes() for part in (keys, table, scale))).hexdigest()
        self.id = f"{VERSION}:{self.dimension}:{digest[:16]}"

    @classmethod
    def trained(
        cls, texts: Sequence[str], *, dimension: int = 512, size: int = 24_000, least: int = 3, seed: int = 0
    ) -> Self:
        """Learn from texts: at most ``size`` grams that at least ``least`` of them have, in ``dimension`` directions.

        Fewer texts than directions leave the further directions 0.
        """
        found = [hashes(text) for text in texts]
        keys, rarity = _chosen(found, size, least)
        matrix = _weighed(found, keys, rarity)
        table = rarity[:, None] * _directions(matrix, dimension, seed)
        scale = np.maximum(np.abs(table).max(1, initial=0.0) / 127, TINY).astype(np.float32)
        return cls(keys, np.round(table / scale[:, None]).astype(np.int8), scale)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1, or 0 for a text of which no gram is known."""
        out = np.zeros((len(texts), self.dimension), np.float32)
        for text, row in zip(texts, out, strict=True) if len(self._keys) else ():
            rows, counts = self._keys.known(*hashes(text))
            if len(rows):
                weights = (1 + np.log(counts, dtype=np.float32)) * self._scale.take(rows)
                np.dot(weights, self._table.take(rows, 0).astype(np.float32), out=row)
                np.divide(row, np.float32(max(math.sqrt(row.dot(row)), TINY)), out=row)
        return out

    def state(self) -> State:
        """What is learnt."""
        return State({"keys": self._keys.hashes, "table": self._table, "scale": self._scale})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays do not fit together
        """
        try:
            keys, table, scale = (state.arrays[name] for name in ("keys", "table", "scale"))
        except KeyError as error:
            raise ValueError(f"the hashed embedder lacks {error}") from error
        if [part.dtype for part in (keys, table, scale)] != [np.uint32, np.int8, np.float32]:
            raise ValueError("the parts of the hashed embedder are of other types")
        return cls(keys, table, scale)


class Keys:
    """Hashes that are known, ascending, and where those begin that have the same leading bits."""

    __slots__ = ("_shift", "_starts", "_steps", "hashes")

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        bits = min(len(hashes).bit_length() + 3, MOST_BITS)  # about a tenth of the beginnings are taken
        self._shift = np.uint32(32 - bits)
        crowds = np.bincount(hashes >> self._shift, minlength=1 << bits)
        self._starts = np.cumsum(crowds, dtype=np.int32) - crowds.astype(np.int32)
        self._steps = int(crowds.max())

    def __len__(self) -> int:
        return len(self.hashes)

    def known(self, found: Hashes, counts: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """The places here of those found, which ascend, and their counts."""
        keys = self.hashes
        if not len(keys):
            return np.empty(0, np.intp), counts[:0]
        at: NDArray[Any]
        if self._steps > MOST_STEPS:
            at = np.searchsorted(keys, found)
        else:
            at = self._starts.take(found >> self._shift)
            for _ in range(self._steps):
                at += keys.take(at, mode="clip") < found
        is_known = keys.take(at, mode="clip") == found
        return at[is_known], counts[is_known]


def _chosen(found: Sequence[tuple[Hashes, Any]], size: int, least: int) -> tuple[Hashes, Floats]:
    """The grams that carry most of the texts' weight, and their rarity (smoothed inverse document frequency)."""
    together = np.concatenate([np.empty(0, np.uint32), *(keys for keys, _ in found)])
    keys, frequency = np.unique(together, return_counts=True)
    is_telling = (frequency >= least) & (frequency <= max(least, len(found) / 2))
    keys, frequency = keys[is_telling], frequency[is_telling]
    rarity = np.log((1 + len(found)) / (1 + frequency)) + 1
    # By mass, then by hash: the order of the texts decides nothing.
    kept = np.sort(np.lexsort((keys, -frequency * rarity**2))[:size])
    return keys[kept], rarity[kept].astype(np.float32)


def _weighed(found: Sequence[tuple[Hashes, Any]], keys: Hashes, rarity: Floats) -> Sparse:
    """Texts by grams, each text of length 1."""
    columns, weights, starts = [np.empty(0, np.int32)], [np.empty(0, np.float32)], [0]
    places = Keys(keys)
    for each, counts in found:
        rows, known = places.known(each, counts)
        weight = (1 + np.log(known)) * rarity[rows]
        columns.append(rows.astype(np.int32))
        weights.append((weight / max(float(np.linalg.norm(weight)), TINY)).astype(np.float32))
        starts.append(starts[-1] + len(rows))
    return Sparse(np.array(starts), np.concatenate(columns), np.concatenate(weights), len(keys))


def _directions(matrix: Sparse, dimension: int, seed: int) -> Floats:
    """(width, dimension): the leading right singular vectors by the root of their strength, strongest first."""
    rank = min(dimension, len(matrix.starts) - 1, matrix.width)
    out = np.zeros((matrix.width, dimension), np.float32)
    if not rank:
        return out
    across = matrix.transposed()
    drawn = min(rank + 16, len(matrix.starts) - 1, matrix.width)
    basis = np.random.default_rng(seed).standard_normal((matrix.width, drawn), dtype=np.float32)
    for _ in range(3):
        basis = across.times(_orthogonal(matrix.times(basis)))
    basis = _orthogonal(basis)
    # The small problem: rotate the basis to the singular directions within it.
    seen = matrix.times(basis).astype(np.float64)
    strengths, turn = np.linalg.eigh(seen.T @ seen)
    order = np.argsort(-strengths, kind="stable")[:rank]
    kept = np.sqrt(np.maximum(strengths[order], 0))
    scale = np.where(kept > kept[0] * 1e-6, 1 / np.sqrt(np.maximum(kept, TINY)), 0.0)
    out[:, :rank] = basis @ (turn[:, order] * scale).astype(np.float32)
    return out


def _orthogonal(columns: Floats) -> Floats:
    """An orthonormal basis of what the columns span; directions without extent become 0."""
    wide = columns.astype(np.float64)
    for _ in range(2):  # once more, since squaring loses half of the digits
        extent, turn = np.linalg.eigh(wide.T @ wide)
        scale = np.where(extent > extent[-1] * 1e-12, 1 / np.sqrt(np.maximum(extent, 1e-300)), 0.0)
        wide = wide @ (turn * scale)
    return wide.astype(np.float32)
