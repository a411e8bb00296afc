"""What every store of tasks does, in memory and on real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from contract.databases import new_database, sqlite_url, store
from msgspec.structs import replace

from pointsman.store.tasks import ContextRow, MemoryTasks, TaskQuery, TaskRecords, TaskRow

MINE = TaskQuery(agent="a", owner="me")


def task(number: int, **values: object) -> TaskRow:
    row = TaskRow(
        agent="a", id=f"t{number}", owner="me", state="working", changed_at=float(number), first_at=1.0, last_at=5.0
    )
    return replace(row, **values)


def context(name: str, owner: str = "me", last_at: float = 5.0) -> ContextRow:
    return ContextRow(agent="a", id=name, owner=owner, last_at=last_at)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def tasks(request: pytest.FixtureRequest, tmp_path: object) -> AsyncIterator[TaskRecords]:
    if request.param == "memory":
        yield MemoryTasks()
        return
    is_file = request.param == "sqlite"
    address = sqlite_url(tmp_path) if is_file else await new_database(request.getfixturevalue("postgres"))  # type: ignore[arg-type]
    records = store(address)
    await records.open()
    yield records.tasks
    await records.close()


async def ids(tasks: TaskRecords, query: TaskQuery = MINE, **more: object) -> list[str]:
    return [row.id for row in await tasks.find(query, **more)]  # type: ignore[arg-type]


@pytest.mark.requirement("a2a.ledger")
async def test_a_task_and_a_context_are_what_was_written(tasks: TaskRecords) -> None:
    row = task(1, context="c", replica="http://r", version="0.3", state="completed", is_over=True)
    assert await tasks.write([row], [context("c")]) == (frozenset(), frozenset())
    assert await tasks.get("a", "t1") == row
    assert await tasks.context("a", "c") == context("c")
    assert await tasks.get("b", "t1") is None
    assert await tasks.get("a", "t\0") is None
    assert await tasks.context("b", "c") is None


@pytest.mark.requirement("a2a.owners")
async def test_nobody_takes_what_somebody_else_has(tasks: TaskRecords) -> None:
    await tasks.write([task(1)], [context("c")])
    others = await tasks.write([task(1, owner="you", changed_at=9.0), task(2, owner="you")], [context("c", "you")])
    assert others.tasks == {("a", "t1")}
    assert others.contexts == {("a", "c")}
    assert await tasks.get("a", "t1") == task(1)
    assert await tasks.context("a", "c") == context("c")
    assert await tasks.get("a", "t2") == task(2, owner="you")
    assert (await tasks.write([task(1, agent="b", owner="you")], [])).tasks == frozenset()


async def test_of_two_who_begin_at_once_one_is_first(tasks: TaskRecords) -> None:
    owners = [f"o{number}" for number in range(5)]
    told = await asyncio.gather(*(tasks.write([task(1, owner=owner)], [context("c", owner)]) for owner in owners))
    found = await tasks.get("a", "t1")
    assert found is not None
    first = [owner for owner, others in zip(owners, told, strict=True) if not others.tasks]
    assert first == [found.owner]


async def test_a_task_changes_and_its_beginning_stays(tasks: TaskRecords) -> None:
    await tasks.write([task(1)], [])
    later = task(1, state="completed", is_over=True, changed_at=2.0, first_at=9.0, last_at=9.0)
    await tasks.write([later], [])
    assert await tasks.get("a", "t1") == replace(later, first_at=1.0)


async def test_what_is_older_than_the_state_of_a_task_changes_nothing(tasks: TaskRecords) -> None:
    await tasks.write([task(5, state="completed")], [])
    await tasks.write([task(5, changed_at=4.0)], [])
    assert await tasks.get("a", "t5") == task(5, state="completed")


async def test_tasks_of_an_owner_come_page_by_page_the_last_changed_first(tasks: TaskRecords) -> None:
    rows = [task(1), task(2), task(3, changed_at=2.0), task(4), task(7, owner="you"), task(8, agent="b")]
    await tasks.write(rows, [])
    assert await ids(tasks) == ["t4", "t3", "t2", "t1"]
    assert await ids(tasks, limit=2) == ["t4", "t3"]
    assert await ids(tasks, after=(2.0, "t3"), limit=2) == ["t2", "t1"]
    assert await tasks.count(MINE) == 4


async def test_tasks_are_found_by_context_state_time_and_whether_they_are_over(tasks: TaskRecords) -> None:
    await tasks.write([task(1, context="c"), task(2, state="completed", is_over=True), task(3)], [])
    for query, wanted in (
        (replace(MINE, context="c"), ["t1"]),
        (replace(MINE, state="completed"), ["t2"]),
        (replace(MINE, since=2.0), ["t3", "t2"]),
        (replace(MINE, is_over=False), ["t3", "t1"]),
        (replace(MINE, context="d"), []),
    ):
        assert await ids(tasks, query) == wanted
        assert await tasks.count(query) == len(wanted)


async def test_it_tells_which_tasks_are_somebodys(tasks: TaskRecords) -> None:
    await tasks.write([task(1), task(2, owner="you"), task(3, agent="b")], [])
    assert await tasks.owned("a", "me", ["t1", "t2", "t3", "t4"]) == {"t1"}
    assert await tasks.owned("a", "me", []) == set()


async def test_webhooks_of_a_task_come_change_and_go(tasks: TaskRecords) -> None:
    await tasks.write([task(1)], [])
    await tasks.set_push("a", "t1", "p", "one")
    await tasks.set_push("a", "t1", "q", "two")
    await tasks.set_push("a", "t1", "p", "three")
    assert await tasks.push("a", "t1") == {"p": "three", "q": "two"}
    await tasks.set_push("a", "t1", "q", None)
    await tasks.set_push("a", "t1", "gone", None)
    assert await tasks.push("a", "t1") == {"p": "three"}
    assert await tasks.push("a", "t2") == {}
    await tasks.sweep_tasks(over_before=1e10, before=1e10)
    assert await tasks.get("a", "t1") is None
    assert await tasks.push("a", "t1") == {}


async def test_what_is_over_goes_before_what_is_not(tasks: TaskRecords) -> None:
    over = {"state": "completed", "is_over": True}
    rows = [task(1, last_at=10.0), task(2, last_at=10.0, **over), task(3, last_at=1.0), task(4, last_at=30.0, **over)]
    await tasks.write(rows, [context("new", last_at=10.0), context("old", last_at=1.0)])
    assert await tasks.sweep_tasks(over_before=20.0, before=5.0) == 2
    assert await ids(tasks) == ["t4", "t1"]
    assert await tasks.context("a", "old") is None
    assert await tasks.context("a", "new") is not None
    assert await tasks.sweep_tasks(over_before=20.0, before=5.0) == 0


async def test_many_are_written_and_swept_together(tasks: TaskRecords) -> None:
    rows = [task(number, last_at=1.0) for number in range(1200)]
    assert (await tasks.write(rows, [])).tasks == frozenset()
    assert await tasks.count(MINE) == 1200
    assert len(await tasks.owned("a", "me", [row.id for row in rows])) == 1200
    assert await tasks.sweep_tasks(over_before=2.0, before=2.0) == 1200
