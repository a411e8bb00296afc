from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from unit.pipeline.paying import CHAT, COST, NOW, World, key

from pointsman.access.budgets import nanos
from pointsman.access.keys import ModelBudget
from pointsman.access.limits import Limit
from pointsman.errors import BudgetExceeded, Overloaded
from pointsman.pipeline.till import Till
from pointsman.routing.settings import Alias, RoutingSettings
from pointsman.store.base import Records, SpendEvent, StoreDown


@pytest.fixture
def world(make_rig: Callable[..., Any], deployment: Callable[..., Any]) -> World:
    return World(make_rig, deployment())


async def test_what_was_spent_before_is_read_from_the_ledger_once(world: World) -> None:
    world.ledger.spent = Decimal("0.99")
    caller = key(max_budget=Decimal(1))
    for _ in range(2):
        with pytest.raises(BudgetExceeded) as raised:
            await world.ask(caller)
    assert "Current cost: 0.99, Max budget: 1" in raised.value.message
    assert world.ledger.asked == [({"key_id": "k1"}, 0.0)]


async def test_those_who_come_together_ask_the_ledger_together(world: World) -> None:
    caller, till = key(max_budget=Decimal(1)), world.till
    limit = caller.budgets[0].limit(NOW)
    assert limit is not None
    await till.reserve([], {limit.key: caller.budgets[0]})
    world.ledger.spent = Decimal("0.25")
    asking = [asyncio.ensure_future(till.rebuild(limit)) for _ in range(5)]
    await asyncio.sleep(0)
    asking.pop(0).cancel()
    assert await asyncio.gather(*asking) == [250_000_000] * 4
    assert len(world.ledger.asked) == 1


async def test_nobody_spends_what_nobody_can_tell(world: World) -> None:
    world.ledger.spent = StoreDown("away")
    with pytest.raises(Overloaded) as raised:
        await world.ask(key(max_budget=Decimal(1)))
    assert (raised.value.code, raised.value.retry_after) == ("store_unavailable", 1)
    assert world.rig.upstream.sent == []


async def test_new_money_is_spent_while_the_ledger_is_away(make_rig: Any, deployment: Any) -> None:
    now = [NOW]
    till = Till(now=lambda: now[0])
    till.has_ledger = True
    caller = key(max_budget=Decimal(1), budget_duration="1d")
    now[0] += 86_400
    limit = caller.budgets[0].limit(now[0])
    assert limit is not None
    await till.reserve([], {limit.key: caller.budgets[0]})
    assert await till.rebuild(limit) == 0
    with pytest.raises(StoreDown):
        await till.rebuild(Limit("money:other", "money", 5))


async def test_where_there_is_no_ledger_nothing_was_spent() -> None:
    assert await Till(now=lambda: NOW).rebuild(Limit("money:key:k", "money", 5)) == 0


@pytest.mark.parametrize("hard", [Decimal(1), None])
async def test_a_soft_budget_is_told_of_once(
    world: World, caplog: pytest.LogCaptureFixture, hard: Decimal | None
) -> None:
    caller = key(max_budget=hard, soft_budget=Decimal("0.03"))
    for _ in range(4):
        await world.ask(caller)
    assert [record.getMessage() for record in caplog.records] == [
        "the soft budget of the key k1 is passed: 0.03 dollars"
    ]


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("is_told", [True, False])
async def test_all_is_written_down_when_this_process_and_the_others_have(
    *, is_written: bool, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gather() -> bool:
        return is_told

    class Spending:
        async def flush(self) -> bool:
            return is_written

    till = Till(now=lambda: NOW)
    assert await till.gather()
    monkeypatch.setattr(till.counters, "gather", gather)
    till.spending = cast("Any", Spending())
    assert await till.write_down() == is_written
    assert await till.gather() == (is_written and is_told)


def test_events_have_ids_of_their_own() -> None:
    till, other = Till(now=lambda: NOW), Till(now=lambda: NOW)
    assert len({next(till.ids), next(till.ids), next(other.ids)}) == 3


async def test_a_budget_that_is_soft_only_stops_nobody_while_the_ledger_is_away(world: World) -> None:
    world.ledger.spent = StoreDown("away")
    assert (await world.ask(key(soft_budget=Decimal(1)))).status == 200


@pytest.mark.parametrize(
    ("name", "budget", "asked"),
    [("dear", "dear", "nick"), ("dear", "nick", "nick"), ("wild/*", "wild/*", "wild/abc"), ("dear", "dear", "dear")],
)
@pytest.mark.requirement("budgets.hard")
async def test_the_money_of_a_model_is_spent_under_whatever_name_it_was_asked_for(
    make_rig: Any, deployment: Any, name: str, budget: str, asked: str
) -> None:
    routing = RoutingSettings(num_retries=0, aliases={"nick": Alias(model="dear")})
    world = World(make_rig, deployment(name), deployment("cheap"), routing=routing)
    caller = key(model_max_budget={budget: ModelBudget(max_budget=Decimal(1))})
    await world.ask(caller, CHAT | {"model": asked})
    await world.ask(caller, CHAT | {"model": "cheap"})
    left = nanos(1 - COST)
    (counter,) = {one.meter(NOW) for one in caller.model_budgets[budget]}
    assert world.till.counters.remaining(counter) == left
    world.forget()
    assert await world.till.rebuild(counter) == nanos(COST)


async def test_what_a_model_has_cost_that_is_configured_no_more_is_not_forgotten(world: World) -> None:
    caller = key(model_max_budget={"gone": ModelBudget(max_budget=Decimal(1))})
    (budget,) = caller.model_budgets["gone"]
    world.ledger.events = [SpendEvent(id="e", at=NOW, model=name, cost_nano_usd=5) for name in ("gone", "gone/x")]
    assert await world.till.spent(cast("Records", world.ledger), budget, 0.0) == 5


@pytest.mark.requirement("limits.settled")
async def test_what_has_ended_in_a_turn_is_booked_at_its_end_or_before_somebody_is_refused_for_it(world: World) -> None:
    caller = key(max_parallel_requests=1)

    async def ask() -> None:
        call = world.rig.call()
        call.caller = caller
        await world.rig.pipeline.serve(call, msgspec.json.encode(CHAT))

    await ask()
    assert (world.left(caller, "slots"), world.ledger.events) == (0, [])
    await ask()
    assert len(world.ledger.events) == 1
    await asyncio.sleep(0)
    assert (world.left(caller, "slots"), len(world.ledger.events)) == (1, 2)
    assert not world.till.note_down()


async def test_what_cannot_be_booked_keeps_nothing_else_from_it(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.ledger.put

    def refuse(event: SpendEvent) -> None:
        monkeypatch.setattr(world.ledger, "put", put)
        raise ValueError(event.id)

    monkeypatch.setattr(world.ledger, "put", refuse)
    caller = key(max_parallel_requests=2)
    await asyncio.gather(world.ask(caller), world.ask(caller))
    assert (world.left(caller, "slots"), len(world.ledger.events)) == (2, 1)
    assert [record.getMessage() for record in caplog.records] == ["what a call has used was not booked"]
