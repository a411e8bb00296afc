from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from unit.ml.embedders.files import PIECES, TABLE, lookup, write_onnx

from pointsman.ml.embedders import embedder_of
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.onnx import Onnx


def read(directory: Path) -> Onnx:
    found = embedder_of(f"onnx:{directory}")
    assert isinstance(found, Onnx)
    return found


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def of(*pieces: str) -> np.ndarray:
    return TABLE[[PIECES.index(piece) for piece in pieces]]


def test_a_text_is_the_mean_of_its_tokens_whatever_stands_beside_it(tmp_path: Path) -> None:
    embedder = read(write_onnx(tmp_path, lookup()))
    together = embedder.embed(["rail", "railways, man"])
    np.testing.assert_allclose(together[0], unit(of("rail")[0]), rtol=1e-5)
    np.testing.assert_allclose(together[1], unit(of("rail", "##way", "##s", ",", "man").mean(0)), rtol=1e-5)
    assert embedder.dimension == 6
    assert not embedder.is_quick


def test_the_first_token_is_taken_where_the_model_says_so(tmp_path: Path) -> None:
    write_onnx(tmp_path, lookup())
    mean = read(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension":6,"pooling_mode_cls_token":true}')
    first = read(tmp_path)
    np.testing.assert_allclose(first.embed(["man rail"])[0], unit(of("man")[0]), rtol=1e-5)
    assert first.id != mean.id


def test_many_texts_are_cut_into_parts(tmp_path: Path) -> None:
    embedder = read(write_onnx(tmp_path, lookup()))
    texts = [["rail", "man", "points"][i % 3] for i in range(70)]
    np.testing.assert_allclose(embedder.embed(texts), [unit(of(text)[0]) for text in texts], rtol=1e-5)
    assert embedder.embed([]).shape == (0, 6)


def test_a_text_with_nothing_in_it_is_0(tmp_path: Path) -> None:
    assert not read(write_onnx(tmp_path, lookup())).embed([" ", ""]).any()


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    embedder = read(write_onnx(tmp_path, lookup()))
    assert np.allclose(embedder.embed(["rail " * 256 + "man " * 999])[0], unit(of("rail")[0]), atol=1e-5)


def test_a_model_in_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    plain = read(write_onnx(tmp_path, lookup()))
    (tmp_path / "onnx").mkdir()
    (tmp_path / "model.onnx").rename(tmp_path / "onnx" / "model.onnx")
    assert read(tmp_path).id == plain.id
    assert plain.id.startswith("onnx-1:6:256:mean:")


def test_files_that_are_missing_or_wrong_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoEmbedder, match="missing"):
        read(tmp_path)
    with pytest.raises(NoEmbedder, match="cannot be read"):
        read(write_onnx(tmp_path, lookup()[:-9]))
    with pytest.raises(NoEmbedder, match="asks for pixels"):
        read(write_onnx(tmp_path, lookup(inputs=("input_ids", "pixels"))))
    write_onnx(tmp_path, lookup())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(NoEmbedder, match="cannot be read"):
        read(tmp_path)


def test_without_the_libraries_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NoEmbedder, match=r"pip install 'pointsman\[onnx\]'"):
        read(write_onnx(tmp_path, lookup()))
