from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.ml.embedders.files import PIECES, TABLE, write_static

from pointsman.ml.embedders import embedder_of
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.static import Static


def read(directory: Path) -> Static:
    found = embedder_of(f"static:{directory}")
    assert isinstance(found, Static)
    return found


def mean_of(*pieces: str) -> np.ndarray:
    total = TABLE.astype(np.float16).astype(np.float32)[[PIECES.index(piece) for piece in pieces]].sum(0)
    return np.asarray(total / np.linalg.norm(total))


def test_a_text_is_the_mean_of_its_pieces(tmp_path: Path) -> None:
    embedder = read(write_static(tmp_path))
    found = embedder.embed(["Railway man", "rail"])
    np.testing.assert_allclose(found, [mean_of("rail", "##way", "man"), mean_of("rail")], rtol=1e-5)
    assert embedder.dimension == 6
    assert embedder.is_quick


def test_what_becomes_of_its_files_afterwards_changes_nothing(tmp_path: Path) -> None:
    embedder = read(write_static(tmp_path))
    file = tmp_path / "model.safetensors"
    with file.open("r+b") as same:
        same.write(bytes(file.stat().st_size))
    np.testing.assert_allclose(embedder.embed(["rail"])[0], mean_of("rail"), rtol=1e-4)
    file.write_bytes(b"")
    np.testing.assert_allclose(embedder.embed(["rail"])[0], mean_of("rail"), rtol=1e-4)


def test_a_text_of_nothing_known_is_0(tmp_path: Path) -> None:
    embedder = read(write_static(tmp_path))
    assert not embedder.embed(["", "unheard"]).any()
    assert embedder.embed([]).shape == (0, 6)


def test_weights_and_shared_vectors_of_model2vec_count(tmp_path: Path) -> None:
    weights = np.linspace(0.5, 2, len(PIECES))
    rows = np.arange(len(PIECES)) // 2
    embedder = read(write_static(tmp_path, embeddings=TABLE[:8], weights=weights, mapping=rows))
    rail, man = PIECES.index("rail"), PIECES.index("man")
    total = weights[rail] * TABLE[rail // 2] + weights[man] * TABLE[man // 2]
    np.testing.assert_allclose(embedder.embed(["rail man"])[0], total / np.linalg.norm(total), rtol=1e-4)


def test_what_it_is_made_of_is_in_its_id(tmp_path: Path) -> None:
    first = read(write_static(tmp_path / "a"))
    assert first.id == read(write_static(tmp_path / "b")).id
    assert first.id.startswith("static-1:6:")
    assert first.id != read(write_static(tmp_path / "c", embeddings=TABLE)).id
    (tmp_path / "b" / "tokenizer.json").write_text(
        (tmp_path / "b" / "tokenizer.json").read_text().replace("man", "men")
    )
    assert first.id != read(tmp_path / "b").id


def test_numbers_that_are_none_give_0(tmp_path: Path) -> None:
    spoilt = TABLE.copy()
    spoilt[PIECES.index("rail")] = np.nan
    assert not read(write_static(tmp_path, embeddings=spoilt)).embed(["rail man"]).any()


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"other": TABLE}, "no array 'embeddings'"),
        ({"embeddings": TABLE[0]}, "not a table"),
        ({"embeddings": TABLE[:, :0]}, "not a table"),
        ({"embeddings": TABLE > 0}, "not a table"),
        ({"embeddings": TABLE[:5]}, "pieces that the table does not have"),
        ({"embeddings": TABLE, "mapping": np.full(len(PIECES), len(TABLE))}, "beyond the table"),
        ({"embeddings": TABLE, "mapping": np.full(len(PIECES), -1)}, "beyond the table"),
        ({"embeddings": TABLE, "mapping": np.ones(len(PIECES))}, "beyond the table"),
        ({"embeddings": TABLE, "weights": np.ones(3)}, "does not fit the tokenizer"),
        ({"embeddings": TABLE, "weights": np.full(len(PIECES), np.inf)}, "does not fit the tokenizer"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], what: str) -> None:
    with pytest.raises(NoEmbedder, match=what):
        read(write_static(tmp_path, **arrays))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_files_that_are_missing_or_wrong_are_named(tmp_path: Path, name: str) -> None:
    (write_static(tmp_path) / name).write_bytes(b"nothing of the kind")
    with pytest.raises(NoEmbedder, match=name):
        read(tmp_path)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(NoEmbedder, match="cannot be read"):
        read(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NoEmbedder, match="missing"):
        read(tmp_path)
