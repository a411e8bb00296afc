"""Encoders of the library sentence-transformers, which whoever names one has installed.

The library finds the model by its name, on disk or on a hub; code that comes with a model is never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.embedders.base import NoEmbedder, of_length_one

VERSION = "sentence-1"
EXTRA = "pip install sentence-transformers"


class Sentence:
    """The embedder; ``name`` may end in ``@`` and a revision of the model."""

    is_quick = False

    def __init__(self, name: str, encoder: Any) -> None:
        """Take the library's encoder."""
        self._encoder = encoder
        self.dimension = int(encoder.get_sentence_embedding_dimension())
        self.id = f"{VERSION}:{self.dimension}:{encoder.max_seq_length}:{name}"

    @classmethod
    def named(cls, name: str) -> Sentence:
        """Have the library load a model.

        :raises NoEmbedder: it cannot, or is not installed
        """
        try:
            from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]  # noqa: PLC0415
        except ImportError as error:
            raise NoEmbedder("the embedder 'sentence' needs sentence-transformers", EXTRA) from error
        model, _, revision = name.partition("@")
        try:
            encoder = SentenceTransformer(model, revision=revision or None, device="cpu", trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise NoEmbedder(f"sentence-transformers cannot load {model}: {error}", "check its name") from error
        return cls(name, encoder)

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1, or 0 for a text with nothing in it."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        vectors = of_length_one(np.asarray(self._encoder.encode(list(texts), show_progress_bar=False), np.float32))
        return np.where(np.array([[not text.strip()] for text in texts]), np.float32(0), vectors)
