from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pointsman.access.caller import Family, caller_of
from pointsman.access.keys import Key
from pointsman.errors import GatewayError
from pointsman.ml.prior import Card
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.errand import Ended
from pointsman.pipeline.explaining import Explaining, info_of
from pointsman.pipeline.lineups import Extras, routed_model
from pointsman.pipeline.procedures import pool_of, procedure_of
from pointsman.pipeline.question import question_of
from pointsman.pipeline.routed import RoutedModel
from pointsman.pipeline.till import Till
from pointsman.pipeline.wants import NOTHING, Wants
from pointsman.providers.base import Price
from pointsman.routing.procedures.base import Pooled
from pointsman.routing.settings import FailureKind, RoutedSettings, RoutingSettings
from pointsman.telemetry.meters import RoutingMeter
from pointsman.wire import operations as op

Make = Callable[..., Any]
NAMES = ("cheap", "middle", "best")
SIZES = {"cheap": 3.0, "middle": 30.0, "best": 300.0}
BODY = msgspec.json.encode({"model": "auto", "messages": [{"role": "user", "content": "Why is the sky blue?"}]})


TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}


class Records:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.chosen: Any = None
        self.ended: Any = None
        self.served: str | None = None

    def decided(self, request_id: str, chosen: Chosen) -> None:
        assert request_id == "r1"
        self.chosen = chosen

    def settled(self, request_id: str, chosen: Chosen, attempt: Attempt, served: str, problem: str) -> None:
        assert chosen is self.chosen
        self.served = served

    def answered(self, request_id: str, chosen: Chosen, ended: Ended) -> None:
        assert request_id == "r1"
        self.chosen, self.ended, self.served = chosen, ended, ended.served


@pytest.fixture
def house(make_rig: Make, deployment: Make) -> Callable[..., Any]:
    """Three models, the larger the dearer, and the routed model ``auto`` over them."""

    def make(strategy: str = "automix", blind: Collection[str] = (), till: Till | None = None, **more: Any) -> Any:
        cards = tuple(Card(name=name, size_billions=size) for name, size in SIZES.items())
        settings = RoutedSettings(name="auto", strategy=strategy, cards=cards, **more)
        routing = RoutingSettings(num_retries=0, routed={"auto": settings})
        deployments = []
        for name, size in SIZES.items():
            price = Price(input_usd_per_token=Decimal(size) / 10**8, output_usd_per_token=Decimal(size) / 10**8)
            lacks = frozenset({"images"} if name in blind else ())
            info = {"description": f"{name} one."}
            deployments.append(deployment(name, f"up-{name}", price=price, info=info, lacks=lacks))
        rig = make_rig(*deployments, routing=routing, till=till)
        routed = routed_model(
            settings,
            rig.groups,
            {},
            Extras(),
            RoutingMeter("auto"),
            clock=rig.clock,
            chance=lambda: 0.5,
            now=lambda: 1e9,
        )
        routed.procedure = procedure_of(settings, rig.pipeline, unique=lambda: "u", wall_clock=lambda: 1e9)
        rig.pipeline.routed["auto"] = routed
        return rig

    return make


async def pooled(rig: Any, want: Wants = NOTHING, body: bytes = BODY, **descriptions: str) -> list[Pooled]:
    routed: RoutedModel = rig.pipeline.routed["auto"]
    match = rig.groups.match("auto")
    question = question_of(rig.call(), match, "auto", want, body, None, RoutingSettings(), rig.clock())
    return pool_of(await routed.look(question), descriptions)


async def test_the_pool_is_led_by_whom_the_best_answer_is_expected_of(house: Make) -> None:
    pool = await pooled(house(), cheap="Quick.")

    assert [one.name for one in pool] == ["best", "middle", "cheap"]
    assert [one.description for one in pool] == ["best one.", "middle one.", "Quick."]
    costs = [one.cost_usd or 0 for one in pool]
    assert costs == sorted(costs, reverse=True)


async def test_whoever_rests_takes_no_part_unless_there_is_nobody_else(house: Make) -> None:
    rig = house()
    for name in ("best", "middle"):
        rest(rig, name)
    assert [one.name for one in await pooled(rig)] == ["cheap"]

    rest(rig, "cheap")
    assert len(await pooled(rig)) == 3


