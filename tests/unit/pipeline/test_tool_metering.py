from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest
from unit.pipeline.paying import NOW, Ledger, key

from pointsman.access.caller import MASTER
from pointsman.access.keys import ModelBudget
from pointsman.errors import BudgetExceeded, Overloaded, RateLimited
from pointsman.mcp.settings import ServerSettings
from pointsman.pipeline import use_metering
from pointsman.pipeline.spending import Spending
from pointsman.pipeline.till import Till
from pointsman.pipeline.tool_metering import ToolMetering
from pointsman.store.base import Records, StoreDown

PRICES = {"dear": "0.25", "*": "0.01"}
NANO = 1_000_000_000


class World:
    """A meter of two servers, one of which costs something."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.till = Till(now=lambda: NOW)
        self.till.open_ledger(cast("Records", self.ledger), cast("Spending", self.ledger))
        servers = {
            one: ServerSettings(id=one, name=one, cost_usd=PRICES if one == "paid" else {}) for one in ["paid", "free"]
        }
        self.meter = ToolMetering(self.till, lambda: servers)

    async def call(
        self,
        caller: Any,
        tool: str | None = "dear",
        server: str = "paid",
        *,
        is_success: bool = True,
        is_due: bool = True,
    ) -> None:
        (await self.meter.open(caller, server, tool, "r1"))(is_success, is_due)

    @property
    def spent(self) -> list[int]:
        return [event.cost_nano_usd for event in self.ledger.events]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("mcp.spend")
async def test_each_call_is_an_event_under_the_name_of_its_tool(world: World) -> None:
    await world.call(key(user_id="u", tags=("x",)))
    (event,) = world.ledger.events
    assert (event.model, event.provider, event.deployment, event.upstream_model) == (
        "mcp:paid/dear",
        "mcp",
        "paid",
        "dear",
    )
    assert (event.key_id, event.user_id, event.tags, event.operation) == ("k1", "u", ("x",), "call_mcp_tool")
    assert (event.status, event.requests, event.failures, event.request_id) == ("success", 1, 0, "r1")


@pytest.mark.parametrize(
    ("server", "tool", "cost"),
    [("paid", "dear", NANO // 4), ("paid", "other", NANO // 100), ("free", "dear", 0), ("gone", "dear", 0)],
)
@pytest.mark.requirement("mcp.spend")
async def test_a_call_costs_what_the_operator_says(world: World, server: str, tool: str, cost: int) -> None:
    await world.call(MASTER, tool, server)
    assert world.spent == [cost]


async def test_a_call_that_no_server_had_costs_nothing(world: World) -> None:
    caller = key(max_budget=Decimal("0.25"))
    await world.call(caller, is_success=False, is_due=False)
    assert [(event.status, event.failures, event.cost_nano_usd) for event in world.ledger.events] == [("failure", 1, 0)]
    await world.call(caller)


@pytest.mark.requirement("mcp.spend")
async def test_a_call_that_has_failed_at_its_server_costs_the_same(world: World) -> None:
    await world.call(MASTER, is_success=False)
    assert [(event.failures, event.cost_nano_usd) for event in world.ledger.events] == [(1, NANO // 4)]


async def test_other_requests_are_limited_but_cost_nothing(world: World) -> None:
    caller = key(model_rpm_limit={"mcp:paid": 2}, max_budget=Decimal("0.01"))
    for _ in range(2):
        await world.call(caller, None)
    with pytest.raises(RateLimited):
        await world.call(caller, None)
    assert world.spent == []


@pytest.mark.requirement("mcp.limits")
async def test_a_budget_is_never_passed(world: World) -> None:
    caller = key(max_budget=Decimal("0.6"))
    closes = [await world.meter.open(caller, "paid", "dear") for _ in range(2)]
    with pytest.raises(BudgetExceeded):
        await world.call(caller)
    for close in closes:
        close(True, True)
    with pytest.raises(BudgetExceeded):
        await world.call(caller)
    await world.call(caller, "cheap")


async def test_where_nothing_is_left_not_even_what_is_free_can_be_called(world: World) -> None:
    caller = key(max_budget=Decimal("0.25"))
    await world.call(caller)
    with pytest.raises(BudgetExceeded):
        await world.call(caller, "any", "free")


async def test_a_tool_can_have_a_budget_of_its_own(world: World) -> None:
    caller = key(model_max_budget={"mcp:paid/dear": ModelBudget(Decimal("0.25"), "1d")})
    await world.call(caller)
    await world.call(caller, "other")
    with pytest.raises(BudgetExceeded):
        await world.call(caller)


@pytest.mark.parametrize(
    "terms", [{"rpm_limit": 2}, {"model_rpm_limit": {"mcp:paid": 2}}, {"model_rpm_limit": {"mcp:paid/dear": 2}}]
)
@pytest.mark.requirement("mcp.limits")
async def test_calls_in_a_minute_are_limited(world: World, terms: Any) -> None:
    caller = key(**terms)
    for _ in range(2):
        await world.call(caller)
    with pytest.raises(RateLimited):
        await world.call(caller)


async def test_calls_at_a_time_are_limited(world: World) -> None:
    caller = key(max_parallel_requests=1)
    close = await world.meter.open(caller, "paid", "dear")
    with pytest.raises(RateLimited):
        await world.call(caller)
    close(True, True)
    await world.call(caller)


@pytest.mark.requirement("mcp.limits")
async def test_a_call_for_a_request_that_has_a_slot_needs_none_but_counts_otherwise(world: World) -> None:
    caller = key(max_parallel_requests=1, rpm_limit=2, max_budget=Decimal("0.5"))
    await world.meter.open(caller, "paid", "dear")
    await world.meter.open(caller, "paid", "dear", has_slot=True)
    with pytest.raises(RateLimited, match="per minute"):
        await world.meter.open(caller, "paid", "dear", has_slot=True)
    with pytest.raises(BudgetExceeded):
        await world.meter.open(key(max_budget=Decimal("0.5")), "paid", "dear", has_slot=True)


async def test_where_nobody_knows_what_was_spent_nothing_is_called(world: World) -> None:
    world.ledger.spent = StoreDown("away")
    with pytest.raises(Overloaded):
        await world.call(key(max_budget=Decimal(1)))
    assert world.spent == []


async def test_what_is_known_of_callers_has_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use_metering, "MAX_TARIFFS", 2)
    for number in range(5):
        await world.call(MASTER, f"t{number}")
    assert len(world.meter._metering._tariffs) == 2


async def test_a_key_with_other_terms_is_measured_by_them(world: World) -> None:
    for limit in (5, 1):
        caller = key(max_parallel_requests=limit)
        close = await world.meter.open(caller, "paid", "dear")
        if limit == 1:
            with pytest.raises(RateLimited):
                await world.call(caller)
        close(True, True)
