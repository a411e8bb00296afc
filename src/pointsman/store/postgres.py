"""PostgreSQL: the same tables for any number of replicas, the ledger in a partition for each day.

Whoever changes admin rows holds an advisory lock until the commit, so that the numbers of the changes and the chain of
the audit log are in the order of the commits. A partition is made when the first event of its day comes, and dropped
whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from pointsman.store import schema
from pointsman.store.asking import is_set
from pointsman.store.base import StoreDown
from pointsman.store.migrating import migrate
from pointsman.store.settings import RecordSettings

T = TypeVar("T")
CHANNEL: Final = "pointsman_changes"
WORK: Final = "pointsman_work"
ANNOUNCE: Final = sa.select(sa.func.pg_notify(WORK, ""))
CLOCK: Final = sa.select(sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double))
MIGRATING: Final = 0x706F696E74_01
CHANGING: Final = 0x706F696E74_02
PARTITIONING: Final = 0x706F696E74_03
"""Advisory locks: numbers that nobody else in the database is likely to use."""
NAME: Final = "pointsman"
MAX_NAME: Final = 63
"""Bytes of what PostgreSQL lets somebody call himself."""
OTHERS: Final = sa.text(
    "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE :like AND application_name <> current_setting('application_name')"
)
DAY: Final = 86_400
LOCK_SECONDS: Final = 2
"""That dropping a day waits for those who read it, with everybody else waiting behind it."""
IDLE_WRITES: Final = 2
"""Deadlines of a write, after which the server ends a transaction whose client is not heard of: who is frozen or cut
off keeps from others what it has locked."""
NEEDS: Final = "install the extra: pip install 'pointsman[postgres]'"


class Address:
    """Where a database is, from a URL as Prisma and psql take it."""

    def __init__(self, url: str, who: str = "") -> None:
        """:raises StoreDown: a parameter has a value that cannot be used"""
        given = sa.make_url(url)
        query = {name: value if isinstance(value, str) else value[-1] for name, value in given.query.items()}
        self.url = given.set(drivername="postgresql+asyncpg", query={})
        self.connections = _whole(query.get("connection_limit"))
        self.options: dict[str, Any] = {"server_settings": {"application_name": f"{NAME} {who}".strip()[:MAX_NAME]}}
        if "schema" in query:
            self.options["server_settings"]["search_path"] = query["schema"]
        if "sslmode" in query:
            self.options["ssl"] = query["sslmode"]
        if "sslrootcert" in query:
            self.options["ssl"] = ssl.create_default_context(cafile=query["sslrootcert"])
        if "host" in query:
            self.url = self.url.set(host=query["host"])
        if query.get("pgbouncer") == "true":
            # A pooler between us gives each transaction another connection, which knows no prepared statement.
            self.options |= {"statement_cache_size": 0}


class Postgres:
    """The engine's part of :class:`~pointsman.store.sql.SqlRecords`."""

    faults: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError)
    refusals: tuple[type[Exception], ...] = (asyncpg.DataError,)
    sizes: Sequence[int] = (1,)
    # A table, or anything else, of that name is there already; a column is not.
    foreign: frozenset[str] = frozenset({"42P07", "42710", "42703"})
    what = "PostgreSQL"

    def __init__(self, settings: RecordSettings) -> None:
        address = Address(settings.url.reveal(), settings.who)
        self._address = address
        self._connect_seconds = settings.read_seconds
        self.insert: Callable[[Any], Any] = insert
        engine = create_async_engine(
            address.url,
            pool_size=address.connections or settings.connections,
            max_overflow=0,
            pool_timeout=settings.write_seconds,
            pool_pre_ping=True,
            hide_parameters=True,
            # Drivers wait a minute for a server that is frozen, and their slots of the pool with them.
            connect_args={"timeout": settings.write_seconds, **address.options},
        )
        self.reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.writing = engine.execution_options()
        # In each transaction, for poolers refuse what they do not know when somebody connects, and pass on to others
        # what is set for longer.
        idle = f"SET LOCAL idle_in_transaction_session_timeout = {int(IDLE_WRITES * settings.write_seconds * 1000)}"
        sa.event.listen(self.writing.sync_engine, "begin", lambda connection: connection.exec_driver_sql(idle))
        self._days: set[int] = set()
        self._listener: Any = None
        self._listening = asyncio.Lock()
        self._is_told = asyncio.Event()
        self.has_work = asyncio.Event()

    async def migrate(self) -> None:
        """One replica at a time; the others wait."""
        async with self.writing.begin() as connection:
            await _lock(connection, MIGRATING)
            await connection.run_sync(migrate)

    async def become_the_one_who_changes(self, connection: AsyncConnection) -> None:
        """Until the end of the transaction."""
        await _lock(connection, CHANGING)

    async def append(self, work: Callable[[sa.Connection], T]) -> T:
        """Do it in one transaction."""
        async with self.writing.begin() as connection:
            return await connection.run_sync(work)

    def time(self, connection: sa.Connection) -> float:
        """The server's."""
        return float(connection.execute(CLOCK).scalar_one())

    def announce(self, connection: sa.Connection) -> None:
        """Tell all replicas when the transaction is committed."""
        connection.execute(ANNOUNCE)

    async def make_days(self, days: Sequence[int]) -> None:
        """Make the partitions that are missing."""
        missing = [day for day in days if day not in self._days]
        if not missing:
            return
        # In a transaction of its own, for the lock on the tables is held until its end.
        async with self.writing.begin() as connection:
            await _lock(connection, PARTITIONING)
            for day in missing:
                for table in (schema.spend, schema.contents):
                    await _make_partition(connection, table.name, day)
        self._days.update(missing)

    def forget_days(self) -> None:
        """Another replica has dropped one."""
        self._days.clear()

    async def drop_days(self, table: sa.Table, before: int) -> int:
        """Drop the partitions of the days before ``before``; gives how many there were."""
        async with self.writing.connect() as connection:
            names = [name for name, day in await _partitions(connection, table.name) if day < before]
        for name in names:
            async with self.writing.begin() as connection:
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
        self._days = {day for day in self._days if day >= before}
        return len(names)

    async def take_stock(self) -> None:
        """It does so by itself."""

    async def tell(self, connection: AsyncConnection, number: int) -> None:
        """Tell all replicas when the transaction is committed."""
        await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, str(number))))

    async def others(self) -> int:
        """By what they call themselves."""
        async with self.reading.connect() as connection:
            return int((await connection.execute(OTHERS, {"like": f"{NAME} %"})).scalar_one())

    async def wait(self, patience: float) -> None:
        """Come back as soon as somebody tells, or could not have told."""
        await self._listen()
        await is_set(self._is_told, patience)

    async def wait_for_work(self, patience: float) -> None:
        """Come back as soon as somebody tells, or could not have told."""
        await self._listen()
        await is_set(self.has_work, patience)

    async def close(self) -> None:
        """Close all connections."""
        if self._listener is not None:
            self._listener.terminate()
        await self.writing.dispose()

    async def _listen(self) -> None:
        """Where that cannot be done, nobody tells, and whoever waits looks after a while."""
        async with self._listening:
            if self._listener is not None and not self._listener.is_closed():
                return
            url = self._address.url
            self._listener = None
            with contextlib.suppress(OSError, TimeoutError, *self.faults):
                async with asyncio.timeout(self._connect_seconds):
                    listener = await asyncpg.connect(
                        host=url.host,
                        port=url.port or 5432,
                        user=url.username,
                        password=url.password,
                        database=url.database,
                        **self._address.options,
                    )
                    for channel, event in ((CHANNEL, self._is_told), (WORK, self.has_work)):
                        await listener.add_listener(channel, partial(_hear, event))
                        # Nobody was told of what changed until now.
                        event.set()
                    self._listener = listener


def _hear(event: asyncio.Event, *_: Any) -> None:
    event.set()


async def _lock(connection: AsyncConnection, number: int) -> None:
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


async def _make_partition(connection: AsyncConnection, table: str, day: int) -> None:
    """Attached, and not made as a part: that would lock out those who read and write the other days."""
    name = f"{table}_{datetime.fromtimestamp(day * DAY, UTC):%Y%m%d}"
    if (await connection.execute(sa.select(sa.func.to_regclass(name)))).scalar() is None:
        await connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
        bounds = f"FROM ({day * DAY}) TO ({(day + 1) * DAY})"
        await connection.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}")


async def _partitions(connection: AsyncConnection, table: str) -> list[tuple[str, int]]:
    """Names and days."""
    found = await connection.execute(
        sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:table)"),
        {"table": table},
    )
    days = ((name, re.search(r"_(\d{8})\"?$", name)) for name in found.scalars())
    return [(name, _day(match[1])) for name, match in days if match]


def _day(digits: str) -> int:
    return int(datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).timestamp()) // DAY


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise StoreDown(f"connection_limit of the database's address is no number: {text[:20]}")
    return max(1, int(text))