async def test_whoever_costs_more_than_the_request_may_takes_no_part(house: Make) -> None:
    rig = house()
    _, middle, _ = [one.cost_usd for one in await pooled(rig)]
    body = msgspec.json.encode({**msgspec.json.decode(BODY), "metadata": {"max_cost": middle}})

    assert [one.name for one in await pooled(rig, body=body)] == ["middle", "cheap"]


@pytest.mark.requirement("routing.procedures.automix")
async def test_a_request_to_a_routed_model_goes_through_its_procedure(house: Make) -> None:
    rig = house(options={"samples": 2})
    rig.upstreams["cheap-id"].once(said("Scattering."))
    rig.upstreams["cheap-id"].script(said("Verdict: correct"))
    reply = await rig.ask(BODY)

    assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == "Scattering."
    assert reply.headers["x-pointsman-asked"] == "answer:cheap verify:cheap*2"
    assert reply.headers["x-pointsman-reason"] == "automix"
    assert rig.pipeline.routed["auto"].meter.decisions == {("cheap", "automix"): 1}


async def test_what_needs_no_asking_goes_on_as_it_came(house: Make) -> None:
    rig = house("r1")
    body = {**msgspec.json.decode(BODY), "tools": [{"type": "function", "function": {"name": "f"}}], "x": 1}
    reply = await rig.ask(body)

    assert rig.asked == {"best-id": 1}
    assert rig.upstreams["best-id"].sent[0].json["x"] == 1
    assert reply.headers["x-pointsman-checkpoint"].startswith("prior")
    assert sum(rig.pipeline.routed["auto"].meter.decisions.values()) == 1


@pytest.mark.requirement("routing.procedures.reply")
async def test_one_shot_is_named_and_noted_for_the_model_that_has_answered(house: Make) -> None:
    rig = house("llm-multiround")
    routed = rig.pipeline.routed["auto"]
    routed.records = records = Records()
    # What is decided is another thing than whom the best answer is expected of.
    body = {**msgspec.json.decode(BODY), **TOOLS, "metadata": {"quality": 0}}
    rig.upstreams["best-id"].script(b'{"error":{"message":"no"}}', status=500)
    reply = await rig.ask(body)

    assert (await routed.look(records.chosen.question)).model == "cheap"
    assert rig.asked == {"best-id": 1, reply.headers["x-litellm-model-id"]: 1}
    served = reply.headers["x-litellm-model-id"].removesuffix("-id")
    assert reply.headers["x-pointsman-routed-model"] == served != "best"
    assert (records.chosen.model, records.chosen.reason, records.served) == ("best", "llm-multiround", served)
    assert records.chosen.propensity == 1.0
    assert routed.sessions.find(records.chosen.question.session, rig.clock()).model == served


@pytest.mark.requirement("routing.procedures.noted")
async def test_what_a_procedure_answers_itself_is_noted(house: Make) -> None:
    rig = house(options={"samples": 2}, target_cost=1e-4)
    routed = rig.pipeline.routed["auto"]
    routed.records = records = Records()
    rig.upstreams["cheap-id"].once(said("Scattering."))
    rig.upstreams["cheap-id"].script(said("Verdict: correct"))
    price = routed.price
    reply = await rig.ask(BODY)

    assert (records.chosen.model, records.chosen.reason, records.chosen.propensity) == ("cheap", "automix", 1.0)
    ended = records.ended
    assert (ended.served, ended.status) == ("cheap", 200)
    assert ended.cost_usd == pytest.approx(float(reply.headers["x-pointsman-asks-cost"]))
    assert ended.cost_usd == pytest.approx(3 * 15 * 3e-8)
    assert routed.sessions.find(records.chosen.question.session, rig.clock()).model == "cheap"
    assert routed.price < price


