from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest
from files import NOW, BrokenBlobs, MemoryFiles, make_files

from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key
from pointsman.batches.files import EVERYBODY, ORPHAN_SECONDS, Files, Line, NewFile, Wanted, file_id, owner_of
from pointsman.errors import InvalidRequest, ObjectNotFound, Overloaded, StorageFull
from pointsman.store.blobs import BlobsDown, NoRoom
from pointsman.store.files import FileRow
from pointsman.store.settings import FileSettings

NEW = NewFile(owner="key:a", purpose="user_data", filename="a.txt")


async def write(files: Files, data: bytes, new: NewFile = NEW) -> FileRow:
    async with files.begin(new) as writing:
        await writing.write(data)
        assert writing.size == len(data)
        return await writing.finish()


async def read(files: Files, row: FileRow, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in files.read(row, start, end)])


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


@pytest.mark.parametrize(
    ("caller", "owner"),
    [
        (MASTER, ""),
        (Caller(name="b", role="admin", id="b", key=Key(user_id="u")), ""),
        (Caller(name="a", role="key", id="a", key=Key(user_id="u")), "user:u"),
        (Caller(name="a", role="team_admin", id="a", key=Key(account="acc")), "key:acc"),
        (Caller(name="a", role="key", id="a", key=Key(user_id="u", account="acc", is_plain=True)), "key:acc"),
    ],
)
def test_a_file_is_its_users_or_else_its_keys(caller: Caller, owner: str) -> None:
    assert owner_of(caller) == owner


async def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    files, data = make_files(tmp_path), os.urandom(3_000_000)
    row = await write(files, data)
    assert (row.owner, row.purpose, row.filename, row.bytes) == ("key:a", "user_data", "a.txt", 3_000_000)
    assert (row.sha256, row.created_at, row.expires_at) == (hashlib.sha256(data).hexdigest(), NOW, None)
    assert await files.find("key:a", row.id) == row
    assert await read(files, row) == data
    assert await read(files, row, 5, 2_000_000) == data[5:2_000_000]
    assert await read(files, row, 2_999_999, 9_000_000) == data[-1:]
    assert await files.spans(row, [(2_000_000, 3), (7, 2)]) == [data[2_000_000:2_000_003], data[7:9]]


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    row = await write(files, b"")
    assert (row.bytes, await read(files, row), [one async for one in files.lines(row)]) == (0, b"", [])


