"""What every place for blobs does: a directory, and a bucket."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from pointsman.store.blobs import Blobs, BlobsDown, DiskBlobs, NoBlob
from pointsman.store.bucket_blobs import BucketBlobs

LATER = time.time() + 3600.0
"""Than anything that a test writes."""


@pytest.fixture(params=["disk", "bucket", "bucket on a disk"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "disk":
        return DiskBlobs(tmp_path / "files")
    store = MemoryStore() if request.param == "bucket" else LocalStore(tmp_path, mkdir=True)
    return BucketBlobs(store, "team/files/realm/", tmp_path / "scratch")


async def write(blobs: Blobs, name: str, *pieces: bytes) -> str:
    part = blobs.begin(name)
    for piece in pieces:
        await part.write(piece)
    return await part.keep()


async def names(blobs: Blobs, before: float = LATER) -> list[str]:
    return sorted([name async for some in blobs.old(before) for name in some])


async def test_a_blob_is_read_as_it_was_written(blobs: Blobs) -> None:
    data = os.urandom(20_000_000)
    pieces = [data[place : place + 700_001] for place in range(0, len(data), 700_001)]
    assert await write(blobs, "a", *pieces) == hashlib.sha256(data).hexdigest()
    spans = [(19_999_990, 10), (0, 3), (5_000_000, 1_000_000), (3, 1)]
    assert await blobs.spans("a", spans) == [data[start : start + size] for start, size in spans]
    assert await blobs.spans("a", [(0, len(data))]) == [data]


async def test_a_blob_may_be_empty(blobs: Blobs) -> None:
    assert await write(blobs, "a") == hashlib.sha256().hexdigest()
    assert await blobs.spans("a", []) == []
    assert await names(blobs) == ["a"]


async def test_a_part_is_no_blob_and_leaves_nothing_when_it_is_dropped(blobs: Blobs) -> None:
    part = blobs.begin("a")
    await part.write(b"x" * 3_000_000)
    assert part.bytes == 3_000_000
    with pytest.raises(NoBlob):
        await blobs.spans("a", [(0, 1)])
    await part.drop()
    await part.write(b"x" * 3_000_000)
    with pytest.raises(BlobsDown):
        await part.keep()
    assert await names(blobs) == []


async def test_what_was_never_written_to_can_be_dropped(blobs: Blobs) -> None:
    await blobs.begin("a").drop()
    assert await names(blobs) == []


async def test_a_blob_that_is_kept_cannot_be_dropped(blobs: Blobs) -> None:
    part = blobs.begin("a")
    await part.write(b"abc")
    await part.keep()
    await part.drop()
    assert await blobs.spans("a", [(0, 3)]) == [b"abc"]


async def test_blobs_are_deleted_and_those_that_are_not_there_are_well(blobs: Blobs) -> None:
    for name in "abc":
        await write(blobs, name, b"x")
    await blobs.delete(["a", "absent", "c"])
    await blobs.delete(["a"])
    assert await names(blobs) == ["b"]
    with pytest.raises(NoBlob):
        await blobs.spans("a", [(0, 1)])


async def test_a_blob_that_has_become_shorter_is_not_read_as_if_it_had_not(blobs: Blobs) -> None:
    await write(blobs, "a", b"abc")
    with pytest.raises(BlobsDown):
        await blobs.spans("a", [(1, 10)])


async def test_only_what_is_old_is_told(blobs: Blobs) -> None:
    for number in range(3):
        await write(blobs, f"{number}", b"x")
    assert await names(blobs, 1_000_000_000.0) == []
    assert await names(blobs) == ["0", "1", "2"]


async def test_where_nothing_was_written_there_is_nothing(blobs: Blobs) -> None:
    assert await names(blobs) == []
