from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from unit.a2a.rig import FakeRegistry

from pointsman.a2a.settings import A2aSettings
from pointsman.a2a.tasks import TaskLedger
from pointsman.store.tasks import MemoryTasks, TaskRecords, TaskRow
from pointsman.telemetry.tasks import Tasks

TASK = TaskRow(
    agent="a",
    id="t0",
    owner="master",
    context="c",
    replica="http://one",
    version="1.0",
    state="working",
    changed_at=0.5,
    first_at=0.0,
    last_at=0.0,
)


class A2a:
    """The A2A gateway as far as its tasks go."""

    allowed_hosts: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.rows = MemoryTasks()
        self.made = TaskLedger(self._rows, Tasks(logging.getLogger("tests"), 10))

    async def _rows(self) -> TaskRecords:
        return self.rows

    async def ledger(self) -> TaskLedger:
        return self.made

    async def registry(self) -> Any:
        return FakeRegistry({}, A2aSettings())


@pytest.fixture
async def a2a() -> A2a:
    """Knows tasks of three owners."""
    made = A2a()
    for number, owner in enumerate(("master", "master", "key:k", "key:other")):
        row = msgspec.structs.replace(TASK, id=f"t{number}", owner=owner, changed_at=number + 0.5)
        await made.rows.write([row], [])
    return made


@pytest.fixture
async def desk(make_desk: Callable[..., Any], a2a: A2a) -> Any:
    made = make_desk()
    made.gateway.serving = replace(made.gateway.serving, a2a=a2a)
    return made


def ids(told: Any) -> list[str]:
    return [one["task_id"] for one in told["tasks"]]


async def test_whoever_sees_all_sees_all_tasks_the_last_changed_first(desk: Any) -> None:
    told = await desk.get("/a2a/tasks")
    assert ids(told) == ["t3", "t2", "t1", "t0"]
    assert told["tasks"][-1] == {
        "agent_id": "a",
        "task_id": "t0",
        "context_id": "c",
        "state": "working",
        "protocol_version": "1.0",
        "created_at": "1970-01-01T00:00:00.000Z",
        "updated_at": "1970-01-01T00:00:00.500Z",
        "owner": "master",
        "replica": "http://one",
    }
    assert ids(await desk.get("/a2a/tasks", "owner=key:k")) == ["t2"]
    assert ids(await desk.get("/a2a/tasks", "agent_id=b")) == []
    assert ids(await desk.get("/a2a/tasks", "state=working&context_id=c")) == ["t3", "t2", "t1", "t0"]
    assert ids(await desk.get("/a2a/tasks", "state=completed")) == []


async def test_they_come_page_by_page(desk: Any) -> None:
    first = await desk.get("/a2a/tasks", "limit=3")
    assert ids(first) == ["t3", "t2", "t1"]
    second = await desk.get("/a2a/tasks", f"limit=3&cursor={first['next_cursor']}")
    assert (ids(second), "next_cursor" in second) == (["t0"], False)


async def test_a_key_sees_its_own(desk: Any, a2a: A2a) -> None:
    shown = await desk.key()
    [row] = desk.records.tables["keys"].values()
    await a2a.rows.write([msgspec.structs.replace(TASK, id="mine", owner=f"key:{row.doc['account']}")], [])
    [told] = (await desk.get("/a2a/tasks", "owner=master", key=shown))["tasks"]
    assert (told["task_id"], "owner" in told, "replica" in told) == ("mine", False, False)


@pytest.mark.parametrize("query", ["state=done", "cursor=x", "limit=1000", "cursor=bm90aGluZw=="])
async def test_what_cannot_be_asked_is_refused(desk: Any, query: str) -> None:
    assert (await desk.call("GET", "/a2a/tasks", query=query)).status == 400
