"""What every store of files does, in memory and on real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contract.databases import new_database, sqlite_url, store
from files import MemoryFiles
from msgspec.structs import replace

from pointsman.store.files import FileQuery, FileRecords, FileRow

ALL = FileQuery(now=1_000.0)


def row(number: int, **values: object) -> FileRow:
    made = FileRow(
        id=f"file-{number}",
        owner="me",
        purpose="batch",
        filename="a.jsonl",
        bytes=5 << 30,
        sha256="ab" * 32,
        blob=f"blob{number}",
        created_at=float(number),
    )
    return replace(made, **values)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FileRecords]:
    if request.param == "memory":
        yield MemoryFiles()
        return
    is_file = request.param == "sqlite"
    records = store(sqlite_url(tmp_path) if is_file else await new_database(request.getfixturevalue("postgres")))
    await records.open()
    yield records.files
    await records.close()


async def ids(files: FileRecords, query: FileQuery = ALL, **more: object) -> list[str]:
    return [one.id for one in await files.find(query, **more)]  # type: ignore[arg-type]


async def test_a_file_is_what_was_written(files: FileRecords) -> None:
    made = row(1, filename="läng\"e 'x'.jsonl", expires_at=5.5)
    assert await files.put(made) is None
    assert await files.get("file-1") == made
    assert await files.get("file-2") is None
    assert await files.get("file\0") is None


async def test_the_one_that_was_there_before_is_given(files: FileRecords) -> None:
    first, second = row(1), row(1, blob="other", bytes=7, owner="you", expires_at=9.0)
    await files.put(first)
    assert await files.put(second) == first
    assert await files.get("file-1") == second
    assert await files.known(["blob1", "other"]) == {"other"}


async def test_of_many_who_write_the_same_file_one_is_last(files: FileRecords) -> None:
    rows = [row(1, blob=f"b{number}") for number in range(8)]
    await asyncio.gather(*map(files.put, rows))
    found = await files.get("file-1")
    assert found in rows
    assert len(await files.known([one.blob for one in rows])) == 1


async def test_files_are_found_in_both_orders_and_by_what_they_have(files: FileRecords) -> None:
    made = [row(1), row(2, owner="you"), row(3, purpose="vision"), row(4, created_at=3.0), row(5, expires_at=1_000.0)]
    for one in made:
        await files.put(one)
    assert await ids(files) == ["file-4", "file-3", "file-2", "file-1"]
    assert await ids(files, is_ascending=True) == ["file-1", "file-2", "file-3", "file-4"]
    assert await ids(files, FileQuery(now=999.0, owner="me")) == ["file-5", "file-4", "file-3", "file-1"]
    assert await ids(files, FileQuery(now=1_000.0, owner="me", purpose="vision")) == ["file-3"]
    assert await ids(files, FileQuery(now=1_000.0, purpose="nothing\0")) == []


async def test_a_page_begins_after_the_one_before(files: FileRecords) -> None:
    for number in range(5):
        await files.put(row(number, created_at=float(number // 2)))
    assert await ids(files, limit=2) == ["file-4", "file-3"]
    assert await ids(files, after=(1.0, "file-3"), limit=2) == ["file-2", "file-1"]
    assert await ids(files, after=(0.0, "file-1"), limit=2, is_ascending=True) == ["file-2", "file-3"]


async def test_what_is_forgotten_is_gone(files: FileRecords) -> None:
    for number in range(3):
        await files.put(row(number))
    await files.forget(["file-0", "file-2", "file-9"])
    await files.forget([])
    assert await ids(files) == ["file-1"]


async def test_what_has_expired_is_told(files: FileRecords) -> None:
    for number in range(5):
        await files.put(row(number, expires_at=None if number == 0 else float(number)))
    assert {one.id for one in await files.expired(3.5)} == {"file-1", "file-2", "file-3"}
    assert len(await files.expired(3.5, 2)) == 2


async def test_a_file_expires_later_when_that_is_said(files: FileRecords) -> None:
    await files.put(row(1, expires_at=5.0))
    await files.put(row(2, expires_at=5.0))
    await files.extend("file-1", 9.5)
    await files.extend("file-9", 9.5)
    assert [one.id for one in await files.expired(6.0)] == ["file-2"]
    assert await files.get("file-1") == row(1, expires_at=9.5)


async def test_the_bytes_of_an_owner_are_added_up(files: FileRecords) -> None:
    for number in range(3):
        await files.put(row(number, owner="you" if number else "me"))
    assert [await files.total(owner) for owner in ("me", "you", "nobody")] == [5 << 30, 10 << 30, 0]


async def test_blobs_of_files_are_known(files: FileRecords) -> None:
    for number in range(1_200):
        if number % 400 == 0:
            await files.put(row(number))
    asked = [f"blob{number}" for number in range(1_200)]
    assert await files.known(asked) == {"blob0", "blob400", "blob800"}
    assert await files.known([]) == set()


async def test_a_database_has_one_realm_for_good(files: FileRecords) -> None:
    realms = {await files.realm() for _ in range(3)} | set(await asyncio.gather(*(files.realm() for _ in range(5))))
    assert len(realms) == 1
    assert len(realms.pop()) == 16
