from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from unit.a2a.cards.pretending import Site, card_of

from pointsman.a2a.base import Health
from pointsman.a2a.cards.keeping import AT_LEAST, REST, Keeper
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.errors import Unseen, UpstreamBroken, UpstreamUnreachable
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.web import Answer

URL = "https://agent.example"
PLACE = f"{URL}/.well-known/agent-card.json"


class Slow(Site):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        await self.goes_on.wait()
        return await super().get(url, headers)


class World:
    """A keeper and what it stands on."""

    def __init__(self) -> None:
        self.site = Slow()
        self.time = 1000.0
        self.slept: list[float] = []
        self.naps = 0
        self.agents: dict[str, AgentSettings] = {}
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.keeper = Keeper(
            lambda: self.agents,
            lambda _: self.site,
            self.shown,
            self.tasks,
            clock=lambda: self.time,
            now=lambda: 1e9 + self.time,
            chance=lambda: 0.25,
            sleep=self.sleep,
        )
        self.register()

    async def shown(self, _settings: AgentSettings) -> Mapping[str, str]:
        return {}

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.settle(1)
        if len(self.slept) > self.naps:
            await asyncio.Event().wait()

    def register(self, agent: str = "a", **more: Any) -> None:
        self.agents[agent] = AgentSettings(id=agent, name=agent, **{"url": URL, **more})

    def serve(self, seconds: int = 300, **more: Any) -> None:
        self.site.put(PLACE, card_of(f"{URL}/rpc", **more), {"cache-control": f"max-age={seconds}"})

    async def settle(self, left: int = 0) -> None:
        while len(self.tasks) > left:
            await asyncio.sleep(0)

    async def seen(self) -> tuple[str, str]:
        found = await self.keeper.live("a")
        await self.settle()
        return found.state, found.card["name"]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)


@pytest.mark.requirement("a2a.cards")
async def test_a_card_is_fetched_when_somebody_needs_it_first_and_then_away_from_requests(world: World) -> None:
    world.serve(60)
    assert await world.seen() == ("live", "Echo")
    world.serve(60, name="New")
    world.time += 59
    assert await world.seen() == ("live", "Echo")
    assert len(world.site.asked) == 1
    world.time += 1
    # The request that finds it old does not wait for the new one.
    world.site.goes_on.clear()
    assert (await world.keeper.live("a")).card["name"] == "Echo"
    world.site.goes_on.set()
    await world.settle()
    assert await world.seen() == ("live", "New")
    assert len(world.site.asked) == 2


@pytest.mark.requirement("a2a.cards")
async def test_a_card_stays_while_its_agent_is_away_and_is_looked_for_again(world: World) -> None:
    world.serve(60)
    await world.seen()
    world.time += 60
    world.site.is_away = True
    await world.seen()
    assert await world.seen() == ("stale", "Echo")
    assert len(world.site.asked) == 2
    world.site.is_away = False
    world.time += 2 * REST
    await world.seen()
    assert await world.seen() == ("live", "Echo")


async def test_an_agent_that_was_never_reached_has_a_declared_card_and_rests_longer_each_time(world: World) -> None:
    world.site.is_away = True
    assert await world.seen() == ("declared", "a")
    for failures in (1, 2, 3):
        world.time += REST * 2**failures - 1
        assert await world.seen() == ("declared", "a")
        assert len(world.site.asked) == failures
        world.time += 1
        await world.seen()
        assert len(world.site.asked) == failures + 1
    world.site.is_away = False
    world.serve()
    world.time += 1000
    await world.seen()
    assert await world.seen() == ("live", "Echo")


async def test_all_who_wait_for_a_card_share_one_look_and_none_takes_it_from_the_others(world: World) -> None:
    world.serve()
    world.site.goes_on.clear()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(world.keeper.live("a")) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        world.site.goes_on.set()
    assert {one.result().state for one in waiting[1:]} == {"live"}
    assert world.site.asked == [PLACE]


