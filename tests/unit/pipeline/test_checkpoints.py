from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.ml.checkpoints import ABOUT, PARTS

from pointsman.ml.checkpoint import BadCheckpoint, Checkpoint, Packed, pack
from pointsman.ml.files import MANIFEST, TENSORS, write
from pointsman.pipeline.checkpoints import Kept

FIRST = pack(ABOUT, PARTS)
SECOND = pack(msgspec.structs.replace(ABOUT, doubt=2.0), PARTS)
NOW = 1000.0


def version(checkpoint: Checkpoint) -> str:
    return checkpoint.manifest.id


FIRST_ID, SECOND_ID = (msgspec.json.decode(packed.manifest)["id"] for packed in (FIRST, SECOND))


@pytest.fixture
def kept(tmp_path: Path) -> Kept[str]:
    write(tmp_path / "router", FIRST)
    found = Kept("auto", tmp_path / "router", version, now=lambda: NOW)
    found.load()
    return found


def put(kept: Kept[Any], packed: Packed) -> None:
    """What somebody does who copies over files that are in use."""
    (kept.directory / TENSORS).write_bytes(packed.tensors)
    (kept.directory / MANIFEST).write_bytes(packed.manifest)


def test_what_was_loaded_is_in_force(kept: Kept[str]) -> None:
    assert kept.current == FIRST_ID
    assert kept.status() == {
        "path": str(kept.directory),
        "id": FIRST_ID,
        "strategy": "auto",
        "embedder": ABOUT.embedder,
        "created": ABOUT.created,
        "is_signed": False,
        "loaded_at": NOW,
        "reloads": 0,
        "failures": 0,
        "problem": None,
    }


@pytest.mark.requirement("routing.checkpoint.reload")
async def test_another_one_takes_its_place(kept: Kept[str]) -> None:
    write(kept.directory, SECOND)
    await kept.look()
    assert kept.current == SECOND_ID
    counts = kept.counts()
    assert (counts.version, counts.reloads, counts.failures) == (SECOND_ID[:12], 1, 0)


async def test_files_that_have_not_changed_are_not_read_again(kept: Kept[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kept, "_read", None)
    await kept.look()
    assert kept.current == FIRST_ID


async def test_an_equal_one_changes_nothing(kept: Kept[str]) -> None:
    before = kept.current
    write(kept.directory, FIRST)
    assert not await kept.reload()
    assert kept.current is before
    assert kept.reloads == 0


@pytest.mark.requirement("routing.checkpoint.reload")
async def test_a_broken_one_changes_nothing_and_is_told_once(kept: Kept[str], caplog: pytest.LogCaptureFixture) -> None:
    put(kept, Packed(SECOND.manifest, SECOND.tensors[:-1]))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await kept.look()
    assert kept.current == FIRST_ID
    assert kept.failures == 1
    (record,) = caplog.records
    assert record.message.startswith(f"auto keeps its checkpoint, as the new one cannot be used: {kept.directory}: its")
    assert kept.status()["problem"]["hint"] == "copy both files again"


async def test_after_a_broken_one_a_good_one_is_taken(kept: Kept[str]) -> None:
    put(kept, Packed(b"{}", b""))
    await kept.look()
    put(kept, SECOND)
    await kept.look()
    assert kept.current == SECOND_ID
    assert kept.status()["problem"] is None


async def test_one_that_is_gone_changes_nothing(kept: Kept[str]) -> None:
    (kept.directory / MANIFEST).unlink()
    await kept.look()
    await kept.look()
    assert kept.current == FIRST_ID
    assert kept.failures == 1


async def test_what_is_being_written_is_judged_when_it_holds_still(
    kept: Kept[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Kept[str]._read

    def slow(self: Kept[str]) -> Any:
        try:
            return read(self)
        finally:
            (kept.directory / TENSORS).write_bytes(SECOND.tensors)

    (kept.directory / MANIFEST).write_bytes(SECOND.manifest)
    (kept.directory / TENSORS).write_bytes(b"")
    monkeypatch.setattr(Kept, "_read", slow)
    await kept.look()
    assert (kept.failures, kept.current) == (0, FIRST_ID)
    await kept.look()
    assert kept.current == SECOND_ID


async def test_one_that_cannot_be_built_changes_nothing(tmp_path: Path) -> None:
    def build(checkpoint: Checkpoint) -> str:
        if checkpoint.manifest.doubt == 2.0:
            raise ZeroDivisionError("of somebody's own")
        return checkpoint.manifest.id

    write(tmp_path / "router", FIRST)
    kept = Kept("auto", tmp_path / "router", build, now=lambda: NOW)
    kept.load()
    write(kept.directory, SECOND)
    with pytest.raises(BadCheckpoint, match="ZeroDivisionError") as caught:
        await kept.reload()
    assert caught.value.where == str(kept.directory)
    assert kept.current == FIRST_ID


@pytest.mark.parametrize("raised", [RecursionError("deep"), MemoryError(), SystemExit(3), OSError("gone")])
@pytest.mark.requirement("routing.checkpoint.reload")
async def test_whatever_reading_raises_is_counted_and_does_not_end_the_watch(
    kept: Kept[str], monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def broken(*_: object, **__: object) -> Checkpoint:
        raise raised

    looks: list[float] = []

    async def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            monkeypatch.undo()
            write(kept.directory, FIRST)
            put(kept, SECOND)
        if len(looks) == 3:
            raise asyncio.CancelledError

    put(kept, SECOND)
    monkeypatch.setattr("pointsman.pipeline.checkpoints.read", broken)
    with pytest.raises(asyncio.CancelledError):
        await kept.watch(sleep)

    assert kept.failures == 1
    assert kept.current == SECOND_ID


@pytest.mark.requirement("routing.checkpoint.reload")
async def test_a_look_that_fails_is_counted_and_the_next_one_is_taken(
    kept: Kept[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Kept[str]) -> None:
        raise RuntimeError("no thread is left")

    put(kept, SECOND)
    with monkeypatch.context() as patched:
        patched.setattr(Kept, "_stamp", broken)
        await kept.look()
    assert (kept.failures, kept.current) == (1, FIRST_ID)
    await kept.look()
    assert kept.current == SECOND_ID


async def test_two_who_reload_at_a_time_take_turns(kept: Kept[str]) -> None:
    write(kept.directory, SECOND)
    assert sorted(await asyncio.gather(kept.reload(), kept.reload())) == [False, True]


def test_one_that_is_broken_at_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="pointsman train"):
        Kept("auto", tmp_path, version, now=lambda: NOW).load()


@pytest.mark.requirement("routing.checkpoint.signed")
async def test_where_keys_are_trusted_one_of_them_has_to_have_signed(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    trusted = [key.public_key().public_bytes_raw().hex()]
    write(tmp_path / "router", pack(ABOUT, PARTS, private_key_pem=pem))
    kept = Kept("auto", tmp_path / "router", version, now=lambda: NOW, trusted_keys=trusted)
    assert kept.load() == FIRST_ID
    assert kept.status()["is_signed"]
    write(kept.directory, SECOND)
    with pytest.raises(BadCheckpoint, match="nobody who is trusted"):
        await kept.reload()
    assert kept.current == FIRST_ID


async def test_it_is_looked_at_every_so_often(kept: Kept[str]) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            write(kept.directory, SECOND)
        if len(waited) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await kept.watch(sleep)
    assert waited == [kept.interval] * 4
    assert kept.current == SECOND_ID
