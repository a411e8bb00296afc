from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from records import MemoryRecords

from pointsman.errors import Overloaded
from pointsman.store.base import Change
from pointsman.store.following import GLANCE, PAUSE, Feed, Followed
from pointsman.telemetry.tasks import Tasks


class News:
    """As the known keys are."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []


class World:
    """Rows that are followed, and what they stand on."""

    sealer = None

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.keys = News()
        self.is_there, self.is_away = True, False
        self.asked = self.read = 0
        self.time = 0.0
        self.tasks = Tasks(logging.getLogger("tests"), 10)
        self.rows = Followed(
            "agents", self.feed, self.tasks, self.count, what="agents", most=100, clock=lambda: self.time
        )

    async def feed(self) -> Feed | None:
        self.asked += 1
        if self.is_away:
            raise Overloaded
        found: Any = self
        return found if self.is_there else None

    def count(self) -> None:
        self.read += 1

    async def write(self, name: str, *, is_told: bool = True) -> None:
        await self.records.change([Change("agents", name, {"name": name})])
        if is_told:
            self.tell([("agents", name)])

    def tell(self, rows: Iterable[tuple[str, str]] | None) -> None:
        for listener in self.keys.listeners:
            listener(rows)

    async def settle(self) -> None:
        while len(self.tasks):
            await asyncio.sleep(0)

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows.rows]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)


async def test_rows_are_read_when_they_are_needed_and_again_when_they_change(world: World) -> None:
    await world.write("a")
    for _ in range(3):
        await world.rows.ready()
    assert (world.ids, world.asked, world.read) == (["a"], 1, 1)
    world.tell([("keys", "x")])
    await world.settle()
    assert world.asked == 1
    await world.write("b")
    await world.settle()
    assert (world.ids, world.read) == (["a", "b"], 2)
    await world.write("c", is_told=False)
    world.tell(None)
    await world.settle()
    assert world.ids == ["a", "b", "c"]


async def test_all_who_wait_for_them_wait_for_one_reading(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(world.rows.ready())
    assert world.asked == 1


async def test_a_store_that_comes_later_is_found(world: World) -> None:
    world.is_there = False
    for _ in range(5):
        await world.rows.ready()
    assert (world.asked, world.read) == (1, 0)
    world.is_there, world.time = True, GLANCE
    await world.write("a")
    await world.rows.ready()
    assert world.ids == ["a"]
    assert len(world.keys.listeners) == 1


async def test_while_the_store_is_away_what_is_known_stays(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.write("a")
    await world.rows.ready()
    world.is_away = True
    await world.write("b")
    await world.settle()
    await world.rows.ready()
    assert (world.ids, world.asked) == (["a"], 2)
    assert "the agents that are known go on" in caplog.text
    world.is_away, world.time = False, PAUSE
    await world.rows.ready()
    assert world.ids == ["a", "b"]


async def test_what_changes_while_they_are_read_is_read_too(world: World) -> None:
    find = world.records.find

    async def late(*args: Any, **more: Any) -> Any:
        found = await find(*args, **more)
        if len(found) < 3:
            await world.write(f"a{len(found)}")
        return found

    world.records.find = late  # type: ignore[method-assign]
    await world.rows.ready()
    assert world.ids == ["a0", "a1", "a2"]
