from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pointsman.ml.embedders import embedder_of
from pointsman.ml.embedders.base import NoEmbedder

made: list[dict[str, Any]] = []


class SentenceTransformer:
    """What of the library is used."""

    max_seq_length = 128

    def __init__(self, name: str, **how: Any) -> None:
        made.append({"name": name, **how})
        if name == "unknown":
            raise OSError("unknown is not a local folder and is not a model on the hub")

    def get_sentence_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: list[str], show_progress_bar: bool) -> np.ndarray:
        return np.array([[len(text), 1.0] for text in texts], np.float64)


@pytest.fixture
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = SentenceTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    made.clear()


@pytest.mark.usefixtures("_library")
def test_vectors_have_length_one() -> None:
    embedder = embedder_of("sentence:small")
    assert embedder is not None
    np.testing.assert_allclose(embedder.embed(["abc", " "]), np.array([[3 / 10**0.5, 1 / 10**0.5], [0, 0]]), rtol=1e-6)
    assert embedder.embed([]).shape == (0, 2)
    assert not embedder.is_quick


@pytest.mark.usefixtures("_library")
def test_code_of_a_model_is_never_run_and_its_revision_is_kept() -> None:
    embedder = embedder_of("sentence:org/small@abc123")
    assert embedder is not None
    assert made == [{"name": "org/small", "revision": "abc123", "device": "cpu", "trust_remote_code": False}]
    assert embedder.id == "sentence-1:2:128:org/small@abc123"


@pytest.mark.usefixtures("_library")
def test_a_model_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(NoEmbedder, match="cannot load unknown"):
        embedder_of("sentence:unknown")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(NoEmbedder, match="pip install sentence-transformers"):
        embedder_of("sentence:small")
