from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from unit.ml.checkpoints import ABOUT, PARTS, mutations

from pointsman.ml.checkpoint import BadCheckpoint, pack, unpack
from pointsman.ml.files import MANIFEST, TENSORS, contents, read, write

PACKED = pack(ABOUT, PARTS)
OTHER = pack(msgspec.structs.replace(ABOUT, doubt=2.0), PARTS)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path / "router", PACKED)
    return tmp_path / "router"


@pytest.mark.parametrize("is_mapped", [False, True])
def test_what_is_written_is_read(directory: Path, is_mapped: bool) -> None:
    found = read(directory, is_mapped=is_mapped)
    assert found.manifest == unpack(*PACKED).manifest
    assert (found.part("estimator").arrays["weights"] == PARTS["estimator"].arrays["weights"]).all()
    assert {path.name for path in directory.iterdir()} == {MANIFEST, TENSORS}
    assert [path.name for path in directory.parent.iterdir()] == ["router"]


def test_what_was_read_does_not_change_with_the_file(directory: Path) -> None:
    weights = read(directory).part("estimator").arrays["weights"]
    (directory / TENSORS).write_bytes(b"")
    assert (weights == PARTS["estimator"].arrays["weights"]).all()


def test_a_file_beside_a_checkpoint_is_read_within_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_bytes(b"12345")
    assert contents(file, 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        contents(file, 4)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        contents(file, 5)


def test_a_checkpoint_that_does_not_fit_into_memory_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("pointsman.ml.files.unpack", full)
    with pytest.raises(BadCheckpoint, match="not enough memory"):
        read(directory)


def test_a_new_one_takes_the_place_of_the_old_one(directory: Path) -> None:
    write(directory, OTHER)
    assert read(directory).manifest.doubt == 2.0
    assert [path.name for path in directory.parent.iterdir()] == ["router"]


def test_one_that_is_mapped_lives_on_when_it_is_replaced(directory: Path) -> None:
    weights = read(directory, is_mapped=True).part("estimator").arrays["weights"]
    write(directory, OTHER)
    assert (weights == PARTS["estimator"].arrays["weights"]).all()


def test_parents_are_made(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", PACKED)
    assert read(tmp_path / "a" / "b").manifest == unpack(*PACKED).manifest


def test_where_writing_fails_the_old_one_stays(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write(directory, OTHER)
    assert read(directory).manifest == unpack(*PACKED).manifest
    assert [path.name for path in directory.parent.iterdir()] == ["router"]


def test_where_the_last_step_fails_the_old_one_is_put_back(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        write(directory, OTHER)
    assert read(directory).manifest == unpack(*PACKED).manifest
    assert [path.name for path in directory.parent.iterdir()] == ["router"]


def test_leftovers_of_one_who_was_stopped_are_cleared(directory: Path) -> None:
    (directory.parent / ".router.new").mkdir()
    (directory.parent / ".router.new" / TENSORS).write_bytes(b"half")
    directory.rename(directory.parent / ".router.old")
    write(directory, OTHER)
    assert read(directory).manifest.doubt == 2.0
    assert [path.name for path in directory.parent.iterdir()] == ["router"]


def test_a_directory_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(BadCheckpoint, match=r"diary\.txt, which is not part of a checkpoint"):
        write(tmp_path, PACKED)
    with pytest.raises(BadCheckpoint, match="not a directory"):
        write(tmp_path / "diary.txt", PACKED)
    assert (tmp_path / "diary.txt").read_text() == "dear diary"


def test_a_link_is_not_replaced_by_a_directory(directory: Path) -> None:
    link = directory.parent / "current"
    link.symlink_to(directory)
    with pytest.raises(BadCheckpoint, match="not a directory"):
        write(link, OTHER)
    assert read(link).manifest == unpack(*PACKED).manifest


def test_files_of_a_mounted_volume_are_links_inside_of_it(directory: Path) -> None:
    data = directory / "..data"
    data.mkdir()
    for name in (MANIFEST, TENSORS):
        (directory / name).rename(data / name)
        (directory / name).symlink_to(f"..data/{name}")
    assert read(directory).manifest == unpack(*PACKED).manifest


@pytest.mark.parametrize("name", [MANIFEST, TENSORS])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_file_outside_of_the_directory_is_not_read(directory: Path, name: str, is_mapped: bool) -> None:
    outside = directory.parent / "outside"
    (directory / name).rename(outside)
    (directory / name).symlink_to(outside)
    with pytest.raises(BadCheckpoint, match="outside of the directory"):
        read(directory, is_mapped=is_mapped)


@pytest.mark.parametrize("name", [MANIFEST, TENSORS])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_what_is_no_file_is_refused_and_not_waited_for(directory: Path, name: str, is_mapped: bool) -> None:
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(BadCheckpoint, match="is not a file"):
        read(directory, is_mapped=is_mapped)


def test_a_missing_file_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"No such file or directory.*pointsman train") as caught:
        read(tmp_path / "nowhere")
    assert caught.value.where == str(tmp_path / "nowhere")


def test_a_link_to_itself_is_refused(directory: Path) -> None:
    (directory / MANIFEST).unlink()
    (directory / MANIFEST).symlink_to(MANIFEST)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        read(directory)


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("data", [b"", PACKED.tensors[:-1], PACKED.tensors + b"x"])
def test_arrays_of_another_length_are_refused(directory: Path, data: bytes, is_mapped: bool) -> None:
    (directory / TENSORS).write_bytes(data)
    with pytest.raises(BadCheckpoint):
        read(directory, is_mapped=is_mapped)


def test_whatever_is_done_to_the_files_nothing_else_is_touched(directory: Path) -> None:
    for i, mutation in enumerate(mutations(PACKED, 150, seed=2)):
        (directory / MANIFEST).write_bytes(mutation.manifest)
        (directory / TENSORS).write_bytes(mutation.tensors)
        try:
            found = read(directory, is_mapped=i % 2 == 0)
        except BadCheckpoint:
            continue
        assert found.manifest == unpack(*PACKED).manifest
    assert [path.name for path in directory.parent.iterdir()] == ["router"]
    assert {path.name for path in directory.iterdir()} == {MANIFEST, TENSORS}
