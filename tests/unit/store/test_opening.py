from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pointsman.store.lending import Lender
from pointsman.store.memory import MemoryCounters
from pointsman.store.opening import CannotOpen, check, check_file, counters, records, values
from pointsman.store.parent import ParentCounters
from pointsman.store.redis import RedisCounters
from pointsman.store.settings import BucketPlace, FileSettings, RecordSettings, RedisSettings, StoreSettings
from pointsman.store.sql import SqlRecords
from pointsman.store.values import RedisValues
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

CANARY = "password-canary-1f"


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h:1/d", "sqlite:///x.db"])
def test_an_address_says_which_store_it_is(url: str) -> None:
    assert isinstance(records(RecordSettings(url=Secret(url))), SqlRecords)


@pytest.mark.parametrize("url", [f"mysql://u:{CANARY}@h/d", CANARY, ""])
def test_another_kind_of_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(CannotOpen) as refused:
        records(RecordSettings(url=Secret(url)))
    assert CANARY not in str(refused.value)


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "pointsman.store.postgres", raising=False)
    with pytest.raises(CannotOpen, match=r"pointsman\[postgres\]"):
        records(RecordSettings(url=Secret("postgresql://u@h/d")))


@pytest.mark.parametrize(
    "module", ["opening", "base", "spool", "breaker", "settings", "sealing", "memory", "parent", "lending"]
)
def test_nothing_heavy_is_loaded_before_a_store_is_made(module: str) -> None:
    heavy = "sqlalchemy alembic aiosqlite asyncpg redis cryptography sqlite3"
    code = f"import sys, pointsman.store.{module}; print(*set('{heavy}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(logging.getLogger("test"), 10)


async def test_a_process_alone_counts_for_itself(tasks: Tasks) -> None:
    assert isinstance(await counters(None, None, tasks), MemoryCounters)


async def test_a_worker_borrows_from_its_parent(tasks: Tasks) -> None:
    lender = Lender()
    ours, theirs = socket.socketpair()
    await lender.serve(ours)
    made = await counters(None, theirs, tasks)
    assert isinstance(made, ParentCounters)
    await made.close()
    async with asyncio.timeout(5):
        while lender._lines:
            await asyncio.sleep(0)


async def test_a_worker_that_shares_a_redis_borrows_from_nobody(tasks: Tasks) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        ours, theirs = socket.socketpair()
        made = await counters(RedisSettings(port=held.getsockname()[1]), theirs, tasks)
        assert isinstance(made, RedisCounters)
        assert ours.recv(1) == b""
        ours.close()
        await made.close()
        assert await tasks.close(1) == []


async def test_another_kind_of_redis_is_refused_and_not_repeated(tasks: Tasks) -> None:
    with pytest.raises(CannotOpen, match="redis://") as refused:
        await counters(RedisSettings(url=Secret(f"http://:{CANARY}@h")), None, tasks)
    assert CANARY not in str(refused.value)


async def test_a_missing_library_for_redis_is_said(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("redis", "values"):
        monkeypatch.setitem(sys.modules, f"pointsman.store.{module}", None)
    with pytest.raises(CannotOpen, match=r"pointsman\[redis\]"):
        await counters(RedisSettings(), None, tasks)
    with pytest.raises(CannotOpen, match=r"pointsman\[redis\]"):
        values(RedisSettings(), tasks)


def test_values_are_in_a_redis_by_its_address_and_nothing_is_asked_yet(tasks: Tasks) -> None:
    assert isinstance(values(RedisSettings(), tasks), RedisValues)
    with pytest.raises(CannotOpen, match="redis://") as refused:
        values(RedisSettings(url=Secret(f"http://:{CANARY}@h")), tasks)
    assert CANARY not in str(refused.value)
    assert len(tasks) == 0


@pytest.mark.parametrize(
    ("settings", "library"),
    [
        (StoreSettings(records=RecordSettings(url=Secret("postgresql://h/d"))), "asyncpg"),
        (StoreSettings(counters=RedisSettings()), "redis"),
        (StoreSettings(answers=RedisSettings()), "redis"),
        (StoreSettings(files=FileSettings(bucket=BucketPlace("s3", "b"))), "obstore"),
    ],
)
def test_a_library_that_is_missing_is_noticed_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, settings: StoreSettings, library: str
) -> None:
    check(settings)
    monkeypatch.setattr("pointsman.store.opening.find_spec", lambda name: None if name == library else object())
    with pytest.raises(CannotOpen, match="pip install"):
        check(settings)
    check(StoreSettings(records=RecordSettings(url=Secret("sqlite:///x"))))


def foreign(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


@pytest.mark.parametrize(
    ("statements", "is_ours"),
    [
        ((), True),
        (("CREATE TABLE keys (id)",), False),
        (("CREATE TABLE keys (id)", "CREATE TABLE alembic_version (version_num)"), False),
        (
            (
                "CREATE TABLE keys (id)",
                "CREATE TABLE alembic_version (version_num)",
                "INSERT INTO alembic_version VALUES ('0001')",
            ),
            True,
        ),
    ],
)
def test_a_database_of_something_else_is_refused(tmp_path: Path, statements: tuple[str, ...], is_ours: bool) -> None:
    path = foreign(tmp_path / "x.db", *statements)
    if is_ours:
        check_file(path)
        return
    with pytest.raises(CannotOpen, match="waiting does not help") as refused:
        check_file(path)
    assert str(path) in str(refused.value)


def test_what_is_no_database_is_refused_and_what_cannot_be_read_now_is_for_later(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("this is no database, as anybody can see" * 20)
    with pytest.raises(CannotOpen, match="is no database"):
        check_file(path)
    check_file(tmp_path / "nothing" / "x.db")


def test_a_database_that_somebody_changes_at_the_moment_is_no_other(tmp_path: Path) -> None:
    path = foreign(tmp_path / "x.db", "CREATE TABLE keys (id)")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        check_file(path)
