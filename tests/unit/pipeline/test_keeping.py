from __future__ import annotations

import os
from pathlib import Path

import pytest

from pointsman.pipeline import keeping
from pointsman.pipeline.keeping import VERSIONS, Store


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "new")
    path = store.path("auto", "v1", "online")
    store.write({path: b"one"})
    store.write({path: b"two"})
    assert path.read_bytes() == b"two"
    other = store.path("auto", "v2", "online")
    other.mkdir()
    with pytest.raises(OSError, match="online"):
        store.write({other: b"three"})
    assert names(tmp_path / "new") == sorted(["0.lock", path.name, other.name])


def test_each_process_has_files_of_its_own_and_reads_those_of_all(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    for store, data in ((first, b"one"), (second, b"two")):
        store.write({store.path("auto", "v1", "online"): data})
    assert list(Store(tmp_path).read("auto", "v1", "online")) == [b"one", b"two"]
    assert [path.name.rpartition("-")[2] for path in sorted(tmp_path.glob("*.online"))] == ["0.online", "1.online"]
    assert list(first.read("auto", "v2", "online")) == list(first.read("other", "v1", "online")) == []


def test_a_number_that_is_free_again_is_taken(tmp_path: Path) -> None:
    first = Store(tmp_path)
    path = first.path("auto", "v1", "online")
    del first
    assert Store(tmp_path).path("auto", "v1", "online") == path


def test_the_versions_that_were_written_last_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write({store.path("other", "v1", "online"): b"", store.path("auto", "v1", "trial"): b""})
    paths = [store.path("auto", f"v{i}", "online") for i in range(30)]
    for i, path in enumerate(paths):
        store.write({path: b"x"})
        os.utime(path, ns=(i, i))
        assert len(list(tmp_path.iterdir())) <= 1 + 2 + VERSIONS
    assert [path.exists() for path in paths] == [False] * (30 - VERSIONS) + [True] * VERSIONS
    assert store.path("other", "v1", "online").exists()
    assert store.path("auto", "v1", "trial").exists()


def test_nothing_is_made_before_something_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "new")
    assert list(store.read("auto", "v1", "online")) == []
    store.write({})
    assert names(tmp_path) == []


def test_the_models_that_were_written_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MODELS", 3)
    store = Store(tmp_path)
    paths = [store.path(f"r{i}", "v1", kind) for i in range(6) for kind in ("online", "trial")]
    for i, path in enumerate(paths):
        store.write({path: b"x"})
        os.utime(path, ns=(i, i))
    assert [path.exists() for path in paths] == [False] * 6 + [True] * 6
    assert (tmp_path / "0.lock").exists()
