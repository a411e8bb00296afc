from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from unit.pipeline.paying import CHAT, COST, NOW, World, key

from pointsman.access.budgets import dollars, nanos
from pointsman.access.caller import MASTER
from pointsman.access.keys import ModelBudget
from pointsman.access.limits import Grant
from pointsman.errors import BudgetExceeded, InvalidRequest, ModelNotFound, RateLimited, UpstreamRejected
from pointsman.pipeline.routed import RoutedModel
from pointsman.providers.base import Price
from pointsman.routing.settings import Alias, RoutingSettings
from pointsman.store.counting import Counters

ONE = Price(input_usd_per_token=Decimal(0), output_usd_per_token=Decimal(1))
"""A dollar for a token of output."""


@pytest.fixture
def world(make_rig: Callable[..., Any], deployment: Callable[..., Any]) -> World:
    return World(make_rig, deployment())


@pytest.mark.requirement("limits.headers")
async def test_replies_tell_what_is_left(world: World) -> None:
    caller = key(rpm_limit=10, max_budget=Decimal(1))
    await world.ask(caller)
    headers = (await world.ask(caller)).headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("10", "8")
    assert headers["x-litellm-key-spend"] == "0.020000000"
    assert (headers["x-litellm-key-max-budget"], headers["x-litellm-response-cost"]) == ("1", "0.02")


async def test_errors_tell_it_too(world: World) -> None:
    world.rig.upstream.script(b'{"error":{"message":"no"}}', status=400)
    caller = key(rpm_limit=10)
    with pytest.raises(UpstreamRejected) as raised:
        await world.ask(caller)
    assert ("x-ratelimit-remaining-requests", "9") in raised.value.headers
    (event,) = world.ledger.events
    assert (event.status, event.failures, event.cost_nano_usd) == ("BadRequestError", 1, 0)


async def test_what_the_master_uses_is_in_the_ledger_and_nowhere_else(world: World) -> None:
    reply = await world.ask(MASTER)
    assert not [name for name in reply.headers if "ratelimit" in name or "key" in name]
    (event,) = world.ledger.events
    assert (event.key_id, event.cost_nano_usd) == ("master", nanos(COST))
    world.till.spending = None
    assert (await world.ask(MASTER)).status == 200
    assert len(world.ledger.events) == 1


async def test_who_has_no_limits_waits_for_nobody_who_counts(world: World) -> None:
    closed: list[Grant] = []
    world.till.counters = cast(
        "Counters", SimpleNamespace(remaining=lambda _: None, settle=lambda grant, _: closed.append(grant))
    )
    for caller in (key(), MASTER):
        assert (await world.ask(caller)).status == 200
    assert len(world.ledger.events) == 2
    assert [(one.charges, one.is_open) for one in closed] == [([], False)] * 2


@pytest.mark.requirement("limits.refused")
async def test_whoever_is_over_a_limit_is_refused_before_anybody_is_asked(world: World) -> None:
    caller = key(rpm_limit=1)
    await world.ask(caller)
    with pytest.raises(RateLimited) as raised:
        await world.ask(caller)
    assert raised.value.retry_after == pytest.approx(60, abs=5)
    assert ("x-ratelimit-remaining-requests", "0") in raised.value.headers
    assert len(world.rig.upstream.sent) == 1


@pytest.mark.requirement("budgets.hard")
async def test_a_budget_is_not_passed_by_requests_that_run_at_the_same_time(world: World) -> None:
    # Each may cost as many dollars as it has bytes, and 5 tokens of output, and is charged for less.
    caller = key(max_budget=Decimal("0.5"))
    world.rig.upstream.script(is_held=True)
    tasks = [asyncio.create_task(world.ask(caller)) for _ in range(200)]
    await world.rig.turns()
    world.rig.upstream.go.set()
    world.rig.upstream.script(b'{"choices":[{"message":{}}],"usage":{"prompt_tokens":10,"completion_tokens":5}}')
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, BudgetExceeded)]
    assert len(refused) + len(world.ledger.events) == 200
    assert 0 < len(world.ledger.events) < 25
    assert world.ledger.total <= nanos(Decimal("0.5"))
    assert world.left(caller, "money") == nanos(Decimal("0.5")) - world.ledger.total


async def test_a_budget_has_to_do_for_the_dearest_model_that_may_answer(make_rig: Any, deployment: Any) -> None:
    dear = deployment("other", id="b", price=ONE)
    routing = RoutingSettings(num_retries=0, fallbacks={"house": ("other",)})
    world = World(make_rig, deployment(id="a"), dear, routing=routing)
    with pytest.raises(BudgetExceeded, match="may cost 5"):
        await world.ask(key(max_budget=Decimal(4)))
    wished = CHAT | {"model": "house", "fallbacks": [{"model": "house", "max_tokens": 9}]}
    with pytest.raises(BudgetExceeded, match="may cost 9"):
        await world.ask(key(max_budget=Decimal(6)), wished)