async def test_nobody_waits_longer_than_is_bearable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.a2a.cards.keeping.PATIENCE", 0.01)
    world.serve()
    world.site.goes_on.clear()
    assert (await world.keeper.live("a")).state == "declared"
    assert world.keeper.peek("a") is None
    world.site.goes_on.set()
    await world.settle()
    assert (await world.keeper.live("a")).state == "live"


@pytest.mark.parametrize(("told", "good"), [(0, AT_LEAST), (10**9, 86_400.0)])
async def test_a_card_is_good_for_neither_less_nor_more_than_makes_sense(world: World, told: int, good: float) -> None:
    world.serve(told)
    await world.seen()
    world.time += good - 1
    await world.seen()
    assert len(world.site.asked) == 1
    world.time += 1
    await world.seen()
    assert len(world.site.asked) == 2


async def test_a_card_that_does_not_say_how_long_it_is_good_is_so_as_long_as_is_set(world: World) -> None:
    world.keeper.configure(A2aSettings(card_seconds=77.0))
    world.site.put(PLACE, card_of(URL))
    await world.seen()
    world.time += 76
    await world.seen()
    assert len(world.site.asked) == 1
    world.time += 1
    await world.seen()
    assert len(world.site.asked) == 2


async def test_the_same_card_again_is_the_same_object(world: World) -> None:
    world.serve()
    first = await world.keeper.live("a")
    world.time += 1000
    await world.seen()
    assert await world.keeper.live("a") is first


async def test_an_agent_that_behaves_otherwise_is_looked_at_again_but_not_over_and_over(world: World) -> None:
    world.serve()
    await world.seen()
    for _ in range(3):
        world.keeper.changed("a")
        await world.settle()
    assert len(world.site.asked) == 1
    world.time += REST
    world.keeper.changed("a")
    world.keeper.changed("nobody")
    await world.settle()
    assert len(world.site.asked) == 2


async def test_another_registration_is_looked_at_anew(world: World) -> None:
    world.serve()
    await world.seen()
    world.agents = {"a": AgentSettings(id="a", name="a", url=URL)}
    await world.seen()
    assert len(world.site.asked) == 1
    world.register(card={"name": "Ours"})
    assert await world.seen() == ("live", "Ours")
    del world.agents["a"]
    world.keeper.forget()
    assert world.keeper.peek("a") is None
    assert world.keeper.page("a") is None
    with pytest.raises(Unseen, match="Agent a not found"):
        await world.keeper.live("a")


async def test_what_an_agent_has_served_is_kept_as_it_was(world: World) -> None:
    assert world.keeper.page("a") is None
    world.site.put(PLACE, b' {"name": "A", "url": "x"}')
    await world.seen()
    assert world.keeper.page("a") == b' {"name": "A", "url": "x"}'


@pytest.mark.requirement("a2a.health")
async def test_how_an_agent_is_can_be_asked_without_asking_it(world: World) -> None:
    assert world.keeper.health("a") == Health()
    world.serve()
    await world.seen()
    assert world.keeper.health("a") == Health(state="healthy", checked_at=1e9 + 1000)
    world.site.is_away = True
    world.time += 300
    await world.seen()
    health = world.keeper.health("a")
    assert (health.state, health.checked_at) == ("unhealthy", 1e9 + 1300)
    assert health.error == "/.well-known/agent-card.json: no route"


