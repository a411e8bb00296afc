from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest
from unit.pipeline.paying import NOW, Ledger, key

from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import MASTER, NOBODY
from pointsman.errors import BudgetExceeded, RateLimited
from pointsman.pipeline.agent_metering import AgentMetering
from pointsman.pipeline.spending import Spending
from pointsman.pipeline.till import Till
from pointsman.store.base import Records

NANO = 1_000_000_000


class World:
    """A meter of two agents, one of which costs something."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        till = Till(now=lambda: NOW)
        till.open_ledger(cast("Records", self.ledger), cast("Spending", self.ledger))
        agents = {
            one: AgentSettings(id=one, name=one, cost_usd=cost) for one, cost in (("paid", "0.25"), ("free", "0"))
        }
        agents |= {
            one: AgentSettings(id=one, name=one, model="house", cost_usd=cost)
            for one, cost in (("model", "0"), ("paid-model", "0.5"))
        }
        self.public_rpm: int | None = None
        self.meter = AgentMetering(till, lambda: agents, lambda: self.public_rpm)

    async def call(self, caller: Any, agent: str = "paid", *, is_message: bool = True, is_due: bool = True) -> None:
        close = await self.meter.open(caller, agent, is_message=is_message, request_id="r1")
        close(True, is_due)

    @property
    def spent(self) -> list[int]:
        return [event.cost_nano_usd for event in self.ledger.events]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("a2a.spend")
async def test_each_message_is_an_event_under_the_name_of_its_agent(world: World) -> None:
    await world.call(key(user_id="u", tags=("x",)))
    [event] = world.ledger.events
    assert (event.model, event.provider, event.deployment, event.operation) == (
        "a2a:paid",
        "a2a",
        "paid",
        "send_a2a_message",
    )
    assert (event.key_id, event.user_id, event.tags, event.request_id) == ("k1", "u", ("x",), "r1")


@pytest.mark.parametrize(("agent", "cost"), [("paid", NANO // 4), ("free", 0), ("gone", 0)])
async def test_a_message_costs_what_the_operator_says(world: World, agent: str, cost: int) -> None:
    await world.call(MASTER, agent)
    assert world.spent == [cost]


async def test_a_message_that_no_agent_had_costs_nothing(world: World) -> None:
    await world.call(MASTER, is_due=False)
    assert world.spent == [0]


@pytest.mark.requirement("a2a.limits")
@pytest.mark.parametrize("agent", ["paid", "model"])
async def test_all_who_show_no_key_have_a_limit_for_each_agent_together(world: World, agent: str) -> None:
    world.public_rpm = 2
    for _ in range(2):
        await world.call(NOBODY, agent)
    with pytest.raises(RateLimited):
        await world.call(NOBODY, agent)
    await world.call(NOBODY, "free")
    await world.call(key(), agent)


async def test_what_they_spend_is_booked_under_a_name_of_its_own(world: World) -> None:
    for one in (NOBODY, MASTER):
        await world.call(one)
    assert [event.key_id for event in world.ledger.events] == ["public", "master"]


async def test_what_else_is_asked_is_limited_but_costs_nothing(world: World) -> None:
    caller = key(model_rpm_limit={"a2a:paid": 2}, max_budget=Decimal("0.01"))
    for _ in range(2):
        await world.call(caller, is_message=False)
    with pytest.raises(RateLimited):
        await world.call(caller, is_message=False)
    assert world.spent == []


@pytest.mark.requirement("a2a.limits")
async def test_limits_and_budgets_of_a_key_hold_for_agents(world: World) -> None:
    caller = key(max_budget=Decimal("0.6"))
    for _ in range(2):
        await world.call(caller)
    with pytest.raises(BudgetExceeded):
        await world.call(caller)
    caller = key(rpm_limit=1)
    await world.call(caller)
    with pytest.raises(RateLimited):
        await world.call(caller)


async def test_a_call_for_a_request_that_has_a_slot_needs_none(world: World) -> None:
    caller = key(max_parallel_requests=1)
    await world.meter.open(caller, "paid", is_message=True)
    await world.meter.open(caller, "paid", is_message=True, has_slot=True)
    with pytest.raises(RateLimited):
        await world.call(caller)


async def test_a_model_that_is_published_is_counted_when_it_is_asked_and_not_before(world: World) -> None:
    caller = key(rpm_limit=1, max_parallel_requests=1, model_rpm_limit={"a2a:model": 2})
    for _ in range(2):
        await world.meter.open(caller, "model", is_message=True)
    assert world.spent == []
    with pytest.raises(RateLimited):
        await world.meter.open(caller, "model", is_message=True)
    await world.call(MASTER, "paid-model")
    assert world.spent == [NANO // 2]