async def test_a_changed_key_is_metered_by_what_it_is_now(world: World) -> None:
    for limit in (5, 8):
        reply = await world.ask(key(rpm_limit=limit))
        assert reply.headers["x-ratelimit-limit-requests"] == str(limit)


async def test_a_model_that_is_not_there_is_refused_before_anything_is_reserved(world: World) -> None:
    caller = key(rpm_limit=1)
    with pytest.raises(ModelNotFound):
        await world.ask(caller, CHAT | {"model": "nobody"})
    assert world.left(caller, "rpm") == 1


async def test_a_fallback_that_the_caller_names_may_be_one_that_is_not_there(world: World) -> None:
    assert (await world.ask(key(max_budget=Decimal(1)), CHAT | {"fallbacks": ["nobody"]})).status == 200


@pytest.mark.parametrize("kind", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
async def test_a_budget_has_to_do_for_whatever_the_caller_goes_on_with(
    make_rig: Any, deployment: Any, kind: str
) -> None:
    world = World(make_rig, deployment(id="a"), deployment("other", id="b", price=ONE))
    poor = key(max_budget=Decimal("0.5"))
    more: dict[str, Any]
    for more in ({}, {"n": 100}, {"messages": [{"role": "user", "content": "x" * 1000}]}):
        body = CHAT | {"model": "house", kind: [{"model": "house" if more else "other"} | more]}
        with pytest.raises(BudgetExceeded):
            await world.ask(poor, body)
    assert (await world.ask(poor)).status == 200


async def test_fallbacks_of_fallbacks_may_answer_as_well(make_rig: Any, deployment: Any) -> None:
    dear = deployment("dear", id="c", price=ONE)
    routing = RoutingSettings(num_retries=0, fallbacks={"house": ("other",), "other": ("dear",), "dear": ("house",)})
    world = World(make_rig, deployment(id="a"), deployment("other", id="b"), dear, routing=routing)
    with pytest.raises(BudgetExceeded, match="may cost"):
        await world.ask(key(max_budget=Decimal(4)))


@pytest.mark.requirement("budgets.hard")
async def test_whoever_has_a_budget_is_not_served_what_nobody_knows_the_cost_of(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(price=Price()), deployment("paid", id="b"), deployment("told", id="c"))
    with pytest.raises(InvalidRequest, match="input_cost_per_token") as raised:
        await world.ask(key(max_budget=Decimal(1)))
    assert raised.value.code == "unknown_cost"
    # Neither without a budget nor with one that is only told of.
    assert (await world.ask(key(rpm_limit=5))).status == 200
    assert (await world.ask(key(soft_budget=Decimal(1)))).status == 200
    file = {"type": "file", "file": {"file_id": "f"}}
    body = CHAT | {"model": "paid", "messages": [{"role": "user", "content": [file]}]}
    with pytest.raises(InvalidRequest, match="max_input_tokens"):
        await world.ask(key(max_budget=Decimal(1)), body)
    assert (await world.ask(key(rpm_limit=5), body)).status == 200


async def test_a_document_is_as_long_as_the_model_lets_it_be(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(max_input_tokens=900))
    body = CHAT | {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}
    with pytest.raises(BudgetExceeded, match=r"may cost 0\.91"):
        await world.ask(key(max_budget=Decimal("0.9")), body)
    assert (await world.ask(key(max_budget=Decimal("0.91")), body)).status == 200


async def test_what_the_gateway_answers_itself_costs_nothing(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(price=Price(), mock_response="Hi"))
    assert (await world.ask(key(max_budget=Decimal("0.001")))).status == 200


async def test_names_of_any_length_are_not_kept(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment("wild/*"))
    await world.ask(key(max_budget=Decimal(900)), CHAT | {"model": "wild/" + "x" * 100_000, "user": "u" * 400_000})
    (event,) = world.ledger.events
    assert (len(event.model), len(event.end_user)) == (200, 200)
    assert len(event.upstream_model) <= 200
    metering = world.rig.pipeline._metering
    assert not [name for name in (*metering._rates, *(model for _, model in metering._tariffs)) if len(name) > 200]


@pytest.mark.requirement("budgets.hard")
async def test_a_dearer_tier_is_refused_where_there_is_a_hard_budget(world: World) -> None:
    body = CHAT | {"service_tier": "priority"}
    with pytest.raises(InvalidRequest, match="'service_tier'") as raised:
        await world.ask(key(max_budget=Decimal(1)), body)
    assert (raised.value.code, raised.value.param) == ("unknown_cost", "service_tier")
    assert (await world.ask(key(soft_budget=Decimal(1)), body)).status == 200


async def test_a_fallback_that_asks_for_a_dearer_tier_is_refused_too(world: World) -> None:
    body = CHAT | {"fallbacks": [{"model": "house", "service_tier": "priority"}]}
    with pytest.raises(InvalidRequest, match="'service_tier'"):
        await world.ask(key(max_budget=Decimal(1)), body)


@pytest.mark.requirement("limits.refused")
@pytest.mark.parametrize(
    "terms",
    [
        {"model_rpm_limit": {"other": 0}},
        {"model_tpm_limit": {"other": 0}},
        {"model_max_budget": {"other": ModelBudget(max_budget=Decimal("0.000001"))}},
        {"model_max_budget": {"wild/*": ModelBudget(max_budget=Decimal("0.000001"))}},
    ],
)
@pytest.mark.parametrize("kind", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
async def test_what_the_caller_goes_on_with_is_no_way_around_the_limits_of_its_model(
    make_rig: Any, deployment: Any, terms: dict[str, Any], kind: str
) -> None:
    world = World(make_rig, deployment(id="a"), deployment("other", id="b"), deployment("wild/*", id="c"))
    named = "wild/x" if "wild/*" in next(iter(terms.values())) else "other"
    with pytest.raises((RateLimited, BudgetExceeded)):
        await world.ask(key(**terms), CHAT | {"fallbacks": ["house"], kind: [named]})
    assert (await world.ask(key(**terms))).status == 200


async def test_the_money_of_a_model_that_the_caller_names_pays_for_what_it_does_and_no_more(
    make_rig: Any, deployment: Any
) -> None:
    names = ("house", "other", "wild/*")
    world = World(make_rig, *(deployment(name, id=name) for name in names))
    each = {name: ModelBudget(max_budget=Decimal(1)) for name in names}
    caller = key(model_max_budget=each, max_budget=Decimal(1))
    body = CHAT | {"fallbacks": ["other", "wild/x"]}

    def spent() -> list[Decimal]:
        budgets = [*caller.budgets, *(caller.model_budgets[name][0] for name in names)]
        return [1 - dollars(world.till.counters.remaining(one.meter(NOW)) or 0) for one in budgets]

    await world.ask(caller, body)
    assert spent() == [COST, COST, 0, 0]
    world.rig.upstreams["house"].script(b"{}", status=500)
    await world.ask(caller, body)
    assert spent() == [2 * COST, COST, COST, 0]
    world.rig.upstreams["other"].script(b"{}", status=500)
    await world.ask(caller, body)
    assert spent() == [3 * COST, COST, COST, COST]


async def test_the_model_without_a_price_is_named(make_rig: Any, deployment: Any) -> None:
    routing = RoutingSettings(num_retries=0, fallbacks={"house": ("other",)})
    world = World(make_rig, deployment(id="a"), deployment("other", id="b", price=Price()), routing=routing)
    with pytest.raises(InvalidRequest, match="of the model 'other', which a request to 'house' may come to"):
        await world.ask(key(max_budget=Decimal(1)))
    with pytest.raises(InvalidRequest, match="of the model 'other', nobody"):
        await world.ask(key(max_budget=Decimal(1)), CHAT | {"model": "other"})
    world = World(make_rig, deployment(id="a"), deployment("other", id="b", price=Price()))
    with pytest.raises(InvalidRequest, match="of the model 'other', which a request to 'house' may come to"):
        await world.ask(key(max_budget=Decimal(1)), CHAT | {"fallbacks": ["other"]})


@pytest.mark.parametrize("asked", ["auto", "smart"])
async def test_who_is_asked_on_the_way_and_is_no_candidate_has_a_price_too(
    make_rig: Any, deployment: Any, asked: str
) -> None:
    auto, cheap, judge = deployment("auto", id="a"), deployment("cheap", id="b"), deployment("judge", id="c", price=ONE)
    routing = RoutingSettings(num_retries=0, aliases={"smart": Alias(model="auto")})
    world = World(make_rig, auto, cheap, judge, routing=routing)
    routed = SimpleNamespace(lineup=SimpleNamespace(places={"cheap": 0}), procedure=SimpleNamespace(names=("judge",)))
    world.rig.pipeline.routed["auto"] = cast("RoutedModel", routed)
    with pytest.raises(BudgetExceeded, match="may cost 5"):
        await world.ask(key(max_budget=Decimal(4)), CHAT | {"model": asked})
