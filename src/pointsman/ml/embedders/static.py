"""A table of word pieces: a text is the mean of the vectors of its pieces.

What model2vec (https://github.com/MinishLab/model2vec) distils from larger models, and read as it writes it: a
directory with ``model.safetensors`` and ``tokenizer.json``. The table is kept in memory, in the precision that it has
in its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml import tensors
from pointsman.ml.base import Floats
from pointsman.ml.embedders.base import Contents, NoEmbedder, fingerprint, of_length_one
from pointsman.ml.embedders.wordpiece import WordPiece

VERSION = "static-1"
MOST_PIECES = 512
MAX_TABLE_BYTES = 1 << 30
MAX_TOKENIZER_BYTES = 32 << 20
HINT = "name a directory with model.safetensors and tokenizer.json, as model2vec writes it"
TYPES = (np.float32, np.float16, np.float64, np.int8)


class Static:
    """The embedder."""

    is_quick = True

    def __init__(
        self,
        tokenizer: WordPiece,
        table: NDArray[Any],
        *,
        fingerprint: str,
        weights: Floats | None = None,
        rows: NDArray[Any] | None = None,
    ) -> None:
        """Take a vector for each piece. Where several pieces share one, ``rows`` has its place for each of them.

        :raises NoEmbedder: they do not fit together
        """
        if table.ndim != 2 or table.dtype not in TYPES or not table.size:
            raise NoEmbedder("the array 'embeddings' is not a table of numbers", HINT)
        count = len(table) if rows is None else len(rows)
        pieces = tokenizer.vocabulary.values()
        if min(pieces, default=0) < 0 or max(pieces, default=0) >= count:
            raise NoEmbedder("the tokenizer knows pieces that the table does not have", HINT)
        if rows is not None and (rows.ndim != 1 or rows.dtype.kind not in "iu" or not _are_within(rows, len(table))):
            raise NoEmbedder("the array 'mapping' points beyond the table", HINT)
        if weights is not None and (weights.shape != (count,) or not np.isfinite(weights).all()):
            raise NoEmbedder("the array 'weights' does not fit the tokenizer", HINT)
        self._tokenizer, self._table = tokenizer, table
        self._rows = rows
        self._weights = None if weights is None else weights.astype(np.float32)
        self.id = f"{VERSION}:{self.dimension}:{fingerprint}"

    @classmethod
    def read(cls, contents: Contents) -> Static:
        """Take the files of a directory.

        :raises NoEmbedder: they are missing, or no such table
        """
        table, text = contents("model.safetensors", MAX_TABLE_BYTES), contents("tokenizer.json", MAX_TOKENIZER_BYTES)
        if table is None or text is None:
            raise NoEmbedder("model.safetensors or tokenizer.json is missing", HINT)
        try:
            arrays = tensors.unpack(table)
        except tensors.NotTensors as error:
            raise NoEmbedder(f"model.safetensors cannot be read: {error}", HINT) from error
        found = next((arrays[name] for name in ("embeddings", "embedding.weight", "0") if name in arrays), None)
        if found is None:
            raise NoEmbedder("model.safetensors has no array 'embeddings'", HINT)
        return cls(
            WordPiece.read(text),
            found,
            fingerprint=fingerprint(table, text),
            weights=arrays.get("weights"),
            rows=arrays.get("mapping"),
        )

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1, or 0 for a text of which no piece is known."""
        out = np.zeros((len(texts), self.dimension), np.float32)
        for i, text in enumerate(texts):
            pieces = np.array(self._tokenizer.pieces(text, MOST_PIECES), np.intp)
            if len(pieces):
                vectors = self._table.take(pieces if self._rows is None else self._rows[pieces], 0).astype(np.float32)
                weights = np.ones(len(pieces), np.float32) if self._weights is None else self._weights[pieces]
                np.dot(weights, vectors, out=out[i])
        return of_length_one(out)


def _are_within(rows: NDArray[Any], count: int) -> bool:
    return bool(rows.min(initial=0) >= 0 and rows.max(initial=0) < count)
