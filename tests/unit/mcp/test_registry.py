from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
from records import MemoryRecords

from pointsman.errors import Overloaded
from pointsman.mcp.registry import Registry
from pointsman.mcp.rows import TABLE, to_doc
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.store.base import Change
from pointsman.store.following import GLANCE, PAUSE, Feed
from pointsman.telemetry.tasks import Tasks


class News:
    """As the known keys are."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []


class Store:
    """Records, and what tells of their changes."""

    sealer = None

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.keys = News()

    async def write(self, server: ServerSettings | None, server_id: str = "", *, is_told: bool = True) -> None:
        name = server_id if server is None else server.id
        await self.records.change([Change(TABLE, name, None if server is None else to_doc(server, None))])
        if is_told:
            self.tell([(TABLE, name)])

    def tell(self, rows: Iterable[tuple[str, str]] | None) -> None:
        for listener in self.keys.listeners:
            listener(rows)


class World:
    """A registry and what it stands on."""

    def __init__(self) -> None:
        self.store = Store()
        self.is_there = True
        self.is_away = False
        self.asked = 0
        self.time = 0.0
        self.changes = 0
        self.tasks = Tasks(logging.getLogger("tests"), 10)
        self.registry = Registry(self.feed, self.tasks, clock=lambda: self.time)
        self.registry.on_change.append(self.count)

    async def feed(self) -> Feed | None:
        self.asked += 1
        if self.is_away:
            raise Overloaded
        found: Any = self.store
        return found if self.is_there else None

    def count(self) -> None:
        self.changes += 1

    async def settle(self) -> None:
        while len(self.tasks):
            await asyncio.sleep(0)

    @property
    def ids(self) -> list[str]:
        return list(self.registry.servers)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)


def server(name: str, **more: Any) -> ServerSettings:
    return ServerSettings(**{"id": name, "name": name, "url": f"https://{name}", "source": "api", **more})


async def test_the_servers_of_the_config_are_there_at_once_and_others_when_they_were_read(world: World) -> None:
    await world.store.write(server("b"))
    world.registry.configure(McpSettings(servers=(server("a", source="config"),)))
    assert world.ids == ["a"]
    await world.registry.ready()
    assert world.ids == ["a", "b"]
    assert world.changes == 2


async def test_rows_are_read_again_only_when_something_has_changed(world: World) -> None:
    await world.registry.ready()
    await world.registry.ready()
    world.store.tell([("keys", "x")])
    await world.registry.ready()
    assert world.asked == 1
    await world.store.write(server("b"))
    await world.registry.ready()
    assert (world.asked, world.ids) == (2, ["b"])
    await world.store.write(None, "b")
    await world.registry.ready()
    assert world.ids == []


async def test_a_change_elsewhere_is_heard_without_a_request(world: World) -> None:
    await world.registry.ready()
    await world.store.write(server("b"))
    await world.settle()
    assert world.ids == ["b"]
    await world.store.write(server("b", description="other"), is_told=False)
    world.store.tell(None)
    await world.settle()
    assert world.registry.servers["b"].description == "other"


async def test_nothing_is_told_where_nothing_is_other_than_before(world: World) -> None:
    await world.store.write(server("b"))
    await world.registry.ready()
    world.store.tell(None)
    await world.settle()
    world.registry.configure(McpSettings())
    assert world.changes == 1


async def test_a_store_that_comes_later_is_found(world: World) -> None:
    world.is_there = False
    for _ in range(10):
        await world.registry.ready()
    assert (world.ids, world.asked) == ([], 1)
    world.is_there, world.time = True, GLANCE
    await world.store.write(server("b"))
    await world.registry.ready()
    assert world.ids == ["b"]
    assert len(world.store.keys.listeners) == 1


@pytest.mark.requirement("mcp.registry-outage")
async def test_while_the_store_is_away_what_is_known_stays_and_it_is_asked_now_and_then(world: World) -> None:
    await world.store.write(server("b"))
    await world.registry.ready()
    world.is_away = True
    await world.store.write(server("c"))
    await world.settle()
    await world.registry.ready()
    assert (world.ids, world.asked) == (["b"], 2)
    world.is_away, world.time = False, PAUSE
    await world.registry.ready()
    assert world.ids == ["b", "c"]


async def test_a_store_that_fails_while_it_is_read_is_away_too(world: World) -> None:
    await world.store.write(server("b"))
    world.store.records.is_down = True
    await world.registry.ready()
    assert world.ids == []
    world.store.records.is_down, world.time = False, PAUSE
    await world.registry.ready()
    assert world.ids == ["b"]


async def test_all_who_wait_for_the_rows_wait_for_one_reading(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(world.registry.ready())
    assert world.asked == 1


async def test_a_row_that_cannot_be_used_is_told_and_hides_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.store.records.change([Change(TABLE, "broken", {"name": 5})])
    await world.store.write(server("b"))
    await world.store.write(server("a"))
    world.registry.configure(McpSettings(servers=(server("a", source="config"),)))
    await world.registry.ready()
    assert world.ids == ["a", "b"]
    assert world.registry.servers["a"].source == "config"
    assert set(world.registry.faults) == {"a", "broken"}
    said = len(caplog.records)
    await world.registry.load()
    assert len(caplog.records) == said == 2


async def test_a_command_that_the_config_takes_back_ends_its_server(world: World) -> None:
    one = server("s", url="", transport="stdio", command_name="t")
    world.registry.configure(McpSettings(stdio_commands={"t": ("prog",)}))
    await world.store.write(one)
    await world.registry.ready()
    assert world.registry.servers["s"].command == ("prog",)
    world.registry.configure(McpSettings())
    assert world.ids == []
    assert "stdio_commands" in world.registry.faults["s"]


async def test_of_servers_whose_tools_would_begin_in_the_same_way_one_is_in_force(world: World) -> None:
    for name in ("b", "c"):
        await world.store.write(server(name, prefix="hub"))
    await world.registry.ready()
    assert (world.ids, set(world.registry.faults)) == (["b"], {"c"})
    world.registry.configure(McpSettings(servers=(server("hub", source="config"),)))
    assert (world.ids, set(world.registry.faults)) == (["hub"], {"b", "c"})


async def test_what_changes_while_the_rows_are_read_is_read_too(world: World) -> None:
    find = world.store.records.find

    async def late(*args: Any, **more: Any) -> Any:
        found = await find(*args, **more)
        if len(found) < 3:
            await world.store.write(server(f"s{len(found)}"))
        return found

    world.store.records.find = late  # type: ignore[method-assign]
    await world.registry.ready()
    assert world.ids == ["s0", "s1", "s2"]
    assert msgspec.structs.asdict(world.registry.servers["s2"])["url"] == "https://s2"
