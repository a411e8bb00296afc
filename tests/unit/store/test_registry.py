from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from unit.store.registries import World

from pointsman.a2a.registry import AGENTS
from pointsman.mcp.registry import SERVERS
from pointsman.store.base import Change
from pointsman.store.following import GLANCE, PAUSE


@pytest.fixture(params=[AGENTS, SERVERS], ids=["agents", "servers"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = World(request.param)
    yield made
    await made.tasks.close(1.0)


def entry(world: World, name: str, **more: Any) -> Any:
    """One of the kind that there is a registry of."""
    members = {"id": name, "name": name, "url": f"https://{name}", "source": "api", **more}
    return world.registry.kind.entry(**members)


def configure(world: World, *names: str) -> None:
    """The config has these entries."""
    kind = world.registry.kind
    member = "agents" if kind is AGENTS else "servers"
    every = tuple(entry(world, name, source="config") for name in names)
    world.registry.configure(kind.settings(**{member: every}))


async def test_entries_of_the_config_are_there_at_once_and_others_when_they_were_read(world: World) -> None:
    await world.store.write(entry(world, "b"))
    configure(world, "a")
    assert world.ids == ["a"]
    await world.registry.ready()
    assert world.ids == ["a", "b"]
    assert world.changes == 2
    configure(world, "a")
    assert world.changes == 2
    configure(world)
    assert (world.ids, world.changes) == (["b"], 3)


async def test_rows_are_read_again_only_when_something_has_changed(world: World) -> None:
    await world.registry.ready()
    await world.registry.ready()
    world.store.tell([("keys", "x")])
    await world.registry.ready()
    assert world.asked == 1
    await world.store.write(entry(world, "b"))
    await world.registry.ready()
    assert (world.asked, world.ids) == (2, ["b"])
    await world.store.write(None, "b")
    await world.registry.ready()
    assert world.ids == []


async def test_a_change_elsewhere_is_heard_without_a_request(world: World) -> None:
    await world.registry.ready()
    await world.store.write(entry(world, "b"))
    await world.settle()
    assert world.ids == ["b"]
    await world.store.write(entry(world, "b", description="other"), is_told=False)
    world.store.tell(None)
    await world.settle()
    assert world.registry.entries["b"].description == "other"


async def test_nothing_is_told_where_nothing_is_other_than_before(world: World) -> None:
    await world.store.write(entry(world, "b"))
    await world.registry.ready()
    world.store.tell(None)
    await world.settle()
    configure(world)
    assert world.changes == 1


async def test_a_store_that_comes_later_is_found(world: World) -> None:
    world.is_there = False
    for _ in range(10):
        await world.registry.ready()
    assert (world.ids, world.asked) == ([], 1)
    world.is_there, world.time = True, GLANCE
    await world.store.write(entry(world, "b"))
    await world.registry.ready()
    assert world.ids == ["b"]
    assert len(world.store.keys.listeners) == 1


@pytest.mark.requirement("mcp.registry-outage")
async def test_while_the_store_is_away_what_is_known_stays_and_it_is_asked_now_and_then(world: World) -> None:
    await world.store.write(entry(world, "b"))
    await world.registry.ready()
    world.is_away = True
    await world.store.write(entry(world, "c"))
    await world.settle()
    await world.registry.ready()
    assert (world.ids, world.asked) == (["b"], 2)
    world.is_away, world.time = False, PAUSE
    await world.registry.ready()
    assert world.ids == ["b", "c"]


async def test_a_store_that_fails_while_it_is_read_is_away_too(world: World) -> None:
    await world.store.write(entry(world, "b"))
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
    await world.store.records.change([Change(world.registry.kind.table, "broken", {"name": 5})])
    await world.store.write(entry(world, "b"))
    await world.store.write(entry(world, "a"))
    configure(world, "a")
    await world.registry.ready()
    assert world.ids == ["a", "b"]
    assert world.registry.entries["a"].source == "config"
    assert set(world.registry.faults) == {"a", "broken"}
    said = len(caplog.records)
    await world.registry.load()
    assert len(caplog.records) == said == 2


async def test_what_changes_while_the_rows_are_read_is_read_too(world: World) -> None:
    find = world.store.records.find

    async def late(*args: Any, **more: Any) -> Any:
        found = await find(*args, **more)
        if len(found) < 3:
            await world.store.write(entry(world, f"s{len(found)}"))
        return found

    world.store.records.find = late  # type: ignore[method-assign]
    await world.registry.ready()
    assert world.ids == ["s0", "s1", "s2"]
    assert msgspec.structs.asdict(world.registry.entries["s2"])["url"] == "https://s2"
