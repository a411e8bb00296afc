from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from pointsman.ml.embedders import embedder_of
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.remote import MAX_CHARACTERS, Remote, request_of, vectors_in


def answer(*vectors: list[float]) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 1}}).encode()


def test_a_request_names_the_model_and_bounds_the_texts() -> None:
    asked = json.loads(request_of("small", ["a", "b" * 10_000]))
    assert asked == {"model": "small", "input": ["a", "b" * MAX_CHARACTERS], "encoding_format": "float"}


def test_vectors_of_an_answer_are_of_length_one_and_in_the_order_of_the_texts() -> None:
    turned = json.loads(answer([3, 4], [0, 2]))
    turned["data"].reverse()
    found = vectors_in(json.dumps(turned).encode(), 2)
    np.testing.assert_allclose(found, np.array([[0.6, 0.8], [0, 1]]), rtol=1e-6)
    assert vectors_in(answer([1e30, 0.0], [0.0, 0.0]), 2, dimension=2).shape == (2, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"data":[]}',
        b'{"error":{"message":"no such model"}}',
        b'{"data":[{"embedding":"AAAA","index":0}]}',
        b'{"data":[{"embedding":[1,2],"index":3}]}',
        answer([]),
        answer([1.0, 2.0], [1.0, 2.0]),
        answer([1.0, 2.0, 3.0]),
        b"[" * 100_000,
    ],
)
def test_an_answer_with_other_vectors_is_refused(wrong: bytes) -> None:
    with pytest.raises(NoEmbedder, match=r"."):
        vectors_in(wrong, 1, dimension=2)


def test_numbers_beyond_all_bounds_are_0() -> None:
    assert not vectors_in(answer([1e308, 1.0]), 1).any()


def test_texts_with_nothing_in_them_are_not_asked_for() -> None:
    asked: list[Sequence[str]] = []

    def ask(texts: Sequence[str]) -> np.ndarray:
        asked.append(texts)
        return np.ones((len(texts), 2), np.float32)

    found = Remote("small", 2, ask).embed(["", "x" * 9_000, " "])
    assert asked == [["x" * MAX_CHARACTERS]]
    np.testing.assert_allclose(found, [[0, 0], [0.5**0.5, 0.5**0.5], [0, 0]], rtol=1e-6)


def test_one_that_cannot_be_asked_says_so() -> None:
    embedder = Remote("small", 2)
    assert not embedder.embed([""]).any()
    with pytest.raises(NoEmbedder, match="come from the gateway"):
        embedder.embed(["x"])


def test_its_name_has_the_model_and_the_dimension() -> None:
    embedder = embedder_of("gateway:azure/te:3:1536")
    assert isinstance(embedder, Remote)
    assert (embedder.model, embedder.dimension, embedder.is_quick) == ("azure/te:3", 1536, False)
    assert embedder.id == "gateway-1:1536:azure/te:3"


@pytest.mark.parametrize(
    "name", ["gateway:small", "gateway::8", "gateway:small:", "gateway:small:0", "gateway:s:99999"]
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(NoEmbedder, match="gateway:text-embedding-3-small:1536"):
        embedder_of(name)
