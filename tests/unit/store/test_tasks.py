"""What is so in memory only; the rest is in tests/contract."""

from __future__ import annotations

from msgspec.structs import replace

from pointsman.store.tasks import ContextRow, MemoryTasks, TaskRow

TASK = TaskRow(agent="a", id="t0", owner="me", changed_at=1.0, first_at=1.0, last_at=1.0)
CONTEXT = ContextRow(agent="a", id="c0", owner="me", last_at=1.0)


async def test_who_was_heard_of_longest_ago_goes_when_there_are_too_many() -> None:
    rows = MemoryTasks(2)
    await rows.write([TASK], [CONTEXT])
    await rows.set_push("a", "t0", "p", "doc")
    await rows.write([replace(TASK, id="t1")], [replace(CONTEXT, id="c1")])
    await rows.write([TASK], [])
    await rows.write([replace(TASK, id="t2")], [replace(CONTEXT, id="c2")])
    assert [await rows.get("a", f"t{number}") is not None for number in range(3)] == [True, False, True]
    assert [await rows.context("a", f"c{number}") is not None for number in range(3)] == [False, True, True]
    await rows.write([replace(TASK, id="t3"), replace(TASK, id="t4")], [])
    assert await rows.push("a", "t0") == {}


async def test_nobody_is_told_of_a_task_that_is_not_there() -> None:
    rows = MemoryTasks()
    await rows.set_push("a", "t", "p", "doc")
    assert await rows.push("a", "t") == {}
