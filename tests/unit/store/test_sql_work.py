"""What can be told without a database that others share; the rest is in tests/contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pointsman.store.base import Refused, StoreDown
from pointsman.store.settings import sqlite_in
from pointsman.store.sql import SqlRecords
from pointsman.store.sql_work import SqlWork
from pointsman.store.sqlite import Sqlite
from pointsman.store.work import BatchRow, Claimed, NewBatch, NewLine, Result, WorkRecords
from pointsman.store.work_statements import CLEAR_BYTES


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqlRecords]:
    settings = sqlite_in(tmp_path)
    made = SqlRecords(Sqlite(settings), settings)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def work(records: SqlRecords) -> SqlWork:
    return records.work


@pytest.mark.parametrize("impossible", ["a\0", "\udfff"])
async def test_a_name_that_cannot_be_stored_is_refused(work: SqlWork, impossible: str) -> None:
    with pytest.raises(Refused, match="characters"):
        await work.create(NewBatch(id=impossible, owner="me"))
    with pytest.raises(Refused, match="characters"):
        await work.create(NewBatch(id="b", owner=impossible))
    assert await work.get(impossible) is None


async def test_texts_of_others_are_stored_as_far_as_they_can_be(work: SqlWork) -> None:
    await work.create(NewBatch(id="b", owner="me", doc={"a": "\0\ud800"}))
    row = await work.take("h")
    assert row is not None
    assert row.doc == {"a": "?"}
    await work.add_lines(row.lease, [NewLine(1, "c\0", 0, 1)])
    await work.validated(row.lease)
    (claimed,) = await work.claim("h", 1)
    assert claimed.custom_id == "c"
    await work.finish([Result(lease=claimed.lease, status=200, body=b"\0", request_id="\0r")])
    (line,) = await work.lines("b")
    assert (line.request_id, line.body) == ("r", b"\0")


async def test_without_another_time_it_is_the_databases(records: SqlRecords, work: SqlWork) -> None:
    before = records._now()
    row = await work.create(NewBatch(id="b", owner="me", seconds=5.0))
    assert before <= row.created_at <= records._now()
    assert row.expires_at == row.created_at + 5.0


async def test_what_is_not_done_is_not_told(work: SqlWork) -> None:
    await work.create(NewBatch(id="b", owner="me"))
    assert work._engine.has_work.is_set()
    work._engine.has_work.clear()
    with pytest.raises(Refused):
        await work.create(NewBatch(id="b", owner="me"))
    assert not work._engine.has_work.is_set()


async def running(work: WorkRecords, count: int, name: str = "b") -> BatchRow:
    """A batch whose lines can be run."""
    await work.create(NewBatch(id=name, owner="me"))
    row = await work.take("v")
    assert row is not None
    await work.add_lines(row.lease, [NewLine(number, f"c{number}", number, 1) for number in range(1, count + 1)])
    assert await work.validated(row.lease)
    return row


def told(claimed: list[Claimed]) -> list[tuple[int, int]]:
    """Their numbers and how often they were lost."""
    return [(one.lease.number, one.lapses) for one in claimed]


class Deaf:
    """Lets transactions be made, and their answers be lost."""

    def __init__(self, work: SqlWork) -> None:
        self._work = work
        self._write = work._write

    async def __call__(self, work: Callable[[Any], Any], /) -> Any:
        await self._write(work)
        raise StoreDown("no answer")

    async def __aenter__(self) -> None:
        self._work._write = self

    async def __aexit__(self, *_: object) -> None:
        self._work._write = self._write


async def test_lines_whose_claim_was_not_heard_of_are_claimed_again_and_not_lost(records: SqlRecords) -> None:
    now = 1_000.0
    work = SqlWork(records._read, records._read, records._calls.write, records._backend, lambda: now)
    await running(work, 6)
    mine = await work.claim("a", 2, 60.0)
    now += 1
    async with Deaf(work):
        with pytest.raises(StoreDown):
            await work.claim("a", 2, 60.0)
        # It is tried first to let go of them, which is not heard of either.
        with pytest.raises(StoreDown):
            await work.claim("a", 2, 60.0)
    assert [row.state for row in await work.lines("b")] == ["leased", "leased", "queued", "queued", "queued", "queued"]
    now += 58
    assert told(await work.claim("b", 9, 60.0)) == [(3, 0), (4, 0), (5, 0), (6, 0)]
    assert work._unheard == []
    now += 1
    assert told(await work.claim("b", 9)) == [(1, 1), (2, 1)]
    assert await work.renew("a", [one.lease for one in mine]) == {one.lease for one in mine}


async def test_a_claim_that_was_not_made_leaves_nothing_to_be_undone(work: SqlWork) -> None:
    async with Deaf(work):
        with pytest.raises(StoreDown):
            await work.claim("a", 2)
    assert work._unheard == []


async def test_pages_and_what_is_to_be_swept_have_the_time_of_reports(
    records: SqlRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []
    asking = records._queueing.asking
    ask = asking.ask

    async def asked(work: Callable[[], Awaitable[Any]], deadline: float) -> Any:
        deadlines.append(deadline)
        return await ask(work, deadline)

    monkeypatch.setattr(asking, "ask", asked)
    await records.work.lines("b")
    await records.work.get("b")
    await records.work.sweep(0.0)
    settings = records._settings
    assert deadlines == [
        settings.report_seconds,
        settings.read_seconds,
        settings.report_seconds,
        settings.write_seconds,
    ]


async def test_of_large_lines_few_are_deleted_at_once(work: SqlWork, monkeypatch: pytest.MonkeyPatch) -> None:
    await running(work, 5)
    body = bytes(CLEAR_BYTES // 2 - 1)
    await work.finish([Result(lease=one.lease, status=200, body=body) for one in await work.claim("a", 5)])
    row = await work.take("a")
    assert row is not None
    assert await work.end(row.lease)
    deleted: list[int] = []
    write = work._write

    async def written(do: Callable[[Any], int], /) -> Any:
        deleted.append(await write(do))
        return deleted[-1]

    monkeypatch.setattr(work, "_write", written)
    assert await work.clear("b") == 5
    assert deleted == [3, 2, 0]


class Clocks:
    """One that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.monotonic = 50.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.monotonic += seconds


