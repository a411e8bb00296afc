from __future__ import annotations

import asyncio
import fcntl
import logging
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.config.sources.getters import Memory
from unit.ml.checkpoints import ABOUT, PARTS

from pointsman.config.sources import checkpoints as module
from pointsman.config.sources.base import SourceCounts, SourceDown
from pointsman.config.sources.checkpoints import CheckpointFetch
from pointsman.ml.checkpoint import Packed, pack
from pointsman.ml.files import MANIFEST, TENSORS, read, write
from pointsman.routing.settings import RoutedSettings

FIRST = pack(ABOUT, PARTS)
SECOND = pack(msgspec.structs.replace(ABOUT, doubt=2.0), PARTS)


def put(bucket: Memory, packed: Packed) -> None:
    bucket.put(f"models/knn/{TENSORS}", packed.tensors)
    bucket.put(f"models/knn/{MANIFEST}", packed.manifest)


@pytest.fixture
def bucket() -> Memory:
    found = Memory()
    put(found, FIRST)
    return found


def settings(folder: Path, key: str = "models/knn", trusted_keys: tuple[str, ...] = ()) -> RoutedSettings:
    return RoutedSettings(
        name="auto", origin=f"s3://b/{key}", checkpoint=str(folder / "checkpoints" / "knn"), trusted_keys=trusted_keys
    )


@pytest.fixture
def fetching(tmp_path: Path, bucket: Memory) -> CheckpointFetch:
    return CheckpointFetch(settings(tmp_path), {}, bucket)


def manifest(fetching: CheckpointFetch) -> bytes:
    read(fetching.directory)
    return (fetching.directory / MANIFEST).read_bytes()


@pytest.mark.requirement("config.source.checkpoints")
async def test_a_checkpoint_is_fetched_whole_and_only_when_it_has_changed(
    fetching: CheckpointFetch, bucket: Memory
) -> None:
    assert await fetching.fetch()
    assert manifest(fetching) == FIRST.manifest
    assert not await fetching.fetch()
    assert (fetching.counts.requests, fetching.counts.unchanged) == (4, 2)
    put(bucket, SECOND)
    assert await fetching.fetch()
    assert manifest(fetching) == SECOND.manifest


@pytest.mark.parametrize("key", ["models/knn/", f"models/knn/{MANIFEST}"])
async def test_its_directory_may_be_written_in_several_ways(tmp_path: Path, bucket: Memory, key: str) -> None:
    assert await CheckpointFetch(settings(tmp_path, key), {}, bucket).fetch()


@pytest.mark.requirement("config.source.checkpoints")
async def test_a_restart_fetches_nothing_that_is_there(
    tmp_path: Path, fetching: CheckpointFetch, bucket: Memory
) -> None:
    await fetching.fetch()
    bucket.asked.clear()
    assert not await CheckpointFetch(settings(tmp_path), {}, bucket).fetch()
    assert all(etag is not None for _, etag in bucket.asked)


async def test_files_that_are_gone_or_of_another_origin_are_fetched_again(
    tmp_path: Path, fetching: CheckpointFetch, bucket: Memory
) -> None:
    await fetching.fetch()
    (fetching.directory / TENSORS).unlink()
    assert await fetching.fetch()
    bucket.put(f"other/{TENSORS}", SECOND.tensors)
    bucket.put(f"other/{MANIFEST}", SECOND.manifest)
    assert await CheckpointFetch(settings(tmp_path, "other"), {}, bucket).fetch()
    assert manifest(fetching) == SECOND.manifest


@pytest.mark.requirement("config.source.checkpoints")
async def test_one_that_cannot_be_used_changes_nothing(fetching: CheckpointFetch, bucket: Memory) -> None:
    await fetching.fetch()
    bucket.put(f"models/knn/{TENSORS}", FIRST.tensors[:-1] + b"!")
    with pytest.raises(SourceDown, match="s3://b/models/knn cannot be used"):
        await fetching.fetch()
    assert "cannot be used" in str(fetching.problem)
    assert manifest(fetching) == FIRST.manifest
    put(bucket, SECOND)
    assert await fetching.fetch()
    assert (fetching.problem, manifest(fetching)) == (None, SECOND.manifest)


def served(bucket: Memory) -> int:
    """How many answers had a body, since the last time."""
    found, bucket.asked = bucket.counts.requests - bucket.counts.unchanged, []
    bucket.counts = SourceCounts()
    return found