async def test_what_nobody_has_answered_is_noted_too_and_belongs_to_no_session(house: Make) -> None:
    rig = house("r1", options={"max_rounds": 1, "controller": "middle"})
    routed = rig.pipeline.routed["auto"]
    routed.records = records = Records()
    rig.upstreams["middle-id"].once(said("<search>cheap: Why?</search>"))
    for name in NAMES[1:]:
        rig.upstreams[f"{name}-id"].script(b'{"error":{"message":"no"}}', status=500)
    with pytest.raises(GatewayError):
        await rig.ask({**msgspec.json.decode(BODY), "disable_fallbacks": True})

    assert (records.served, records.ended.status, records.chosen.reason) == ("", 500, "r1")
    assert rig.asked == {"middle-id": 2, "cheap-id": 1}
    assert len(routed.sessions) == 0
    assert routed.meter.decisions == {}


@pytest.mark.requirement("routing.procedures.tools")
async def test_what_tools_have_said_goes_to_the_model_that_called_them(house: Make) -> None:
    rig = house(options={"samples": 1})
    routed = rig.pipeline.routed["auto"]
    rig.upstreams["cheap-id"].once(said("Let me look."))
    rig.upstreams["cheap-id"].script(said("Verdict: correct"))
    await rig.ask({**msgspec.json.decode(BODY), **TOOLS})
    asked = dict(rig.asked)
    assert routed.meter.decisions == {("cheap", "automix"): 1}

    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        *msgspec.json.decode(BODY)["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    reply = await rig.ask({"model": "auto", "messages": turns, **TOOLS})

    assert rig.asked == {"cheap-id": asked["cheap-id"] + 1}
    assert rig.upstreams["cheap-id"].sent[-1].json["messages"] == turns
    assert reply.headers["x-pointsman-reason"] == "tool loop"


@pytest.mark.requirement("routing.procedures.knobs")
@pytest.mark.parametrize(
    ("quality", "asked"),
    [(0, {"cheap-id": 1}), (0.4, {"cheap-id": 3}), (0.9, {"cheap-id": 3, "best-id": 1}), (1, {"best-id": 1})],
)
async def test_the_quality_of_a_request_says_how_sure_automix_has_to_be(
    house: Make, quality: float, asked: dict[str, int]
) -> None:
    rig = house(options={"samples": 2})
    for text in ("Scattering.", "Verdict: correct", "Verdict: incorrect"):
        rig.upstreams["cheap-id"].once(said(text))
    await rig.ask({**msgspec.json.decode(BODY), "metadata": {"quality": quality}})

    assert rig.asked == asked


@pytest.mark.requirement("routing.procedures.knobs")
async def test_only_knobs_that_do_something_are_told(house: Make) -> None:
    def told(strategy: str) -> dict[str, Any]:
        rig = house(strategy)
        found: dict[str, Any] = info_of(rig.pipeline.routed["auto"], rig.clock())["knobs"]
        return found

    assert told("automix").keys() == {"quality", "max_cost", "names"}
    assert told("r1") == {"max_cost": None, "names": ["auto"]}
    assert "target_share" in told("knn-multiround")
    assert "min_quality" in told("auto")


@pytest.mark.requirement("routing.procedures.budget")
@pytest.mark.parametrize(
    ("max_cost", "asked"), [(2e-4, {"cheap-id": 1, "middle-id": 1}), (6e-4, {"cheap-id": 16, "middle-id": 1})]
)
async def test_what_a_request_may_cost_bounds_what_is_asked_for_it(
    house: Make, max_cost: float, asked: dict[str, int]
) -> None:
    # An answer may cost 12 millionths of a dollar, fifteen judgements of it 300, and one of the larger model 120.
    rig = house(options={"samples": 15, "tiers": ["cheap", "middle"]})
    rig.upstreams["cheap-id"].once(said("Scattering."))
    rig.upstreams["cheap-id"].script(said("Verdict: incorrect"))
    await rig.ask({**msgspec.json.decode(BODY), "metadata": {"max_cost": max_cost}})

    assert rig.asked == asked


@pytest.mark.parametrize(
    ("strategy", "more", "first"),
    [
        ("automix", {}, [{"model": "cheap", "purpose": "answer"}]),
        ("r1", {}, [{"model": "best", "purpose": "think"}]),
        ("r1", {"tools": [{"type": "function", "function": {"name": "f"}}]}, []),
        ("knn-multiround", {"tools": [{"type": "function", "function": {"name": "f"}}]}, []),
    ],
)
async def test_whom_it_asks_first_is_explained(
    house: Make, strategy: str, more: dict[str, Any], first: list[dict[str, str]]
) -> None:
    rig = house(strategy)
    explaining = Explaining(rig.pipeline.routed, rig.groups, RoutingSettings(), rig.clock)
    told = await explaining.explain({"prompt": "Why is the sky blue?", **more}, {}, "")

    assert (told["procedure"], told["asks_first"]) == (strategy, first)
    assert rig.asked == {}


async def test_one_shot_goes_to_a_model_that_can_take_all_of_the_request(house: Make) -> None:
    rig = house("knn-multiround", blind={"best"})
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    turn = {"role": "user", "content": [{"type": "text", "text": "What is in it?"}, image]}
    reply = await rig.ask({"model": "auto", "messages": [turn]})

    assert rig.asked == {"middle-id": 1}
    assert reply.headers["x-litellm-attempted-fallbacks"] == "0"
    assert reply.headers["x-pointsman-routed-model"] == "middle"


async def test_parts_of_a_question_go_where_each_of_them_would(house: Make) -> None:
    rig = house("knn-multiround", options={"controller": "middle"})
    parts = '{"sub_queries": [{"query": "Why is it blue?"}, {"query": "Why not green?"}]}'
    rig.upstreams["middle-id"].once(said(parts))
    reply = await rig.ask(BODY)

    assert reply.status == 200
    assert reply.headers["x-pointsman-asks"] == "4"


def test_only_strategies_that_ask_have_a_procedure(house: Make) -> None:
    pipeline = house("auto").pipeline
    for strategy in ("auto", "knn", "causallm"):
        settings = RoutedSettings(name="auto", strategy=strategy)
        assert procedure_of(settings, pipeline, unique=lambda: "u", wall_clock=lambda: 1e9) is None


def test_options_that_are_not_valid_are_refused_and_those_of_others_left_alone(house: Make) -> None:
    pipeline = house("auto").pipeline

    def made(**options: Any) -> Any:
        settings = RoutedSettings(name="auto", strategy="r1", options=options)
        return procedure_of(settings, pipeline, unique=lambda: "u", wall_clock=lambda: 1e9)

    assert made(max_rounds=3, log_prompts=True) is not None
    with pytest.raises(ValueError, match="max_rounds"):
        made(max_rounds=0)


async def test_counting_tokens_asks_nobody_on_the_way(house: Make) -> None:
    rig = house()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Why?"}]}
    reply = await rig.ask(body, op.COUNT_TOKENS)

    assert msgspec.json.decode(reply.body)["input_tokens"] > 0


def rest(rig: Any, name: str) -> None:
    """Let the deployment of a model rest."""
    for _ in range(5):
        rig.groups.members[f"{name}-id"].fail(FailureKind.TIMEOUT, rig.clock(), rig.clock(), 0.5, None)


def said(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return msgspec.json.encode({"id": "c", "model": "up", "choices": [choice], "usage": usage})


@pytest.mark.requirement("limits.settled")
async def test_whoever_asks_pays_for_all_that_is_asked_on_the_way(house: Make) -> None:
    till = Till(now=lambda: 1e9)
    events: list[Any] = []
    till.spending = cast("Any", SimpleNamespace(put=events.append, note=list))
    rig = house(till=till)
    call = rig.call()
    key = Key(account="k1", rpm_limit=10, tpm_limit=100_000, max_budget=Decimal(1))
    caller = call.caller = caller_of(Family(id="row", key=key), 1e9)
    await rig.pipeline.serve(call, BODY)
    till.note_down()

    asked = sum(rig.asked.values())
    assert asked == len(events) > 1
    assert {(event.key_id, event.model, event.request_id) for event in events} == {("k1", "auto", "r1")}
    assert [till.counters.remaining(limit) for limit in caller.limits.requests] == [9]
    (money,) = caller.budgets
    limit = money.limit(1e9)
    assert limit is not None
    assert till.counters.remaining(limit) == 10**9 - sum(event.cost_nano_usd for event in events) < 10**9
    assert rig.downstream.headers["x-ratelimit-remaining-requests"] == "9"
