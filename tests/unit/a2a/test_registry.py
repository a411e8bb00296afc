from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from records import MemoryRecords

from pointsman.a2a.registry import Registry
from pointsman.a2a.rows import TABLE, to_doc
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.store.base import Change
from pointsman.telemetry.tasks import Tasks


class World:
    """A registry, and the store that it stands on."""

    sealer = None

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.listeners: list[Any] = []
        self.keys = self
        self.changes = 0
        self.tasks = Tasks(logging.getLogger("tests"), 10)
        self.registry = Registry(self.feed, self.tasks, clock=lambda: 0.0)
        self.registry.on_change.append(self.count)

    async def feed(self) -> Any:
        return self

    def count(self) -> None:
        self.changes += 1

    async def write(self, *agents: AgentSettings) -> None:
        await self.records.change([Change(TABLE, one.id, to_doc(one, None)) for one in agents])
        self.registry.heard([(TABLE, one.id) for one in agents])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)


def agent(name: str, **more: Any) -> AgentSettings:
    return AgentSettings(**{"id": name, "name": name, "url": f"https://{name}", "source": "api", **more})


async def test_agents_of_the_config_are_there_at_once_and_others_when_they_were_read(world: World) -> None:
    await world.write(agent("b"))
    world.registry.configure(A2aSettings(agents=(agent("a", source="config"),)))
    assert list(world.registry.agents) == ["a"]
    await world.registry.load()
    assert list(world.registry.agents) == ["a", "b"]
    assert world.changes == 2
    world.registry.configure(A2aSettings(agents=(agent("a", source="config"),)))
    assert world.changes == 2
    world.registry.configure(A2aSettings())
    assert (list(world.registry.agents), world.changes) == (["b"], 3)


async def test_a_row_that_cannot_be_used_is_told_and_hides_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.records.change([Change(TABLE, "broken", {"name": 5})])
    await world.write(agent("a"), agent("b"))
    world.registry.configure(A2aSettings(agents=(agent("a", source="config"),)))
    await world.registry.load()
    assert {name: one.source for name, one in world.registry.agents.items()} == {"a": "config", "b": "api"}
    assert set(world.registry.faults) == {"a", "broken"}
    said = len(caplog.records)
    await world.registry.load()
    assert len(caplog.records) == said == 2


async def test_agents_are_those_of_the_moment_once_they_were_asked_for(world: World) -> None:
    await world.registry.ready()
    assert world.registry.agents == {}
    await world.write(agent("a"))
    await world.registry.ready()
    assert list(world.registry.agents) == ["a"]
