from __future__ import annotations

import logging

from unit.a2a.rig import FakeAgent

from pointsman.a2a.fleet import Fleet
from pointsman.a2a.settings import AgentSettings
from pointsman.telemetry.tasks import Tasks

A = AgentSettings(id="a", name="a")
B = AgentSettings(id="a", name="another")


class World:
    def __init__(self) -> None:
        self.made: list[FakeAgent] = []
        self.tasks = Tasks(logging.getLogger("test"), 10)
        self.fleet = Fleet(self.make, self.tasks)

    def make(self, _settings: AgentSettings) -> FakeAgent:
        self.made.append(FakeAgent())
        return self.made[-1]

    def use(self, settings: AgentSettings) -> FakeAgent:
        with self.fleet.using(settings) as agent:
            assert isinstance(agent, FakeAgent)
            return agent

    async def closed(self) -> list[bool]:
        await self.tasks.settle(5.0)
        return [one.is_closed for one in self.made]


async def test_an_agent_is_made_once() -> None:
    world = World()
    assert world.use(A) is world.use(A) is world.use(AgentSettings(id="a", name="a"))
    assert await world.closed() == [False]


async def test_with_other_settings_it_is_another_one_and_the_old_one_ends() -> None:
    world = World()
    assert world.use(A) is not world.use(B)
    assert await world.closed() == [True, False]


async def test_what_goes_on_comes_to_its_end_first() -> None:
    world = World()
    with world.fleet.using(A), world.fleet.using(A):
        world.fleet.keep_only({"a": B})
        assert not world.made[0].is_closed
        assert len(world.tasks) == 0
    assert await world.closed() == [True]


async def test_those_that_are_still_there_stay() -> None:
    world = World()
    agent = world.use(A)
    world.fleet.keep_only({"a": AgentSettings(id="a", name="a")})
    assert world.use(A) is agent
    world.fleet.renew()
    assert world.use(A) is not agent


async def test_at_the_end_all_are_closed() -> None:
    world = World()
    world.use(A)
    await world.fleet.close()
    assert world.made[0].is_closed
    await world.tasks.close(1.0)
    world.use(A)
    world.fleet.renew()
