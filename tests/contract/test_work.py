"""What every queue of batches does, in memory and on real databases."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from contract.databases import new_database, sqlite_url
from contract.postgres import PostgresServer
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError
from work import MemoryWork

from pointsman.batches.protocol.states import step
from pointsman.store import work_statements as sql
from pointsman.store.base import Refused
from pointsman.store.opening import records
from pointsman.store.settings import RecordSettings
from pointsman.store.sql import SqlRecords
from pointsman.store.work import (
    PAGE_BYTES,
    BatchLease,
    BatchQuery,
    BatchRow,
    Claimed,
    LineLease,
    NewBatch,
    NewLine,
    Result,
    WorkRecords,
)
from pointsman.wire.secret import Secret

DAY = 86_400.0
SECONDS: dict[str, Any] = {"read_seconds": 30.0, "write_seconds": 30.0}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def two(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[list[WorkRecords]]:
    """The same queue, as two processes have it."""
    if request.param == "memory":
        yield [MemoryWork(clock)] * 2
        return
    is_file = request.param == "sqlite"
    address = sqlite_url(tmp_path) if is_file else await new_database(request.getfixturevalue("postgres"))
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            one = records(RecordSettings(url=Secret(address), connections=3, **SECONDS), clock)
            await one.open()
            stack.push_async_callback(one.close)
            opened.append(one.work)
        yield opened


@pytest.fixture
def work(two: list[WorkRecords]) -> WorkRecords:
    return two[0]


def lines(count: int) -> list[NewLine]:
    return [NewLine(number, f"c{number}", (number - 1) * 10, 9) for number in range(1, count + 1)]


async def running(work: WorkRecords, count: int = 3, name: str = "b1", **values: object) -> BatchRow:
    """A batch whose lines can be run."""
    await work.create(NewBatch(id=name, owner="me", **values))  # type: ignore[arg-type]
    row = await work.take("validator")
    assert row is not None
    assert await work.add_lines(row.lease, lines(count))
    assert await work.validated(row.lease)
    return await there(work, name)


async def there(work: WorkRecords, name: str = "b1") -> BatchRow:
    row = await work.get(name)
    assert row is not None
    return row


def result(claimed: Claimed, *, is_failed: bool = False) -> Result:
    return Result(
        lease=claimed.lease,
        status=500 if is_failed else 200,
        body=b"\x00\xff" + claimed.custom_id.encode(),
        request_id="r",
        is_failed=is_failed,
        input_tokens=10,
        cached_tokens=4,
        output_tokens=5,
        reasoning_tokens=2,
        cost_nano_usd=7,
    )


async def finished(work: WorkRecords, count: int = 3) -> BatchRow:
    await running(work, count)
    assert await work.finish([result(one) for one in await work.claim("a", count)]) == set()
    return await there(work)


# The life of a batch


async def test_a_batch_goes_from_its_making_to_its_end(work: WorkRecords, clock: Clock) -> None:
    made = await work.create(
        NewBatch(id="b1", owner="me", key_id="k", kind="anthropic", total=9, doc={"a": ["ü", None]})
    )
    assert made == await work.get("b1")
    assert (made.state, made.total, made.created_at, made.expires_at) == ("validating", 9, 1_000.0, 1_000.0 + DAY)
    assert (made.owner, made.key_id, made.kind, made.doc) == ("me", "k", "anthropic", {"a": ["ü", None]})
    clock.now += 1
    taken = await work.take("v")
    assert taken is not None
    assert step(taken) == "validate"
    assert await work.take("w") is None
    assert await work.claim("w", 10) == []
    assert await work.add_lines(taken.lease, lines(2))
    assert await work.add_lines(taken.lease, lines(3))
    assert await work.add_lines(taken.lease, [])
    assert await work.validated(taken.lease, {"b": 1})
    row = await there(work)
    assert (row.state, row.total, row.in_progress_at, row.doc) == ("in_progress", 3, 1_001.0, {"b": 1})
    clock.now += 1
    claimed = await work.claim("w", 10)
    assert [(one.custom_id, one.offset, one.length, one.lapses) for one in claimed] == [
        ("c1", 0, 9, 0),
        ("c2", 10, 9, 0),
        ("c3", 20, 9, 0),
    ]
    assert await work.finish([result(claimed[0]), result(claimed[1], is_failed=True)]) == set()
    row = await there(work)
    assert (row.completed, row.failed, row.state, row.ending) == (1, 1, "in_progress", "")
    assert await work.finish([result(claimed[2])]) == set()
    taken = await work.take("f")
    assert taken is not None
    assert step(taken) == "finalize"
    assert (taken.state, taken.ending, taken.finalizing_at) == ("finalizing", "completed", 1_002.0)
    assert (taken.completed, taken.failed) == (2, 1)
    assert (taken.input_tokens, taken.cached_tokens, taken.output_tokens) == (30, 12, 15)
    assert (taken.reasoning_tokens, taken.cost_nano_usd) == (6, 21)
    clock.now += 1
    ended = await work.end(taken.lease, {"output": "f"})
    assert ended is not None
    assert (ended.state, ended.ended_at, ended.doc, step(ended)) == ("completed", 1_003.0, {"output": "f"}, None)
    assert await work.take("g") is None
    assert await work.end(taken.lease) == ended


async def test_lines_are_read_in_their_order_whatever_became_of_them(work: WorkRecords) -> None:
    await running(work, 4)
    first, second = await work.claim("a", 2)
    await work.finish([result(second, is_failed=True)])
    rows = await work.lines("b1")
    assert [(row.number, row.state) for row in rows] == [(1, "leased"), (2, "done"), (3, "queued"), (4, "queued")]
    done = rows[1]
    assert (done.status, done.is_failed, done.request_id, done.body) == (500, True, "r", b"\x00\xffc2")
    assert (done.custom_id, done.offset, done.length) == ("c2", 10, 9)
    assert rows[0].body == b""
    assert [row.number for row in await work.lines("b1", after=1, limit=2)] == [2, 3]
    assert await work.lines("b2") == []
    assert first.lease == LineLease("b1", 1, 1)


async def test_of_large_results_few_are_read_at_once(work: WorkRecords) -> None:
    await running(work, 6)
    third = b"x" * (PAGE_BYTES // 3 + 1)
    claimed = await work.claim("a", 5)
    await work.finish([replace(result(one), body=third) for one in claimed])
    assert [row.number for row in await work.lines("b1")] == [1, 2, 3]
    rest = await work.lines("b1", after=3)
    assert [(row.number, len(row.body)) for row in rest] == [(4, len(third)), (5, len(third)), (6, 0)]
    assert [row.number for row in await work.lines("b1", after=3, limit=1)] == [4]
    assert await work.lines("b1", after=6) == []


async def test_what_is_wrong_with_the_input_makes_a_batch_fail(work: WorkRecords) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    taken = await work.take("v")
    assert taken is not None
    assert await work.end(taken.lease) is None
    assert await work.close(taken.lease, "cancelled") is None
    failed = await work.end(taken.lease, {"errors": 1}, "failed")
    assert failed is not None
    assert (failed.state, failed.ending, failed.doc) == ("failed", "failed", {"errors": 1})
    assert (await work.backlog()).batches == 0


async def test_an_id_is_given_once_and_can_be_stored(work: WorkRecords) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    with pytest.raises(Refused):
        await work.create(NewBatch(id="b1", owner="you"))
    assert await work.get("b\0") is None
    assert await work.get("b2") is None
    assert await work.cancel("b2") is None
    assert await work.pause("b2", is_paused=True) is None


async def test_batches_of_an_owner_come_page_by_page(work: WorkRecords, clock: Clock) -> None:
    for number, owner, kind in ((1, "me", "openai"), (2, "you", "openai"), (3, "me", "anthropic"), (4, "me", "openai")):
        await work.create(NewBatch(id=f"b{number}", owner=owner, kind=kind))
        clock.now += number % 2

    async def ids(query: BatchQuery, **more: object) -> list[str]:
        return [row.id for row in await work.find(query, **more)]  # type: ignore[arg-type]

    assert await ids(BatchQuery()) == ["b4", "b3", "b2", "b1"]
    assert await ids(BatchQuery(owner="me")) == ["b4", "b3", "b1"]
    assert await ids(BatchQuery(owner="me", kind="openai")) == ["b4", "b1"]
    third = await there(work, "b3")
    assert await ids(BatchQuery(), after=(third.created_at, "b3"), limit=1) == ["b2"]
    assert await ids(BatchQuery(), after=(third.created_at, "b3"), is_ascending=True) == ["b4"]
    assert await ids(BatchQuery(), is_ascending=True, limit=2) == ["b1", "b2"]


# Leases


async def test_a_line_is_leased_to_one_and_to_the_next_when_its_time_is_over(work: WorkRecords, clock: Clock) -> None:
    await running(work, 1)
    (first,) = await work.claim("a", 10, 60.0)
    assert await work.claim("b", 10) == []
    clock.now += 59
    assert await work.renew("a", [first.lease], 60.0) == set()
    clock.now += 59
    assert await work.claim("b", 10) == []
    clock.now += 1
    (second,) = await work.claim("b", 10)
    assert (second.lease.fence, second.lapses) == (first.lease.fence + 1, 1)
    assert await work.renew("a", [first.lease]) == {first.lease}
    assert await work.finish([result(first)]) == {first.lease}
    assert (await there(work)).completed == 0
    assert await work.finish([result(second)]) == set()
    assert await work.finish([result(first)]) == {first.lease}
    assert (await there(work)).completed == 1


async def test_who_is_late_can_still_finish_what_nobody_else_has_taken(work: WorkRecords, clock: Clock) -> None:
    await running(work, 2)
    claimed = await work.claim("a", 2)
    clock.now += 600
    assert await work.renew("a", [claimed[0].lease]) == set()
    assert await work.finish([result(one) for one in claimed]) == set()


async def test_a_result_that_is_written_again_is_counted_once(work: WorkRecords) -> None:
    await running(work, 2)
    claimed = await work.claim("a", 2)
    again = [result(claimed[0]), result(claimed[0])]
    assert await work.finish(again) == set()
    assert await work.finish([*again, result(claimed[1])]) == set()
    assert await work.finish([result(claimed[1])]) == set()
    row = await there(work)
    assert (row.completed, row.input_tokens, row.state) == (2, 20, "finalizing")
    assert await work.finish([]) == set()
    assert await work.renew("a", []) == set()


async def test_what_is_given_back_is_taken_when_its_time_has_come(work: WorkRecords, clock: Clock) -> None:
    await running(work, 2)
    first, second = await work.claim("a", 2)
    await work.give_back([first.lease], 5.0)
    await work.give_back([second.lease])
    await work.give_back([])
    assert await work.finish([result(first)]) == {first.lease}
    assert [one.lease.number for one in await work.claim("b", 2)] == [2]
    clock.now += 5
    (again,) = await work.claim("b", 2)
    assert (again.lease, again.lapses) == (LineLease("b1", 1, 2), 0)
    await work.give_back([first.lease])
    assert await work.renew("b", [again.lease]) == set()


async def test_what_is_given_back_has_lapsed_as_often_as_is_said(work: WorkRecords, clock: Clock) -> None:
    await running(work, 3)
    await work.claim("a", 2)
    clock.now += 100
    leases = [one.lease for one in await work.claim("b", 3)]
    await work.give_back(leases, 0.0, {leases[0]: 0, leases[2]: 4})
    # Nobody has them any more.
    await work.give_back(leases, 0.0, dict.fromkeys(leases, 9))
    assert [one.lapses for one in await work.claim("b", 3)] == [0, 1, 4]


async def test_neither_what_nobody_has_begun_nor_what_was_given_back_or_lost_waits_for_all_of_the_other(
    work: WorkRecords, clock: Clock
) -> None:
    await running(work, 20)
    claimed = [one.lease for one in await work.claim("a", 7)]
    assert [lease.number for lease in claimed] == [1, 2, 3, 4, 5, 6, 7]
    clock.now += 50
    await work.give_back(claimed[:4], 5.0)
    await work.give_back([claimed[5]])
    clock.now += 10
    # By now those that nobody has given back are lost.
    taken = [[one.lease.number for one in await work.claim("b", count)] for count in (4, 8, 3, 4, 5)]
    assert taken == [[6, 8, 9, 10], [1, 2, 11, 12, 13, 14, 15, 16], [17, 18, 19], [3, 4, 5, 20], [7]]


async def test_what_is_nearly_over_is_gone_on_with_before_another_one_is_begun(work: WorkRecords, clock: Clock) -> None:
    await running(work, 1)
    await work.create(NewBatch(id="b2", owner="me"))
    clock.now += 5
    await work.finish([result(one) for one in await work.claim("a", 1)])
    taken = [await work.take("v"), await work.take("v")]
    assert [row and (row.id, step(row)) for row in taken] == [("b1", "finalize"), ("b2", "validate")]


async def test_a_batch_of_a_provider_that_goes_on_keeps_no_other_from_being_begun(
    work: WorkRecords, clock: Clock
) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    taken = await work.take("v")
    assert taken is not None
    await work.create(NewBatch(id="b2", owner="me"))
    clock.now += 5
    await work.validated(taken.lease, None, "provider")
    assert [row and row.id for row in [await work.take("v"), await work.take("v")]] == ["b2", "b1"]


async def test_lines_of_one_batch_alone_can_be_claimed(work: WorkRecords) -> None:
    for name in ("b1", "b2", "b3"):
        await running(work, 2, name)
    for name in ("b2", "b1", "b2"):
        (claimed,) = await work.claim("a", 1, only=name)
        assert claimed.lease.batch == name
    assert await work.claim("a", 1, only="b2") == []


async def test_what_is_done_cannot_be_given_back(work: WorkRecords) -> None:
    await running(work, 2)
    (claimed,) = await work.claim("a", 1)
    await work.finish([result(claimed)])
    await work.give_back([claimed.lease])
    assert [row.state for row in await work.lines("b1")] == ["done", "queued"]


async def test_who_stops_gives_everything_back_at_once(work: WorkRecords) -> None:
    await running(work, 3)
    held = await work.claim("a", 2)
    await work.create(NewBatch(id="b2", owner="me"))
    taken = await work.take("a")
    assert taken is not None
    other = await work.claim("b", 1)
    await work.release("a")
    assert await work.finish([result(held[0])]) == {held[0].lease}
    assert not await work.hold(taken.lease)
    assert [one.lease.number for one in await work.claim("c", 9)] == [1, 2]
    again = await work.take("c")
    assert again is not None
    assert (again.id, again.fence) == ("b2", taken.fence + 1)
    assert await work.finish([result(one) for one in other]) == set()


async def test_who_stops_gives_lines_of_many_batches_back(work: WorkRecords, clock: Clock) -> None:
    for number in range(3):
        await running(work, 2, f"b{number}")
    await work.claim("a", 1, 10.0)
    clock.now += 10
    await work.claim("a", 1)
    await work.claim("b", 1)
    await work.release("a")
    claimed = [one for _ in range(3) for one in await work.claim("c", 2)]
    assert [(one.lease.batch, one.lease.number, one.lapses) for one in claimed] == [
        ("b0", 1, 1),
        ("b0", 2, 0),
        ("b1", 1, 0),
        ("b1", 2, 0),
        ("b2", 2, 0),
    ]


async def test_lines_of_many_batches_are_renewed_and_finished_together(work: WorkRecords) -> None:
    for number in range(3):
        await running(work, 2, f"b{number}")
    claimed = [one for _ in range(3) for one in await work.claim("a", 2)]
    assert {one.lease.batch for one in claimed} == {"b0", "b1", "b2"}
    gone = LineLease("b9", 1, 1)
    assert await work.renew("a", [*(one.lease for one in claimed), gone]) == {gone}
    await work.give_back([claimed[0].lease])
    assert await work.finish([result(one) for one in claimed]) == {claimed[0].lease}
    assert [(await there(work, f"b{number}")).completed for number in range(3)] == [1, 2, 2]


async def test_batches_take_turns(work: WorkRecords) -> None:
    for name in ("b1", "b2", "b3"):
        await running(work, 3, name)
    turns = [(await work.claim("a", 1))[0].lease.batch for _ in range(5)]
    assert turns == ["b1", "b2", "b3", "b1", "b2"]
    assert [one.lease.batch for one in await work.claim("a", 5, without=["b1", "b3"])] == ["b2"]
    assert await work.claim("a", 5, without=["b1", "b2", "b3"]) == []


async def test_a_step_is_one_processes_and_the_next_ones_when_its_time_is_over(work: WorkRecords, clock: Clock) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    first = await work.take("a", 60.0)
    assert first is not None
    clock.now += 50
    assert await work.hold(first.lease, 60.0)
    clock.now += 50
    assert await work.take("b") is None
    clock.now += 10
    second = await work.take("b")
    assert second is not None
    assert second.lease == BatchLease("b1", first.fence + 1)
    assert not await work.hold(first.lease)
    assert not await work.add_lines(first.lease, lines(1))
    assert not await work.validated(first.lease)
    assert not await work.leave(first.lease)
    assert not await work.fill(first.lease, [])
    assert await work.close(first.lease, "expired") is None
    assert await work.end(first.lease, None, "failed") is None
    assert await work.lines("b1") == []


async def test_a_step_that_is_left_is_taken_again_after_its_time(work: WorkRecords, clock: Clock) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    first = await work.take("a")
    assert first is not None
    assert await work.leave(first.lease, 30.0, {"seen": 1})
    assert not await work.leave(first.lease)
    clock.now += 29
    assert await work.take("b") is None
    clock.now += 1
    again = await work.take("b")
    assert again is not None
    assert again.doc == {"seen": 1}


# Stopping


async def test_a_batch_that_is_cancelled_ends_when_what_has_begun_is_done(work: WorkRecords, clock: Clock) -> None:
    await running(work, 3)
    claimed = await work.claim("a", 2)
    row = await work.cancel("b1")
    assert row is not None
    assert (row.state, row.cancelling_at) == ("cancelling", 1_000.0)
    assert await work.claim("a", 10) == []
    assert await work.take("b") is None
    assert await work.renew("a", [one.lease for one in claimed]) == set()
    assert await work.finish([result(claimed[0])]) == set()
    await work.give_back([claimed[1].lease])
    taken = await work.take("b")
    assert taken is not None
    assert step(taken) == "close"
    closed = await work.close(taken.lease, "cancelled")
    assert closed is not None
    assert (closed.state, closed.ending, step(closed)) == ("cancelling", "cancelled", "finalize")
    assert await work.finish([result(claimed[1])]) == {claimed[1].lease}
    clock.now += 5
    ended = await work.end(closed.lease)
    assert ended is not None
    assert (ended.state, ended.ended_at) == ("cancelled", 1_005.0)
    assert (ended.total, ended.completed, ended.failed) == (3, 1, 0)
    assert await work.cancel("b1") == ended


async def test_a_cancelled_batch_does_not_wait_for_ever(work: WorkRecords, clock: Clock) -> None:
    await running(work, 1)
    (claimed,) = await work.claim("a", 1, 5_000.0)
    await work.cancel("b1")
    clock.now += 599
    assert await work.take("b") is None
    clock.now += 1
    taken = await work.take("b")
    assert taken is not None
    assert await work.close(taken.lease, "cancelled") is not None
    assert await work.renew("a", [claimed.lease]) == {claimed.lease}
    assert await work.finish([result(claimed)]) == {claimed.lease}


async def test_a_cancelled_batch_does_not_wait_for_what_was_given_back_for_later(work: WorkRecords) -> None:
    await running(work, 1)
    (claimed,) = await work.claim("a", 1)
    await work.give_back([claimed.lease], 300.0)
    await work.cancel("b1")
    taken = await work.take("b")
    assert taken is not None
    assert step(taken) == "close"


async def test_who_validates_a_batch_that_is_cancelled_is_stopped(work: WorkRecords) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    taken = await work.take("v")
    assert taken is not None
    await work.add_lines(taken.lease, lines(2))
    await work.cancel("b1")
    assert not await work.hold(taken.lease)
    assert not await work.add_lines(taken.lease, lines(3))
    assert not await work.validated(taken.lease)
    again = await work.take("w")
    assert again is not None
    assert step(again) == "close"
    assert len(await work.lines("b1")) == 2


async def test_all_lines_of_a_cancelled_batch_can_be_done(work: WorkRecords) -> None:
    await running(work, 2)
    claimed = await work.claim("a", 2)
    await work.cancel("b1")
    await work.finish([result(one) for one in claimed])
    taken = await work.take("b")
    assert taken is not None
    assert (taken.state, taken.ending, taken.completed) == ("cancelling", "", 2)


async def test_what_is_nearly_over_is_not_cancelled(work: WorkRecords) -> None:
    row = await finished(work)
    assert row.state == "finalizing"
    assert await work.cancel("b1") == row


async def test_a_batch_whose_time_is_over_is_run_no_further(work: WorkRecords, clock: Clock) -> None:
    await running(work, 3, seconds=100.0)
    claimed = await work.claim("a", 1)
    clock.now += 99
    assert await work.renew("a", [claimed[0].lease]) == set()
    clock.now += 1
    assert await work.claim("a", 1) == []
    assert await work.take("b") is None
    assert await work.finish([result(claimed[0])]) == set()
    taken = await work.take("b")
    assert taken is not None
    assert step(taken) == "close"
    closed = await work.close(taken.lease, "expired", {"x": 1})
    assert closed is not None
    assert (closed.state, closed.ending, closed.finalizing_at, closed.doc) == (
        "finalizing",
        "expired",
        1_100.0,
        {"x": 1},
    )
    ended = await work.end(closed.lease)
    assert ended is not None
    assert (ended.state, ended.total, ended.completed) == ("expired", 3, 1)


async def test_a_paused_batch_begins_nothing_until_it_goes_on(work: WorkRecords, clock: Clock) -> None:
    await running(work, 2, seconds=100.0)
    (claimed,) = await work.claim("a", 1)
    row = await work.pause("b1", is_paused=True)
    assert row is not None
    assert row.is_paused
    assert await work.claim("a", 1) == []
    assert await work.finish([result(claimed)]) == set()
    row = await work.pause("b1", is_paused=False)
    assert row is not None
    assert not row.is_paused
    assert len(await work.claim("a", 1)) == 1
    await work.pause("b1", is_paused=True)
    clock.now += 100
    assert await work.take("b") is not None


# Batches that a provider runs


async def test_a_providers_batch_is_asked_after_and_filled(work: WorkRecords, clock: Clock) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    taken = await work.take("v")
    assert taken is not None
    await work.add_lines(taken.lease, lines(3))
    assert await work.validated(taken.lease, {"at": "p"}, "provider")
    assert await work.claim("a", 10) == []
    taken = await work.take("v")
    assert taken is not None
    assert step(taken) == "poll"
    assert await work.leave(taken.lease, 60.0, {"polled": 1})
    clock.now += 60
    taken = await work.take("v")
    assert taken is not None
    claimed = [Claimed(LineLease("b1", number, 0), f"c{number}", 0, 0, 0) for number in (1, 2, 3, 9)]
    assert await work.fill(taken.lease, [result(one) for one in claimed[:2]])
    assert await work.fill(taken.lease, [result(one, is_failed=True) for one in claimed])
    row = await there(work)
    assert (row.completed, row.failed, row.state, row.ending) == (2, 1, "finalizing", "completed")
    assert await work.take("w") is None
    assert await work.hold(taken.lease)
    assert not await work.fill(taken.lease, [result(claimed[0])])
    assert await work.end(taken.lease) is not None


async def test_a_providers_batch_that_is_cancelled_can_still_be_filled(work: WorkRecords, clock: Clock) -> None:
    await running(work, 2)
    await work.cancel("b1")
    taken = await work.take("v")
    assert taken is not None
    assert await work.leave(taken.lease, 60.0, None, "provider")
    clock.now += 60
    taken = await work.take("v")
    assert taken is not None
    assert step(taken) == "poll"
    assert await work.fill(taken.lease, [result(Claimed(LineLease("b1", 1, 0), "c1", 0, 0, 0))])
    closed = await work.close(taken.lease, "cancelled")
    assert closed is not None
    assert (closed.state, closed.completed) == ("cancelling", 1)


async def test_a_cancelled_batch_of_a_provider_is_looked_after_at_once(work: WorkRecords) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    taken = await work.take("v")
    assert taken is not None
    await work.add_lines(taken.lease, lines(1))
    await work.validated(taken.lease, None, "provider")
    taken = await work.take("v")
    assert taken is not None
    await work.leave(taken.lease, 3_600.0)
    assert await work.take("v") is None
    await work.cancel("b1")
    taken = await work.take("v")
    assert taken is not None
    await work.leave(taken.lease, 60.0)
    assert await work.take("v") is None


async def test_who_asks_a_provider_keeps_the_step_when_the_batch_is_cancelled(work: WorkRecords) -> None:
    await work.create(NewBatch(id="b1", owner="me"))
    taken = await work.take("v")
    assert taken is not None
    await work.add_lines(taken.lease, lines(1))
    await work.validated(taken.lease, None, "provider")
    taken = await work.take("v")
    assert taken is not None
    await work.cancel("b1")
    assert await work.take("w") is None
    assert await work.hold(taken.lease)
    assert await work.fill(taken.lease, [])


# Watching and cleaning


async def test_the_batches_of_an_owner_that_have_not_ended_are_counted(work: WorkRecords) -> None:
    for number in range(4):
        await work.create(NewBatch(id=f"b{number}", owner="you" if number else "me"))
    taken = await work.take("v")
    assert taken is not None
    assert await work.end(taken.lease, state="failed")
    counts = [await work.count_open(owner) for owner in ("me", "you", "nobody")]
    assert counts == ([0, 3, 0] if taken.owner == "me" else [1, 2, 0])


async def test_the_batches_that_an_owner_has_made_since_then_are_counted_whether_they_have_ended_or_not(
    work: WorkRecords, clock: Clock
) -> None:
    for number in range(4):
        await work.create(NewBatch(id=f"b{number}", owner="you" if number == 2 else "me"))
        clock.now += 10
    taken = await work.take("v")
    assert taken is not None
    assert await work.end(taken.lease, state="failed")
    assert [await work.count_made("me", since) for since in (999.0, 1_000.0, 1_009.0, 1_030.0)] == [3, 2, 2, 0]
    assert [await work.count_made(owner, 0.0) for owner in ("you", "nobody")] == [1, 0]


async def test_the_backlog_is_what_is_still_to_be_done(work: WorkRecords, clock: Clock) -> None:
    assert await work.backlog() == type(await work.backlog())(0, 0, None)
    await running(work, 3)
    clock.now += 5
    await running(work, 2, "b2")
    await work.finish([result(one) for one in await work.claim("a", 2)])
    backlog = await work.backlog()
    assert (backlog.batches, backlog.lines, backlog.oldest_at) == (2, 3, 1_000.0)
    await work.cancel("b2")
    taken = await work.take("v")
    assert taken is not None
    await work.close(taken.lease, "cancelled")
    assert (await work.backlog()).lines == 1
    await work.end(taken.lease)
    assert (await work.backlog()).batches == 1


async def test_lines_go_when_their_batch_has_ended_and_it_goes_later(work: WorkRecords, clock: Clock) -> None:
    await finished(work)
    assert await work.clear("b1") == 0
    assert not await work.delete("b1")
    taken = await work.take("f")
    assert taken is not None
    await work.end(taken.lease)
    assert await work.clear("b1") == 3
    assert await work.clear("b1") == 0
    assert await work.lines("b1") == []
    clock.now += 10
    assert await work.sweep(1_000.0) == 0
    assert await work.sweep(1_001.0) == 1
    assert await work.get("b1") is None


async def test_sweeping_takes_the_lines_of_whatever_has_ended_and_of_nothing_else(work: WorkRecords) -> None:
    await finished(work)
    taken = await work.take("f")
    assert taken is not None
    await work.end(taken.lease)
    await running(work, 3, "b2")
    assert await work.sweep(0.0) == 0
    assert await work.lines("b1") == []
    assert len(await work.lines("b2")) == 3
    assert await work.delete("b1")
    assert not await work.delete("b1")
    assert not await work.delete("b2")
    assert await work.get("b1") is None


async def test_work_that_comes_is_told(work: WorkRecords) -> None:
    await work.wait(0.0)
    waiting = asyncio.create_task(work.wait(30.0))
    await asyncio.sleep(0)
    await work.create(NewBatch(id="b1", owner="me"))
    async with asyncio.timeout(20):
        await waiting


# Trouble


async def test_who_is_frozen_in_the_middle_of_a_transaction_does_not_stop_the_others(
    postgres: PostgresServer, clock: Clock
) -> None:
    address = Secret(await new_database(postgres))
    frozen = records(RecordSettings(url=address, read_seconds=30.0, write_seconds=0.5), clock)
    other = records(RecordSettings(url=address, **SECONDS), clock)
    assert isinstance(frozen, SqlRecords)
    await frozen.open()
    await other.open()
    await running(other.work, 3)
    async with frozen._backend.writing.connect() as connection:
        locked = await connection.execute(sql.ALONE, {"ids": ["b1"]})
        assert [row.id for row in locked] == ["b1"]
        # Nothing comes from there until the server has ended it.
        assert len(await other.work.claim("b", 3)) == 3
        with pytest.raises(DBAPIError):
            await connection.commit()
    assert len(await frozen.work.lines("b1")) == 3
    await frozen.close()
    await other.close()


# Many at once


async def test_no_line_is_claimed_by_two_and_none_is_left(two: list[WorkRecords]) -> None:
    await running(two[0], 300)

    async def all_of(work: WorkRecords, holder: str) -> list[LineLease]:
        mine: list[LineLease] = []
        while claimed := await work.claim(holder, 7):
            assert await work.finish([result(one) for one in claimed]) == set()
            mine += [one.lease for one in claimed]
        return mine

    shares = await asyncio.gather(*(all_of(work, f"h{place}{n}") for place, work in enumerate(two) for n in range(2)))
    # Who finds that another one is just taking the last ones comes back with nothing.
    shares.append(await all_of(two[0], "last"))
    leases = [lease for share in shares for lease in share]
    assert sorted(lease.number for lease in leases) == list(range(1, 301))
    row = await there(two[0])
    assert (row.completed, row.state) == (300, "finalizing")


@pytest.mark.parametrize("seed", range(3))
async def test_processes_that_die_or_stall_lose_no_line_and_write_none_twice(
    two: list[WorkRecords], clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    for name in ("b1", "b2"):
        await running(two[0], 60, name)
    written: Counter[tuple[str, int]] = Counter()
    stalled: list[Result] = []

    async def finish(work: WorkRecords, results: list[Result]) -> None:
        refused = await work.finish(results)
        written.update((one.lease.batch, one.lease.number) for one in results if one.lease not in refused)

    async def live(work: WorkRecords, holder: str) -> None:
        while (await work.backlog()).lines:
            clock.now += 5.0
            claimed = [result(one, is_failed=chance.random() < 0.1) for one in await work.claim(holder, 7)]
            match chance.choice(["finish", "finish", "die", "stall", "wake", "give back"]):
                case "finish":
                    await finish(work, claimed)
                case "stall":
                    stalled.extend(claimed)
                case "wake":
                    late = [*stalled, *claimed]
                    stalled.clear()
                    await finish(work, late)
                case "give back":
                    await work.give_back([one.lease for one in claimed])

    async with asyncio.timeout(60):
        await asyncio.gather(*(live(work, f"h{place}{number}") for place, work in enumerate(two) for number in (1, 2)))
    assert written == {(name, number): 1 for name in ("b1", "b2") for number in range(1, 61)}
    for name in ("b1", "b2"):
        row = await there(two[0], name)
        rows = await two[1].lines(name, limit=100)
        assert (row.state, row.completed + row.failed, row.input_tokens) == ("finalizing", 60, 600)
        assert row.failed == sum(one.is_failed for one in rows)


async def test_a_step_is_taken_by_one_of_many(two: list[WorkRecords]) -> None:
    for number in range(5):
        await two[0].create(NewBatch(id=f"b{number}", owner="me"))
    taken = await asyncio.gather(*(two[number % 2].take(f"h{number}") for number in range(5)))
    found = [row.id for row in taken if row is not None]
    assert len(found) == len(set(found))
    assert found


async def test_thousands_of_lines_are_added_and_cleared(work: WorkRecords) -> None:
    row = await running(work, 5_000)
    assert row.total == 5_000
    claimed = await work.claim("a", 1_000)
    assert await work.finish([result(one) for one in claimed]) == set()
    await work.cancel("b1")
    taken = await work.take("a")
    assert taken is not None
    await work.close(taken.lease, "cancelled")
    await work.end(taken.lease)
    assert await work.clear("b1") == 5_000
