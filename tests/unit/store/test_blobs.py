from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from pointsman.store import blobs as module
from pointsman.store.blobs import PIECE_BYTES, BlobsDown, DiskBlobs, NoRoom


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def modes(directory: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def test_nobody_else_may_read_what_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "files"
    blobs = DiskBlobs(directory)
    part = blobs.begin("a")
    await part.write(b"x" * PIECE_BYTES)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert modes(directory) == {0o600}
    await part.keep()
    assert modes(directory) == {0o600}


async def test_a_blob_is_safe_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(left(tmp_path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    part = DiskBlobs(tmp_path).begin("a")
    await part.write(b"abc")
    await part.keep()
    assert seen == [["a.part"], ["a"]]


async def test_little_is_held_in_memory(tmp_path: Path) -> None:
    part = DiskBlobs(tmp_path).begin("a")
    for _ in range(100):
        await part.write(b"x" * 65_536)
        assert part._held_bytes < PIECE_BYTES
    await part.keep()
    assert (tmp_path / "a").stat().st_size == 100 * 65_536


@pytest.mark.parametrize("written", [10, 3 * PIECE_BYTES])
async def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(part: Any) -> IO[bytes]:
        part._part.touch()
        return Path("/dev/full").open("wb")

    monkeypatch.setattr(module._DiskPart, "_open", begin)
    part = DiskBlobs(tmp_path).begin("a")

    async def write() -> None:
        await part.write(b"x" * written)
        await part.keep()

    with pytest.raises(NoRoom, match="No space left"):
        await write()
    await part.drop()
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("total", "free", "names", "is_enough"),
    [
        (100, 4.9, (1000, 1000), False),
        (100, 5, (1000, 1000), True),
        (1e6, 1023, (1000, 1000), False),
        (1e6, 1024, (1000, 1000), True),
        (1e6, 1e6, (1000, 49), False),
        (1e6, 1e6, (1000, 50), True),
        # No bound, or none that is known.
        (1e6, 1e6, (0, 0), True),
    ],
)
async def test_what_is_left_of_a_disk_at_last_is_not_for_files(
    tmp_path: Path,
    total: float,
    free: float,
    names: tuple[int, int],
    is_enough: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = {"f_frsize": 1024, "f_blocks": int(total * 1024), "f_bavail": int(free * 1024)}
    sizes |= {"f_files": names[0], "f_favail": names[1]}
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: SimpleNamespace(**sizes))
    part = DiskBlobs(tmp_path).begin("a")
    if is_enough:
        await part.write(b"x" * PIECE_BYTES)
    else:
        with pytest.raises(NoRoom):
            await part.write(b"x" * PIECE_BYTES)
    await part.drop()
    assert left(tmp_path) == []


async def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blobs = DiskBlobs(tmp_path / "file" / "files")
    part = blobs.begin("a")
    with pytest.raises(BlobsDown):
        await part.keep()
    await part.drop()
    with pytest.raises(BlobsDown):
        await blobs.spans("a", [(0, 1)])


async def test_who_drops_waits_for_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may, has_begun = threading.Event(), threading.Event()
    real = module._DiskPart._open

    def begin(part: Any) -> IO[bytes]:
        has_begun.set()
        may.wait(30)
        return real(part)

    monkeypatch.setattr(module._DiskPart, "_open", begin)
    part = DiskBlobs(tmp_path).begin("a")
    writing = asyncio.create_task(part.write(b"x" * PIECE_BYTES))
    await asyncio.to_thread(has_begun.wait, 30)
    writing.cancel()
    dropping = asyncio.create_task(part.drop())
    await asyncio.sleep(0)
    may.set()
    await dropping
    assert left(tmp_path) == []


async def test_two_never_write_the_same_part(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    first, second = blobs.begin("a"), blobs.begin("a")
    await first.write(b"x" * PIECE_BYTES)
    with pytest.raises(BlobsDown, match="exists"):
        await second.write(b"x" * PIECE_BYTES)
    await second.drop()
    await first.keep()
    assert left(tmp_path) == ["a"]
