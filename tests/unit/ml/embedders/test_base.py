from __future__ import annotations

import warnings

import numpy as np
import pytest

from pointsman.ml.embedders import embedder_of, needs_hint
from pointsman.ml.embedders.base import NoEmbedder, fingerprint, of_length_one


def test_rows_get_length_one() -> None:
    rows = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 1], [1e-30, 0]], np.float32)
    with warnings.catch_warnings(action="error"):
        found = of_length_one(rows)
    np.testing.assert_allclose(found, np.array([[0.6, 0.8], [0, 0], [0, 0], [0, 0], [0, 0]]), rtol=1e-6)
    assert found.dtype == np.float32


def test_a_fingerprint_tells_where_one_part_ends() -> None:
    assert fingerprint(b"ab", b"c") != fingerprint(b"a", b"bc")
    assert fingerprint(b"ab", memoryview(b"c")) == fingerprint(b"ab", b"c")
    assert len(fingerprint()) == 16


def test_the_default_embedder_comes_with_the_checkpoint() -> None:
    assert embedder_of("hashed") is None


@pytest.mark.requirement("routing.embedders.named")
@pytest.mark.parametrize("name", ["", "hash", "static", "static:", "word2vec:x", "hashed:3"])
def test_a_name_that_is_none_is_answered_with_those_that_are(name: str) -> None:
    with pytest.raises(NoEmbedder, match="static:DIRECTORY"):
        embedder_of(name)


@pytest.mark.requirement("routing.embedders.named")
def test_for_each_embedder_it_is_said_what_to_configure() -> None:
    assert "onnx:" in needs_hint("onnx-1:384:256:mean:0123")
    assert "pointsman[onnx]" in needs_hint("onnx-1:384:256:mean:0123")
    assert "static:" in needs_hint("static-1:256:0123")
    assert "sentence:" in needs_hint("sentence-1:384:256:name")
    assert "gateway:" in needs_hint("gateway-1:1536:small")
    assert "pointsman train" in needs_hint("hashed-1:512:0123")