async def test_somebody_elses_file_looks_like_none(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    row = await write(files, b"a")
    for owner in ("key:b", "user:key:a"):
        for call in (files.find, files.delete):
            with pytest.raises(ObjectNotFound):
                await call(owner, row.id)
        assert await files.list_files(owner, Wanted()) == ([], False)
        with pytest.raises(InvalidRequest, match="'after'"):
            await files.list_files(owner, Wanted(after=row.id))
    assert await files.find(EVERYBODY, row.id) == row


async def test_a_list_goes_on_where_the_page_before_ended(tmp_path: Path) -> None:
    moment = [NOW]
    files = make_files(tmp_path, now=lambda: moment[0])
    made = []
    for number in range(5):
        moment[0] += number % 2
        made.append(
            (await write(files, b"", NEW if number != 3 else NewFile(owner="b", purpose="vision", filename=""))).id
        )
    mine = [one for one in made if one != made[3]]

    async def pages(owner: str, **wanted: object) -> list[str]:
        found: list[str] = []
        has_more = True
        while has_more:
            after = found[-1] if found else None
            rows, has_more = await files.list_files(owner, Wanted(limit=2, after=after, **wanted))  # type: ignore[arg-type]
            found += [row.id for row in rows]
        return found

    assert await pages("key:a") == mine[::-1]
    assert await pages("key:a", is_ascending=True) == mine
    assert await pages(EVERYBODY) == made[::-1]
    assert await pages(EVERYBODY, purpose="vision") == [made[3]]


async def test_what_is_deleted_leaves_nothing(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    row = await write(files, b"a")
    assert len(left(tmp_path)) == 1
    assert await files.delete("key:a", row.id) == row
    assert left(tmp_path) == []
    with pytest.raises(ObjectNotFound):
        await files.find("key:a", row.id)
    with pytest.raises(Overloaded) as caught:
        await read(files, row)
    assert caught.value.code == "content_unavailable"


async def test_what_is_not_finished_was_never_there(tmp_path: Path) -> None:
    rows = MemoryFiles()
    files = make_files(tmp_path, rows)

    async def fail() -> None:
        async with files.begin(NEW) as writing:
            await writing.write(b"a" * 3_000_000)
            assert left(tmp_path) == [f"{1:032x}.part"]
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert (left(tmp_path), rows.rows) == ([], {})


async def test_who_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    files, has_begun = make_files(tmp_path), asyncio.Event()

    async def work() -> None:
        async with files.begin(NEW) as writing:
            await writing.write(b"a" * 3_000_000)
            has_begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(tmp_path) == []


async def test_who_is_cancelled_while_it_is_made_to_last_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, has_begun, may_end = make_files(tmp_path), threading.Event(), threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        has_begun.set()
        may_end.wait()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    task = asyncio.create_task(write(files, b"a"))
    await asyncio.to_thread(has_begun.wait)
    task.cancel()
    asyncio.get_running_loop().call_soon(may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(tmp_path) == []


async def test_the_same_id_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    rows = MemoryFiles()
    files = make_files(tmp_path, rows)
    new = NewFile(owner="key:a", purpose="batch_output", filename="o", id=file_id("batch_1:output"))
    first = await write(files, b"first", new)
    second = await write(files, b"second", new)
    assert first.id == second.id == file_id("batch_1:output") != file_id("batch_2:output")
    assert await read(files, await files.find("key:a", first.id)) == b"second"
    assert left(tmp_path) == [second.blob]


async def test_what_is_said_at_last_counts(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    async with files.begin(NewFile(owner="key:a", purpose="", filename="")) as writing:
        row = await writing.finish(NEW)
    assert (row.purpose, row.filename) == ("user_data", "a.txt")


async def test_files_expire_as_they_were_told_or_as_their_purpose_has_it(tmp_path: Path) -> None:
    moment = [NOW]
    files = make_files(tmp_path, settings=FileSettings(batch_seconds=100.0), now=lambda: moment[0])
    told = await write(files, b"", NewFile(owner="a", purpose="vision", filename="", expires_seconds=10.0))
    batch = await write(files, b"", NewFile(owner="a", purpose="batch", filename=""))
    longer = await write(files, b"", NewFile(owner="a", purpose="batch_output", filename="", expires_seconds=500.0))
    ever = await write(files, b"", NewFile(owner="a", purpose="evals", filename=""))
    expiring = [one.expires_at for one in (told, batch, longer, ever)]
    assert expiring == [NOW + 10, NOW + 100, NOW + 500, None]
    moment[0] = NOW + 100
    assert {row.id for row in (await files.list_files("a", Wanted()))[0]} == {longer.id, ever.id}
    with pytest.raises(ObjectNotFound):
        await files.find("a", batch.id)


@pytest.mark.requirement("files.nothing-left")
async def test_what_has_expired_and_what_nobody_has_is_swept(tmp_path: Path) -> None:
    moment = [NOW]
    rows = MemoryFiles()
    files = make_files(tmp_path, rows, now=lambda: moment[0])
    kept = await write(files, b"a")
    gone = await write(files, b"b", NewFile(owner="a", purpose="vision", filename="", expires_seconds=10.0))
    for name in ("lost", "killed.part", "young", "young.part"):
        (tmp_path / name).write_bytes(b"x")
    for name in left(tmp_path):
        written = NOW - (10.0 if name.startswith("young") else ORPHAN_SECONDS + 10.0)
        os.utime(tmp_path / name, (written, written))
    moment[0] = NOW + 11
    assert await files.sweep() == 3
    assert left(tmp_path) == sorted([kept.blob, "young", "young.part"])
    assert set(rows.rows) == {kept.id}
    assert gone.id not in rows.rows
    assert await files.sweep() == 0


async def test_lines_are_told_with_their_places(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    data = b'{"a":1}\n\n{"b":22}\r\n  \nlast'
    row = await write(files, data)
    found = [one async for one in files.lines(row)]
    assert found == [
        Line(0, 7, b'{"a":1}'),
        Line(8, 0, b""),
        Line(9, 8, b'{"b":22}'),
        Line(19, 2, b"  "),
        Line(22, 4, b"last"),
    ]
    assert [data[one.offset : one.offset + one.length] for one in found] == [one.data for one in found]
    assert [one async for one in files.lines(row, 19)] == found[3:]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
async def test_a_line_that_is_too_long_is_not_held(tmp_path: Path, end: bytes) -> None:
    files = make_files(tmp_path)
    big = b"x" * 5_000_000
    row = await write(files, b"a" * 10 + b"\r\n" + b"b" * 11 + b"\n" + b"c" * 3_000_000 + b"\n" + b"d" + end)
    found = [(one.offset, one.length, one.data) async for one in files.lines(row, limit=10)]
    assert found == [(0, 10, b"a" * 10), (12, 11, None), (24, 3_000_000, None), (3_000_025, 1, b"d")]
    row = await write(files, big + end)
    whole = [one async for one in files.lines(row, limit=len(big))]
    assert [(one.length, one.data == big) for one in whole] == [(len(big), True)]


async def test_lines_lie_across_pieces(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    lines = [b"%d" % number * (number % 977) for number in range(9_000)]
    row = await write(files, b"\n".join(lines) + b"\n")
    assert row.bytes > 8 << 20
    assert [one.data async for one in files.lines(row)] == lines


async def test_a_store_that_is_away_is_told_and_leaves_nothing_wrong(tmp_path: Path) -> None:
    rows = MemoryFiles()
    files = make_files(tmp_path, rows)
    row = await write(files, b"a")
    rows.is_down = True
    for call in (files.find("key:a", row.id), files.list_files("key:a", Wanted()), files.sweep(), write(files, b"b")):
        with pytest.raises(Overloaded) as caught:
            await call
        assert caught.value.code == "store_unavailable"
    rows.is_down = False
    # Whether that row was written nobody knows: its blob stays until it is old.
    assert len(left(tmp_path)) == 2
    assert await read(files, row) == b"a"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(NoRoom("no space left"), 507, "storage_full"), (BlobsDown("input/output error"), 503, "files_unavailable")],
)
async def test_a_disk_that_is_full_or_broken_is_told_apart(
    tmp_path: Path, error: BlobsDown, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = MemoryFiles()
    files = make_files(tmp_path, rows)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pointsman.store.blobs._DiskPart._keep", fail)
    with pytest.raises((StorageFull, Overloaded)) as caught:
        await write(files, b"a")
    assert (caught.value.status, caught.value.code, rows.rows) == (status, code, {})
    assert left(tmp_path) == []
    assert str(error) in str(caught.value.operator_detail)
    assert str(error) not in caught.value.message


async def test_what_cannot_be_deleted_now_is_gone_all_the_same(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    row = await write(files, b"a")
    files.blobs = BrokenBlobs(BlobsDown("away"))
    assert (await files.delete("key:a", row.id)).id == row.id
    with pytest.raises(ObjectNotFound):
        await files.find("key:a", row.id)
    with pytest.raises(Overloaded):
        await files.sweep()
