"""From settings to a store: here its library is loaded, and not before."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pointsman.store.base import Records
from pointsman.store.counting import Counters, Rebuild, WriteDown, nothing_spent, nothing_to_write
from pointsman.store.memory import MemoryCounters
from pointsman.store.settings import RecordSettings, RedisSettings, StoreSettings
from pointsman.telemetry.tasks import Tasks

if TYPE_CHECKING:
    from pointsman.store.values import RedisValues

VERSIONS: Final = "SELECT * FROM alembic_version"
DAMAGED: Final = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
REDIS_EXTRA: Final = "Redis needs a library; install the extra: pip install 'pointsman[redis]'"
EXTRA: Final = "PostgreSQL needs a library; install the extra: pip install 'pointsman[postgres]'"
BUCKET_EXTRA: Final = "files in a bucket need a library; install the extra: pip install 'pointsman[objects]'"
REDIS_SCHEMES: Final = "Redis's address begins with redis://, rediss:// or unix://"


USELESS: Final = "waiting does not help. Restore a backup, or name another database; what is there stays as it is"


class CannotOpen(ValueError):
    """The settings name no store that there is."""


def check(settings: StoreSettings) -> None:
    """Look whether these stores can be opened, without loading anything.

    :raises CannotOpen: a library is missing
    """
    if settings.records is not None and not settings.records.is_sqlite and find_spec("asyncpg") is None:
        raise CannotOpen(EXTRA)
    if (settings.counters is not None or settings.answers is not None) and find_spec("redis") is None:
        raise CannotOpen(REDIS_EXTRA)
    if settings.files.bucket is not None and find_spec("obstore") is None:
        raise CannotOpen(BUCKET_EXTRA)


def check_file(path: Path) -> None:
    """Look whether a file is a database of ours, as far as one can see without waiting for anybody.

    :raises CannotOpen: it is something else, or is damaged
    """
    import sqlite3  # noqa: PLC0415 - only where there is a file

    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            steps = connection.execute(VERSIONS).fetchall() if "alembic_version" in tables else []
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname in DAMAGED:
            raise CannotOpen(f"{path} is no database, or is damaged ({error}): {USELESS}") from error
        return
    if tables and not steps:
        raise CannotOpen(f"{path} is a database of something else, or lacks its version: {USELESS}")


def records(settings: RecordSettings, now: Callable[[], float] | None = None) -> Records:
    """The store of ``settings``, which has still to be opened; ``now`` is its time, where it is not to be its own.

    :raises CannotOpen: its address is of no kind that is known, or a library is missing
    """
    from pointsman.store.sql import SqlRecords  # noqa: PLC0415 - SQLAlchemy, only where there is a store

    url = settings.url.reveal()
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from pointsman.store.sqlite import Sqlite  # noqa: PLC0415

        return SqlRecords(Sqlite(settings), settings, now)
    if scheme not in ("postgres", "postgresql"):
        raise CannotOpen("the database's address begins with postgresql:// or sqlite:///")
    try:
        from pointsman.store.postgres import Postgres  # noqa: PLC0415
    except ImportError as error:
        raise CannotOpen(EXTRA) from error
    return SqlRecords(Postgres(settings), settings, now)


async def counters(
    redis: RedisSettings | None,
    loans: socket.socket | None,
    tasks: Tasks,
    rebuild: Rebuild = nothing_spent,
    write_down: WriteDown = nothing_to_write,
) -> Counters:
    """Those of all replicas, if they share a Redis; else those of a parent that lends over ``loans``; else its own.

    ``tasks`` is for what runs as long as they do.

    :raises CannotOpen: Redis's address is of no kind that is known, or a library is missing
    """
    if redis is not None:
        try:
            from pointsman.store.redis import RedisCounters  # noqa: PLC0415
        except ImportError as error:
            raise CannotOpen(REDIS_EXTRA) from error
        if loans is not None:
            loans.close()
        try:
            shared = RedisCounters(redis, tasks, rebuild)
        except ValueError as error:
            raise CannotOpen(REDIS_SCHEMES) from error
        await shared.open()
        return shared
    if loans is not None:
        from pointsman.store.parent import ParentCounters  # noqa: PLC0415 - workers only

        borrowed = ParentCounters(loans, rebuild, write_down=write_down)
        await borrowed.open()
        return borrowed
    return MemoryCounters(rebuild)


def values(redis: RedisSettings, tasks: Tasks) -> RedisValues:
    """Values in that Redis; connections are made by ``tasks`` when there is something to ask.

    :raises CannotOpen: Redis's address is of no kind that is known, or a library is missing
    """
    try:
        from pointsman.store.values import RedisValues  # noqa: PLC0415
    except ImportError as error:
        raise CannotOpen(REDIS_EXTRA) from error
    try:
        return RedisValues(redis, tasks)
    except ValueError as error:
        raise CannotOpen(REDIS_SCHEMES) from error
