"""SQLite: one file, one writer at a time, readers that never wait for it.

Whoever writes takes the lock of the file when the transaction begins, so that nothing it has read can be out of date
when it commits; a commit is on the disk before it is acknowledged. Days of the ledger are deleted in small steps
between which others can write. A table for each day could be dropped in a tenth of that time, but nobody could write
meanwhile, and each question would be one of many tables; a file for each day could not be committed together with
the sums.

What is appended to the ledger, many times a second, is written by one thread from the beginning of the transaction to
its end. Each way from the event loop to a thread and back is a wait for the interpreter's lock, which a busy loop pays
for as long as it lasts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pointsman.store.asking import is_set
from pointsman.store.migrating import migrate
from pointsman.store.settings import RecordSettings

T = TypeVar("T")
CHUNK: Final = 2_000
"""Rows deleted in one transaction."""
READERS: Final = 2
LOCK_POLL: Final = 0.05
POLL: Final = 0.25
"""Seconds between looking for what other processes have changed."""


class Sqlite:
    """The engine's part of :class:`~pointsman.store.sql.SqlRecords`."""

    faults: tuple[type[Exception], ...] = (sqlite3.Error,)
    refusals: tuple[type[Exception], ...] = ()
    # Few sizes, as each is a statement that the driver keeps; large ones, as its thread waits for its turn after each.
    sizes: Sequence[int] = (1024, 128, 16, 1)
    # The last one is that of a table which is there already, or is another one.
    foreign: frozenset[str] = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"})
    what = "SQLite"

    def __init__(self, settings: RecordSettings) -> None:
        self._path = Path(settings.url.reveal().removeprefix("sqlite:///"))
        url = sa.URL.create("sqlite+aiosqlite", database=str(self._path))
        patience = settings.write_seconds
        self.insert: Callable[[Any], Any] = insert
        self.has_work = asyncio.Event()
        self.writing = create_async_engine(
            url,
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            pool_timeout=patience,
            connect_args={"timeout": patience},
        )
        self.reading = create_async_engine(
            url,
            hide_parameters=True,
            pool_size=READERS,
            max_overflow=0,
            connect_args={"timeout": settings.read_seconds},
        )
        self._appending = sa.create_engine(
            url.set(drivername="sqlite"),
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            pool_timeout=patience,
            connect_args={"timeout": patience},
        )
        for engine in (self.writing.sync_engine, self._appending):
            sa.event.listen(engine, "connect", _prepare)
            sa.event.listen(engine, "begin", _begin_immediate)
        sa.event.listen(self.reading.sync_engine, "connect", _prepare_reading)

    async def migrate(self) -> None:
        """One process at a time; the others wait."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _is_locked(lock):  # noqa: ASYNC110 - the lock is another process's
                await asyncio.sleep(LOCK_POLL)
            await asyncio.to_thread(self._make)
            async with self.writing.begin() as connection:
                await connection.run_sync(migrate)
        finally:
            os.close(lock)

    def _make(self) -> None:
        """The file has its mode before there is anything in it; its journal can only be chosen out of a transaction."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")

    async def become_the_one_who_changes(self, connection: AsyncConnection) -> None:
        """Who has begun to write is alone."""

    async def append(self, work: Callable[[sa.Connection], T]) -> T:
        """In one thread, and not step by step."""
        return await asyncio.to_thread(self._in_transaction, work)

    def _in_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        with self._appending.begin() as connection:
            return work(connection)

    def time(self, connection: sa.Connection) -> float:  # noqa: ARG002  the protocol's
        """All who share the file are on this machine."""
        return time.time()

    def announce(self, connection: sa.Connection) -> None:
        """Others look for themselves."""

    async def wait_for_work(self, patience: float) -> None:
        """Only this process tells."""
        await is_set(self.has_work, patience)

    async def make_days(self, days: Sequence[int]) -> None:
        """There is a place for every day."""

    def forget_days(self) -> None:
        """There is nothing to forget."""

    async def drop_days(self, table: sa.Table, before: int) -> int:
        """Delete the rows of the days before ``before``; gives how many days had any."""
        end = before * 86_400.0
        key = sa.tuple_(table.c.at, table.c.id)
        some = sa.select(table.c.at, table.c.id).where(table.c.at < end).limit(CHUNK)
        async with self.reading.connect() as connection:
            count = (await connection.execute(sa.select(_days(table)).where(table.c.at < end))).scalar_one()
        left = count > 0
        while left:
            async with self.writing.begin() as connection:
                left = (await connection.execute(sa.delete(table).where(key.in_(some)))).rowcount == CHUNK
        return int(count)

    async def take_stock(self) -> None:
        """Samples, for a few milliseconds. Without, it takes the index of the model where that of the key is better."""
        async with self.writing.begin() as connection:
            await connection.exec_driver_sql("PRAGMA analysis_limit=1000")
            await connection.exec_driver_sql("ANALYZE")

    async def tell(self, connection: AsyncConnection, number: int) -> None:
        """Others look for themselves."""

    async def others(self) -> int:
        """It knows of nobody: those who share the file share its directory."""
        return 0

    async def wait(self, patience: float) -> None:
        """There is nobody who tells."""
        await asyncio.sleep(min(patience, POLL))

    async def close(self) -> None:
        """Let go of the file."""
        self._appending.dispose()
        await _dispose(self.writing, self.reading)


async def _dispose(*engines: AsyncEngine) -> None:
    for engine in engines:
        await engine.dispose()


def _days(table: sa.Table) -> sa.ColumnElement[int]:
    return sa.func.count(sa.distinct(sa.cast(table.c.at / 86_400, sa.BigInteger)))


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    cursor = connection.cursor()
    for pragma in ("synchronous=FULL", "cache_size=-16384", "journal_size_limit=67108864", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_reading(connection: Any, record: Any) -> None:
    _prepare(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
