from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from pointsman.store import ledger, sqlite
from pointsman.store.base import Change, StoreDown, Unusable, Where
from pointsman.store.settings import RecordSettings
from pointsman.store.sql import SqlRecords
from pointsman.store.sqlite import Sqlite
from pointsman.wire.secret import Secret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "pointsman.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[Sqlite]:
    made = Sqlite(RecordSettings(url=Secret(f"sqlite:///{path}")))
    await made.migrate()
    yield made
    await made.close()


async def pragma(engine: AsyncEngine, name: str) -> object:
    async with engine.connect() as connection:
        return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()


async def test_only_the_owner_can_read_the_database_and_its_journal(backend: Sqlite, path: Path) -> None:
    async with backend.writing.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE x (y)")
    names = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(names) == {"pointsman.db", "pointsman.db-wal", "pointsman.db-shm", "pointsman.db.lock"}
    assert set(names.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_commit_is_on_the_disk_and_readers_do_not_wait(backend: Sqlite) -> None:
    assert await pragma(backend.writing, "synchronous") == 2
    assert await pragma(backend.writing, "journal_mode") == "wal"
    async with backend.writing.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE x (y)")
        assert await pragma(backend.reading, "query_only") == 1


async def test_what_is_appended_is_on_the_disk_in_one_transaction_or_not_at_all(backend: Sqlite) -> None:
    found: list[object] = []

    def work(connection: sa.Connection) -> None:
        found.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
        connection.exec_driver_sql("INSERT INTO meta VALUES ('name', 'value')")
        connection.exec_driver_sql("INSERT INTO meta VALUES ('name', 'again')")

    with pytest.raises(sa.exc.IntegrityError):
        await backend.append(work)
    async with backend.reading.connect() as connection:
        found.append((await connection.exec_driver_sql("SELECT count(*) FROM meta WHERE name = 'name'")).scalar())
    assert found == [2, 0]


async def test_who_reads_cannot_write(backend: Sqlite) -> None:
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        async with backend.reading.begin() as connection:
            await connection.exec_driver_sql("CREATE TABLE x (y)")


async def test_while_another_process_migrates_this_one_waits(backend: Sqlite, path: Path) -> None:
    lock = os.open(f"{path}.lock", os.O_RDWR)
    assert sqlite._is_locked(lock)
    waiting = asyncio.ensure_future(backend.migrate())
    done, _ = await asyncio.wait([waiting], timeout=3 * sqlite.LOCK_POLL)
    assert not done
    os.close(lock)
    await waiting


async def test_whoever_cannot_write_in_time_is_told(path: Path) -> None:
    settings = RecordSettings(url=Secret(f"sqlite:///{path}"), write_seconds=0.05)
    records = SqlRecords(Sqlite(settings), settings)
    await records.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown):
            await records.change([Change("keys", "k1", {})])
        assert await records.get("keys", "k1") is None
        other.execute("ROLLBACK")
    await records.close()


async def test_the_index_of_a_key_is_taken_before_that_of_a_model(backend: Sqlite) -> None:
    query = "EXPLAIN QUERY PLAN SELECT 1 FROM spend WHERE key_id = 'a' AND model = 'm' ORDER BY at DESC LIMIT 1"
    values = "value, 'e' || value, 'k' || value, '', '', '', 'm', '', '', '', '', '', 1, 0, 0, 0, 0, 0, 0, '{}'"
    numbers = "WITH n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 500) "
    async with backend.writing.begin() as connection:
        await connection.exec_driver_sql(f"INSERT INTO spend {numbers} SELECT {values} FROM n")
    await backend.take_stock()
    async with backend.reading.connect() as connection:
        plan = (await connection.exec_driver_sql(query)).all()
    assert "spend_key_id" in str(plan[0])


async def test_a_file_that_is_no_database_is_told(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)  # noqa: ASYNC240 - nobody waits for the loop here
    settings = RecordSettings(url=Secret(f"sqlite:///{path}"))
    records = SqlRecords(Sqlite(settings), settings)
    with pytest.raises(StoreDown, match="not a database"):
        await records.open()
    await records.close()


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = RecordSettings(url=Secret(f"sqlite:///{tmp_path / 'file' / 'pointsman.db'}"))
    records = SqlRecords(Sqlite(settings), settings)
    with pytest.raises(StoreDown):
        await records.open()
    await records.close()


@pytest.mark.parametrize(
    ("group_by", "where"),
    [
        ((), {"key_id": "k"}),
        (("model",), {"team_id": "t"}),
        (("model",), {"team_id": ["t", "u"]}),
        (("hour",), {"user_id": "u", "model": "m"}),
        (("day", "key_id"), None),
        (("hour", "team_id"), None),
    ],
)
async def test_no_question_about_spend_reads_a_whole_table(
    backend: Sqlite, group_by: tuple[str, ...], where: Where | None
) -> None:
    statement = ledger.summing(group_by, 90_000.5, 999_999.5, where, ledger.Kept(0.0, 0.0))
    compiled = statement.compile(backend.reading.sync_engine, compile_kwargs={"literal_binds": True})
    async with backend.reading.connect() as connection:
        plan = [str(row) for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
    assert [step for step in plan if "SEARCH spend" in step]
    assert [step for step in plan if "SCAN spend" in step] == []


def make_foreign(path: Path, *, is_other: bool) -> None:
    """A database of something else, or none."""
    path.parent.mkdir()
    if is_other:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE keys (x)")
    else:
        path.write_text("this is no database, as anybody can see" * 20)


@pytest.mark.parametrize("is_other", [True, False])
async def test_what_is_no_database_of_ours_is_told_from_one_that_is_away(path: Path, is_other: bool) -> None:
    make_foreign(path, is_other=is_other)
    settings = RecordSettings(url=Secret(f"sqlite:///{path}"))
    records = SqlRecords(Sqlite(settings), settings)
    with pytest.raises(Unusable):
        await records.open()
    await records.close()


async def test_a_database_that_somebody_holds_is_away(path: Path, backend: Sqlite) -> None:
    settings = RecordSettings(url=Secret(f"sqlite:///{path}"), write_seconds=0.01)
    records = SqlRecords(Sqlite(settings), settings)
    async with backend.writing.begin():
        with pytest.raises(StoreDown) as raised:
            await records.open()
    assert not isinstance(raised.value, Unusable)
    await records.close()


async def test_a_file_knows_of_no_other_gateway(path: Path) -> None:
    settings = RecordSettings(url=Secret(f"sqlite:///{path}"))
    records = SqlRecords(Sqlite(settings), settings)
    await records.open()
    assert await records.others() == 0
    await records.close()
