"""Vectors of an embeddings model somewhere else.

Nothing is fetched here: whoever serves has the gateway ask the model, and whoever trains asks it beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.embedders.base import NoEmbedder, of_length_one

VERSION = "gateway-1"
MAX_CHARACTERS = 8_000
"""Of a text that is sent: within what an embeddings model takes."""
MAX_DIMENSION = 8192

Ask = Callable[[Sequence[str]], Floats]
"""Gives the vectors (n, dimension) of texts."""


class Remote:
    """The embedder as far as it is known here: which model it is, and how long its vectors are."""

    is_quick = False

    def __init__(self, model: str, dimension: int, ask: Ask | None = None) -> None:
        """``ask`` fetches vectors while the caller waits, where that is wanted.

        :raises NoEmbedder: the dimension cannot be one
        """
        if not 0 < dimension <= MAX_DIMENSION:
            raise NoEmbedder(f"{dimension} is no length of a vector", "such as gateway:text-embedding-3-small:1536")
        self.model = model
        self.dimension = dimension
        self.id = f"{VERSION}:{dimension}:{model}"
        self._ask = ask

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1, or 0 for a text with nothing in it.

        :raises NoEmbedder: it cannot be asked from here
        """
        known = [i for i, text in enumerate(texts) if text.strip()]
        out = np.zeros((len(texts), self.dimension), np.float32)
        if known:
            if self._ask is None:
                raise NoEmbedder(f"the vectors of {self.model} come from the gateway", "hand them over")
            found = self._ask([texts[i][:MAX_CHARACTERS] for i in known])
            if found.shape[1] != self.dimension:
                raise _other_dimension(found.shape[1], self.dimension)
            out[known] = found
        return of_length_one(out)


class _Item(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Answer(msgspec.Struct):
    data: list[_Item]


_answer = msgspec.json.Decoder(_Answer)


def request_of(model: str, texts: Sequence[str]) -> bytes:
    """The body that asks OpenAI's ``/v1/embeddings`` for the vectors of texts."""
    asked = {"model": model, "input": [text[:MAX_CHARACTERS] for text in texts], "encoding_format": "float"}
    return msgspec.json.encode(asked)


def vectors_in(answer: bytes, count: int, dimension: int | None = None) -> Floats:
    """The vectors of such an answer, (count, dimension) rows of length 1, in the order of the texts.

    :raises NoEmbedder: it is no such answer, or has other vectors than were asked for
    """
    try:
        data = sorted(_answer.decode(answer).data, key=lambda item: item.index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoEmbedder("the answer holds no vectors", "check that it is an embeddings model") from None
    lengths = {len(item.embedding) for item in data}
    if [item.index for item in data] != list(range(count)) or len(lengths) != 1 or not max(lengths):
        raise NoEmbedder(f"the answer does not hold a vector for each of {count} texts", "check the embeddings model")
    if dimension not in {None, *lengths}:
        raise _other_dimension(max(lengths), dimension)
    return of_length_one(np.array([item.embedding for item in data]))


def _other_dimension(found: int, expected: int | None) -> NoEmbedder:
    return NoEmbedder(
        f"the vectors have {found} dimensions, and {expected} were expected", "use the model it was trained with"
    )