@pytest.mark.parametrize("jump", [-3_600.0, 3_600.0])
async def test_a_clock_that_is_set_takes_nothing_from_who_lives_and_keeps_nothing_of_who_is_dead(
    records: SqlRecords, jump: float
) -> None:
    clocks = Clocks()

    def process() -> SqlWork:
        read, write = records._read, records._calls.write
        return SqlWork(read, read, write, records._backend, lambda: clocks.now, lambda: clocks.monotonic)

    alive, other = process(), process()
    await running(alive, 5)
    lives = [one.lease for one in await alive.claim("alive", 1, 60.0)]
    await alive.claim("dead", 1, 60.0)
    await alive.give_back([one.lease for one in await other.claim("other", 1, 60.0)], 300.0)
    clocks.pass_by(1)
    assert told(await other.claim("dead", 1, 60.0)) == [(4, 0)]
    await alive.create(NewBatch(id="old", owner="me"))
    assert await alive.take("dead", 60.0) is not None
    clocks.now += jump
    await alive.create(NewBatch(id="new", owner="me"))
    # What nobody has is not in doubt.
    taken = await other.take("other", 600.0)
    assert taken is not None
    assert taken.id == "new"
    begun = [one.lease.number for one in await other.claim("other", 9, 600.0)]
    assert begun == ([5] if jump < 0 else [3, 5])
    clocks.pass_by(20)
    assert await alive.renew("alive", lives, 60.0) == set()
    clocks.pass_by(39)
    assert await other.take("next", 60.0) is None
    assert await other.claim("next", 9, 60.0) == []
    clocks.pass_by(1)
    taken = await other.take("next", 60.0)
    assert taken is not None
    assert taken.id == "old"
    # Set back, nobody can tell that they were lost, and so it is not said of them.
    lost = told(await other.claim("next", 9, 60.0))
    assert lost == ([(2, 0), (3, 0), (4, 0)] if jump < 0 else [(2, 1), (4, 1)])
    assert other._jumps.last is None
    clocks.pass_by(19)
    assert await other.claim("last", 9, 60.0) == []
    clocks.pass_by(1)
    assert told(await other.claim("last", 9, 60.0)) == [(1, 1)]
