from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from pointsman.store.base import StoreDown
from pointsman.store.calls import WRITES, Backend, Calls
from pointsman.store.schema import batches
from pointsman.store.settings import RecordSettings, sqlite_in
from pointsman.store.sql import SqlRecords
from pointsman.store.sqlite import Sqlite
from pointsman.store.work import NewBatch
from pointsman.wire.secret import Secret

T = TypeVar("T")
TURNS = 20
SETTINGS = RecordSettings(url=Secret("sqlite:///x"), read_seconds=30.0, write_seconds=30.0)


class Stuck:
    """Whatever is asked of it waits."""

    faults: tuple[type[Exception], ...] = (ZeroDivisionError,)
    refusals: tuple[type[Exception], ...] = ()
    what = "X"

    def __init__(self) -> None:
        self.open = 0
        self.is_free = asyncio.Event()
        self.reading: Any = SimpleNamespace(connect=self._connect)

    async def append(self, work: Callable[[sa.Connection], T]) -> T:
        async with self._connect() as connection:
            return work(cast("sa.Connection", connection))

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Any]:
        self.open += 1
        await self.is_free.wait()
        yield SimpleNamespace(execute=self._execute)
        self.open -= 1

    async def _execute(self, statement: Any) -> Any:
        return SimpleNamespace(all=lambda: [statement])


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("part", "writes", "pages"), [("", 7, 7), ("batches", WRITES, 1)])
async def test_a_part_that_has_a_share_takes_no_more_connections_than_that(part: str, writes: int, pages: int) -> None:
    for name, most in (("write", writes), ("page", pages), ("read", 7)):
        backend = Stuck()
        calls = Calls(cast("Backend", backend), SETTINGS, part)
        asked = [asyncio.create_task(getattr(calls, name)(lambda _connection: 5)) for _ in range(7)]
        await settle()
        assert backend.open == most
        backend.is_free.set()
        assert len(await asyncio.gather(*asked)) == 7
        assert backend.open == 0


async def test_a_part_that_fails_is_not_asked_any_more_and_the_others_are() -> None:
    backend = Stuck()
    backend.is_free.set()
    others, failing = (Calls(cast("Backend", backend), SETTINGS, part) for part in ("", "batches"))

    def wrong(_connection: sa.Connection) -> float:
        return 1 / 0

    for _ in range(3):
        with pytest.raises(StoreDown, match="failed"):
            await failing.write(wrong)
    with pytest.raises(StoreDown, match="is down"):
        await failing.read("a")
    assert list(await others.read("a")) == ["a"]
    assert (failing.asking.breaker.is_open, others.asking.breaker.is_open) == (True, False)


async def test_what_nobody_waits_for_any_more_is_not_written(tmp_path: Path) -> None:
    settings = replace(sqlite_in(tmp_path), write_seconds=0.2)
    hurried, patient = (SqlRecords(Sqlite(one), one) for one in (settings, sqlite_in(tmp_path)))
    await patient.open()
    await patient.work.create(NewBatch(id="b", owner="me"))
    is_over = threading.Event()

    def late(connection: sa.Connection) -> None:
        connection.execute(sa.update(batches).values(owner="you"))
        assert is_over.wait(30)

    with pytest.raises(StoreDown, match="no answer"):
        await hurried._calls.write(late)
    is_over.set()
    # There is one writer at a time: when this is written, the other one is done.
    await patient.work.create(NewBatch(id="c", owner="me"))
    row = await patient.work.get("b")
    assert row is not None
    assert row.owner == "me"
    await hurried.close()
    await patient.close()