@pytest.mark.requirement("a2a.leaks")
async def test_an_agent_that_fails_is_told_of_once_and_without_its_address(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def later(*, is_away: bool) -> list[str]:
        world.site.is_away = is_away
        caplog.clear()
        world.time += 100_000
        await world.seen()
        return [line.levelname for line in caplog.records]

    assert await later(is_away=True) == ["WARNING"]
    assert "/.well-known/agent-card.json: no answer" in caplog.text
    assert await later(is_away=True) == []
    assert await later(is_away=False) == ["WARNING"]
    assert "status 404" in caplog.text
    assert await later(is_away=False) == []
    world.serve()
    assert await later(is_away=False) == ["INFO"]
    assert await later(is_away=False) == []
    world.site.put(PLACE, card_of(URL), status=503)
    assert await later(is_away=False) == ["WARNING"]
    assert "status 503" in caplog.text
    assert "agent.example" not in caplog.text
    assert "no route" not in caplog.text


async def test_an_agent_without_a_card_is_well_though(world: World) -> None:
    assert await world.seen() == ("declared", "a")
    health = world.keeper.health("a")
    assert health.state == "healthy"
    assert "status 404" in str(health.error)


@pytest.mark.requirement("a2a.health")
async def test_agents_are_looked_after_in_turn_whether_or_not_they_are_asked(world: World) -> None:
    world.serve(86_400)
    world.register("b")
    world.register("quiet", health_check=False)
    world.register("ours", url="", model="gpt")
    world.keeper.configure(A2aSettings(health_seconds=60.0))
    world.naps = 3
    world.keeper.start()
    while len(world.slept) < 4:
        await asyncio.sleep(0)
    await world.settle(1)
    # Each of the two has its turn once in 60 seconds, a little earlier or later.
    assert world.slept == [22.5] * 4
    assert world.site.asked == [PLACE] * 4
    assert world.keeper.health("b").state == "healthy"
    assert world.keeper.health("quiet").state == "unknown"


async def test_without_agents_it_is_waited_for_one(world: World) -> None:
    world.agents.clear()
    world.naps = 1
    world.keeper.start()
    while len(world.slept) < 2:
        await asyncio.sleep(0)
    assert world.slept == [60.0, 60.0]


async def test_a_model_that_is_an_agent_has_nobody_to_ask(world: World) -> None:
    world.register(url="", model="gpt")
    assert await world.seen() == ("declared", "a")
    assert world.keeper.peek("a") is not None
    assert world.site.asked == []


async def test_a_card_that_is_not_signed_as_it_has_to_be_is_not_used(world: World) -> None:
    world.serve()
    world.register(signatures="require")
    assert await world.seen() == ("declared", "a")
    assert "has to be signed" in str(world.keeper.health("a").error)


async def test_a_card_that_cannot_be_read_is_not_used(world: World) -> None:
    world.serve(skills=[1])
    assert await world.seen() == ("declared", "a")
    assert "/.well-known/agent-card.json: Invalid" in str(world.keeper.health("a").error)


@pytest.mark.requirement("a2a.leaks")
@pytest.mark.parametrize(("settings", "card"), [({"signatures": "require"}, {}), ({}, {"skills": [1]})])
async def test_what_is_written_of_a_card_tells_nothing_of_its_address(
    world: World, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], card: dict[str, Any]
) -> None:
    url = f"{URL}/canary?code=canary"
    world.register(card_url=url, **settings)
    world.site.put(url, card_of(URL, **card))
    assert (await world.seen())[0] == "declared"
    assert "has no card that is used: card_url: " in caplog.text
    assert "canary" not in caplog.text
    assert "=canary" not in str(world.keeper.health("a").error)


async def test_a_gateway_that_ends_goes_by_what_it_knows(world: World) -> None:
    await world.tasks.close(1.0)
    assert (await world.keeper.live("a")).state == "declared"


async def test_the_card_of_an_agent_that_is_not_registered_can_be_looked_at(world: World) -> None:
    world.serve()
    asked = AgentSettings(id="x", name="x", url=URL)
    assert (await world.keeper.look(asked)).card["name"] == "Echo"
    world.site.pages.clear()
    with pytest.raises(UpstreamBroken, match=r"/\.well-known/agent\.json: status 404"):
        await world.keeper.look(asked)
    world.site.is_away = True
    with pytest.raises(UpstreamUnreachable, match="cannot be reached") as error:
        await world.keeper.look(asked)
    assert URL not in error.value.message