@pytest.mark.requirement("config.source.checkpoints")
@pytest.mark.parametrize("has_one", [True, False])
async def test_one_that_cannot_be_used_is_left_alone_until_it_changes_or_somebody_asks(
    fetching: CheckpointFetch, bucket: Memory, has_one: bool
) -> None:
    if has_one:
        await fetching.fetch()
    served(bucket)
    bucket.put(f"models/knn/{TENSORS}", FIRST.tensors[:-1] + b"!")
    counts = []
    for patience in (0.0, 0.0, 0.0, 1.0, 0.0):
        with pytest.raises(SourceDown, match="cannot be used"):
            await fetching.fetch(patience)
        assert "cannot be used" in str(fetching.problem)
        counts.append(served(bucket))
    first = 1 if has_one else 2
    assert counts == [first, 0, 0, first, 0]
    bucket.put(f"models/knn/{MANIFEST}", SECOND.manifest)
    with pytest.raises(SourceDown, match="cannot be used"):
        await fetching.fetch()
    bucket.put(f"models/knn/{TENSORS}", SECOND.tensors)
    assert await fetching.fetch()
    assert (fetching.problem, manifest(fetching)) == (None, SECOND.manifest)
    served(bucket)
    assert not await fetching.fetch()
    assert served(bucket) == 0


async def test_one_that_goes_back_to_what_is_there_is_no_longer_refused(
    fetching: CheckpointFetch, bucket: Memory
) -> None:
    await fetching.fetch()
    bucket.put(f"models/knn/{MANIFEST}", b"spoilt")
    with pytest.raises(SourceDown):
        await fetching.fetch()
    bucket.put(f"models/knn/{MANIFEST}", FIRST.manifest)
    await fetching.fetch()
    assert (fetching.problem, manifest(fetching)) == (None, FIRST.manifest)


async def test_a_fetch_that_is_given_up_lets_nobody_in_before_it_has_written(
    fetching: CheckpointFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may = threading.Event(), threading.Event()

    def slow(*given: Any) -> None:
        begun.set()
        assert may.wait(30)
        write(*given)

    monkeypatch.setattr(module, "write", slow)
    given_up = asyncio.ensure_future(fetching.fetch())
    await asyncio.to_thread(begun.wait, 30)
    given_up.cancel()
    await asyncio.sleep(0)
    assert not await fetching.fetch()
    may.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert manifest(fetching) == FIRST.manifest
    assert not await fetching.fetch()
    assert fetching.counts.unchanged == 2


async def test_one_whose_signer_is_not_trusted_is_refused(tmp_path: Path, bucket: Memory) -> None:
    with pytest.raises(SourceDown, match="cannot be used"):
        await CheckpointFetch(settings(tmp_path, trusted_keys=("ab" * 32,)), {}, bucket).fetch()
    assert not (tmp_path / "checkpoints" / "knn").exists()


async def test_a_directory_that_is_not_ours_is_left_alone(fetching: CheckpointFetch) -> None:
    fetching.directory.mkdir(parents=True)
    (fetching.directory / "thesis.txt").write_text("years of work")
    with pytest.raises(SourceDown, match=r"holds thesis\.txt"):
        await fetching.fetch()
    assert fetching.counts.requests == 0, "nothing is fetched that nobody can write"
    assert (fetching.directory / "thesis.txt").exists()


async def test_a_disk_that_cannot_be_written_is_said(fetching: CheckpointFetch, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(SourceDown, match="cannot write"):
        await fetching.fetch()


async def test_one_process_fetches_at_a_time(fetching: CheckpointFetch, bucket: Memory) -> None:
    lock = fetching.directory.parent / ".knn.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not await fetching.fetch()
    assert bucket.counts.requests == 0
    assert await fetching.fetch()


@pytest.mark.requirement("router.reload")
async def test_whoever_asks_for_a_fetch_waits_for_the_one_that_is_in_progress(
    fetching: CheckpointFetch, bucket: Memory
) -> None:
    lock = fetching.directory.parent / ".knn.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SourceDown, match="being fetched by somebody else"):
            await fetching.fetch(0.01)
        asking = asyncio.ensure_future(fetching.fetch(60))
        await asyncio.sleep(0)
        assert not asking.done()
    assert await asking
    assert manifest(fetching) == FIRST.manifest


class Stopped(Exception):
    """Ends a watch."""


async def test_watching_fetches_at_once_and_again_and_tells_a_problem_once(
    fetching: CheckpointFetch, bucket: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[bytes] = []
    slept: list[float] = []

    async def then() -> None:
        looks.append(manifest(fetching))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        bucket.is_down = len(slept) in (2, 3)
        if len(slept) == 4:
            put(bucket, SECOND)
        if len(slept) == 6:
            raise Stopped

    with caplog.at_level(logging.WARNING), pytest.raises(Stopped):
        await fetching.watch(then, sleep)
    assert looks == [FIRST.manifest, SECOND.manifest]
    assert slept == [60.0] * 6
    assert [record.message for record in caplog.records] == ["auto keeps its checkpoint: it does not answer"]


async def test_a_bucket_is_opened_when_it_is_first_asked(tmp_path: Path) -> None:
    fetching = CheckpointFetch(settings(tmp_path), {"HOME": str(tmp_path), "AWS_PROFILE": "absent"})
    assert fetching.counts.requests == 0
    with pytest.raises(SourceDown, match="no AWS profile"):
        await fetching.fetch()
