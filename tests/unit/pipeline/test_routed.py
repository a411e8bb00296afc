from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from unit.pipeline.routing import MODELS, add_routed, chat, routed_rig
from unit.routing.learnt import learnt

from pointsman.errors import InvalidRequest, ModelNotFound, UpstreamRejected, UpstreamUnreachable
from pointsman.ml.base import Features, Floats, Scores
from pointsman.ml.decision import Ranking, Reason
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.features import Featurizer
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.lineups import Fixed
from pointsman.pipeline.routed import RoutedModel
from pointsman.pipeline.settings import CacheSettings, ServingSettings
from pointsman.providers.base import Price
from pointsman.routing.settings import Alias, FailureKind, RoutedSettings, RoutingSettings
from pointsman.routing.strategies.learned import Chooser
from pointsman.wire import operations as op

Make = Callable[..., Any]
Tried = tuple[int, NDArray[np.float64] | None, Reason | None]
ERROR = b'{"error":{"message":"no","type":"t","code":"c"}}'


def _routed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("x-pointsman-"): text for name, text in headers.items() if "x-pointsman-" in name}


@pytest.mark.requirement("routing.learned.prompt")
async def test_a_prompt_goes_to_the_model_that_is_worth_most(groups: Make) -> None:
    rig = routed_rig(groups)
    reply = await rig.ask(chat())
    assert rig.asked == {"house-id": 1}
    assert rig.sent.json["model"] == "up-house"
    assert msgspec.json.decode(reply.body)["model"] == "house"


async def test_what_is_known_of_the_prompt_decides(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.told.quality = [0.2, 0.3, 0.8]
    await rig.ask(chat())
    assert rig.asked == {"third-id": 1}


async def test_reply_headers_tell_where_it_went_and_why(groups: Make) -> None:
    rig = routed_rig(groups, about={"prices": {}})
    assert _routed((await rig.ask(chat())).headers) == {
        "routed-model": "house",
        "reason": "baseline",
        "predicted-quality": "0.900",
        "predicted-cost": "0.02",
        "checkpoint": "knn@0123456789ab",
    }


async def test_another_model_has_no_such_headers(groups: Make) -> None:
    rig = routed_rig(groups)
    assert _routed((await rig.ask(chat(model="second"))).headers) == {}
    assert rig.asked == {"second-id": 1}


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"model": "auto:best"}, "house-id"),
        ({"model": "auto:0"}, "third-id"),
        ({"metadata": {"quality": 0}}, "third-id"),
        ({"pointsman": {"quality": 0}}, "third-id"),
        ({"pointsman": {"max_cost": 0.015}}, "second-id"),
        ({"pointsman": {"min_quality": 0.5}}, "second-id"),
        ({"model": "auto:0", "pointsman": {"quality": "best"}}, "house-id"),
        ({"model": "router-mf-0"}, "house-id"),
        ({"model": "router-mf-1"}, "second-id"),
    ],
)
async def test_a_request_says_how_good_it_has_to_be(groups: Make, said: dict[str, Any], asked: str) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(**said))
    assert rig.asked == {asked: 1}
    assert not {"pointsman", "metadata"} & rig.sent.json.keys()


async def test_what_is_said_to_a_routed_model_never_reaches_an_upstream(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(model="second", pointsman={"quality": 0.5}))
    assert "pointsman" not in rig.sent.json
    with pytest.raises(InvalidRequest, match="'pointsman': expected an object"):
        await rig.ask(chat(model="second", pointsman=3))


async def test_who_is_slow_is_worth_less_where_that_matters(groups: Make) -> None:
    rig = routed_rig(groups, impatience=0.2)
    rig.groups.members["house-id"].hear(3.0)
    await rig.ask(chat(model="auto:best"))
    assert rig.asked == {"second-id": 1}


async def test_headers_say_it_too(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(), headers={b"x-pointsman-quality": b"0"})
    assert rig.asked == {"third-id": 1}


async def test_the_operator_says_it_for_requests_that_do_not(groups: Make) -> None:
    rig = routed_rig(groups, quality=0.0)
    await rig.ask(chat())
    await rig.ask(chat(model="auto:best"))
    assert rig.asked == {"third-id": 1, "house-id": 1}


async def test_an_alias_can_hold_a_knob(groups: Make) -> None:
    mine = RoutedSettings(name="auto")
    rig = groups(routed={"auto": mine}, aliases={"thrifty": Alias(model="auto:0")})
    add_routed(rig, mine)
    await rig.ask(chat(model="thrifty"))
    assert rig.asked == {"third-id": 1}


async def test_an_answer_out_of_the_cache_tells_where_it_would_have_gone(groups: Make) -> None:
    mine = RoutedSettings(name="auto")
    rig = groups(ServingSettings(cache=CacheSettings()), routed={"auto": mine})
    add_routed(rig, mine)
    first, again = await rig.ask(chat()), await rig.ask(chat())
    assert rig.asked == {"house-id": 1}
    assert again.body == first.body
    assert _routed(again.headers)["routed-model"] == "house"


async def test_a_retry_at_the_chosen_model_is_no_fallback(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.upstreams["house-id"].once(ERROR, status=500)
    await rig.ask(chat(num_retries=1))
    assert rig.asked == {"house-id": 2}
    assert rig.metrics.retried() == {"auto": 1}
    assert rig.metrics.fallbacks() == {}


@pytest.mark.requirement("routing.learned.knobs")
async def test_only_those_within_the_limit_follow_unless_none_is(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.upstreams["second-id"].error = UpstreamUnreachable()
    await rig.ask(chat(pointsman={"max_cost": 0.015}))
    assert rig.asked == {"second-id": 1, "third-id": 1}
    rig.upstreams["third-id"].error = UpstreamUnreachable()
    with pytest.raises(UpstreamUnreachable):
        await rig.ask(chat(pointsman={"max_cost": 0.015}))
    assert "house-id" not in rig.asked
    reply = await rig.ask(chat(pointsman={"max_cost": 0.0001}))
    assert _routed(reply.headers)["reason"] == "limit"
    assert rig.asked["house-id"] == 1


async def test_a_limit_leaves_out_what_the_configuration_has_further(groups: Make) -> None:
    mine = RoutedSettings(name="auto", candidates=("house", "second"))
    rig = groups(routed={"auto": mine}, default_fallbacks=("third",))
    add_routed(rig, mine)
    for ident in ("house-id", "second-id"):
        rig.upstreams[ident].error = UpstreamUnreachable()
    with pytest.raises(UpstreamUnreachable):
        await rig.ask(chat(pointsman={"max_cost": 0.05}))
    await rig.ask(chat())
    assert rig.asked["third-id"] == 1


async def test_a_fallback_that_is_a_routed_model_is_refused(groups: Make) -> None:
    rig = routed_rig(groups)
    for name in ("auto", "auto:cheap"):
        with pytest.raises(InvalidRequest, match="cannot be fallen back to: name one of its candidates"):
            await rig.ask(chat(model="house", fallbacks=[name]))
    await rig.ask(chat(model="house", fallbacks=["second", "nobody"]))
    assert rig.asked == {"house-id": 1}


@pytest.mark.parametrize("model", ["auto:1.5", "router-mf-2"])
async def test_a_knob_that_is_none_is_refused(groups: Make, model: str) -> None:
    with pytest.raises((InvalidRequest, ModelNotFound)):
        await routed_rig(groups).ask(chat(model=model))


@pytest.mark.requirement("routing.learned.filters")
async def test_the_order_of_the_decision_is_that_of_the_fallbacks(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.upstreams["house-id"].error = UpstreamUnreachable()
    reply = await rig.ask(chat())
    assert rig.asked == {"house-id": 1, "second-id": 1}
    assert reply.headers["x-pointsman-routed-model"] == "house"
    assert reply.headers["x-litellm-model-group"] == "second"
    assert msgspec.json.decode(reply.body)["model"] == "second"


async def test_a_callers_own_fallbacks_go_in_the_place_of_these(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.upstreams["house-id"].error = UpstreamUnreachable()
    await rig.ask(chat(fallbacks=["third"]))
    assert rig.asked == {"house-id": 1, "third-id": 1}
    with pytest.raises(UpstreamUnreachable):
        await rig.ask(chat(disable_fallbacks=True))


@pytest.mark.requirement("routing.learned.filters")
async def test_who_rests_is_not_chosen(groups: Make) -> None:
    rig = routed_rig(groups)
    member = rig.groups.members["house-id"]
    for _ in range(5):
        member.enter(rig.clock.now)
        member.fail(FailureKind.TIMEOUT, rig.clock.now, rig.clock.now, 0.5, None)
    reply = await rig.ask(chat())
    assert rig.asked == {"second-id": 1}
    assert reply.headers["x-pointsman-routed-model"] == "second"


async def test_when_all_rest_the_best_is_asked_all_the_same(groups: Make) -> None:
    rig = routed_rig(groups)
    for member in rig.groups.members.values():
        for _ in range(5):
            member.enter(rig.clock.now)
            member.fail(FailureKind.TIMEOUT, rig.clock.now, rig.clock.now, 0.5, None)
    await rig.ask(chat())
    assert rig.asked == {"house-id": 1}


@pytest.mark.requirement("routing.learned.filters")
async def test_who_cannot_take_a_request_is_not_chosen(make_rig: Make, deployment: Make) -> None:
    mine = RoutedSettings(name="auto")
    deployments = [
        deployment("house", "up-house", lacks=frozenset({"tools"})),
        deployment("second", "up-second", max_input_tokens=5),
        deployment("third", "up-third"),
    ]
    rig = make_rig(*deployments, routing=RoutingSettings(num_retries=0, routed={"auto": mine}))
    add_routed(rig, mine)
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    await rig.ask(chat(("user", "one two three four five six"), tools=[tool]))
    assert rig.asked == {"third-id": 1}


async def test_nobody_who_can_take_it_is_told_with_the_reasons(make_rig: Make, deployment: Make) -> None:
    mine = RoutedSettings(name="auto")
    rig = make_rig(deployment("house", "up-house", max_input_tokens=5), routing=RoutingSettings(routed={"auto": mine}))
    add_routed(rig, mine, {"house": (0.9, 0.02)})
    with pytest.raises(InvalidRequest, match=r"'auto' can take this request \(context window\)") as caught:
        await rig.ask(chat(("user", "one two three four five six")))
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (op.RESPONSES, {"model": "auto", "input": "Hello"}),
        (op.MESSAGES, {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}),
        (op.COMPLETION, {"model": "auto", "prompt": "Hello"}),
    ],
)
async def test_every_dialect_is_routed(groups: Make, operation: Any, body: dict[str, Any]) -> None:
    rig = routed_rig(groups)
    rig.told.quality = [0.2, 0.3, 0.8]
    reply = await rig.ask(body, operation)
    assert rig.asked == {"third-id": 1}
    assert reply.headers["x-pointsman-routed-model"] == "third"


async def test_a_model_in_the_path_is_routed(groups: Make) -> None:
    rig = routed_rig(groups)
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    reply = await rig.ask(body, op.GENERATE_CONTENT, path_model="auto:0")
    assert reply.headers["x-pointsman-routed-model"] == "third"


async def test_a_stream_is_routed(groups: Make) -> None:
    rig = routed_rig(groups)
    event = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    rig.upstreams["house-id"].script(event, kind=b"text/event-stream")
    reply = await rig.ask(chat(stream=True))
    assert reply.headers["x-pointsman-routed-model"] == "house"
    assert b"[DONE]" in reply.body


@pytest.mark.parametrize(
    ("operation", "body"),
    [(op.EMBEDDINGS, {"model": "auto", "input": "x"}), (op.SPEECH, {"model": "auto", "input": "x", "voice": "v"})],
)
async def test_what_is_no_conversation_is_refused(groups: Make, operation: Any, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="for conversations only"):
        await routed_rig(groups).ask(body, operation)


async def test_counting_tokens_is_routed_and_noted_nowhere(groups: Make) -> None:
    rig = routed_rig(groups)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    reply = await rig.ask(body, op.COUNT_TOKENS)
    assert reply.status == 200
    assert (len(rig.routed.sessions), rig.routed.meter.counts()) == (0, {})


async def test_a_body_that_is_no_conversation_is_refused(groups: Make) -> None:
    with pytest.raises(InvalidRequest):
        await routed_rig(groups).ask(b'{"model":"auto","messages":[3]}')


# -- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.learned.sessions")
async def test_a_session_stays_with_its_model_unless_another_one_is_better_by_a_margin(groups: Make) -> None:
    rig = routed_rig(groups)
    headers = {b"x-session-id": b"s"}
    await rig.ask(chat(), headers=headers)
    rig.told.quality, rig.told.cost_usd = [0.80, 0.81, 0.3], [0.01] * 3
    reply = await rig.ask(chat(), headers=headers)
    assert _routed(reply.headers)["reason"] == "session"
    assert rig.asked == {"house-id": 2}
    rig.told.quality = [0.6, 0.9, 0.3]
    await rig.ask(chat(), headers=headers)
    assert rig.asked == {"house-id": 2, "second-id": 1}


async def test_a_conversation_is_its_own_session(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(("user", "Hello")))
    rig.told.quality, rig.told.cost_usd = [0.80, 0.81, 0.3], [0.01] * 3
    reply = await rig.ask(chat(("user", "Hello"), ("assistant", "Hi"), ("user", "More")))
    assert _routed(reply.headers)["reason"] == "session"


async def test_a_conversation_that_begins_alike_is_another_one(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat())
    rig.told.quality, rig.told.cost_usd = [0.80, 0.81, 0.3], [0.01] * 3
    assert _routed((await rig.ask(chat())).headers)["reason"] == "gain"


async def test_sessions_of_two_callers_are_two(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(), headers={b"x-session-id": b"s"}, tenant="a")
    rig.told.quality, rig.told.cost_usd = [0.80, 0.81, 0.3], [0.01] * 3
    reply = await rig.ask(chat(), headers={b"x-session-id": b"s"}, tenant="b")
    assert _routed(reply.headers)["reason"] == "gain"


@pytest.mark.requirement("routing.learned.sessions")
async def test_a_tool_loop_stays_with_the_model_that_called_the_tools(groups: Make) -> None:
    rig = routed_rig(groups)
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    await rig.ask(chat())
    rig.told.quality = [0.1, 0.9, 0.3]
    reply = await rig.ask({"model": "auto", "messages": messages})
    assert _routed(reply.headers)["reason"] == "tool loop"
    assert rig.asked == {"house-id": 2}


def _calling(ident: str) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.requirement("routing.learned.sessions")
@pytest.mark.parametrize("is_stream", [False, True])
async def test_results_go_to_the_model_whose_calls_they_are_however_alike_conversations_begin(
    groups: Make, *, is_stream: bool
) -> None:
    rig = routed_rig(groups)
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [_calling("call_1")]}}]}
    rig.upstreams["house-id"].script(msgspec.json.encode(answer))
    if is_stream:
        event = {"choices": [{"index": 0, "delta": {"tool_calls": [_calling("call_1") | {"index": 0}]}}]}
        events = b"data: %b\n\ndata: [DONE]\n\n" % msgspec.json.encode(event)
        rig.upstreams["house-id"].script(events, kind=b"text/event-stream")
    await rig.ask(chat(stream=is_stream), tenant="mine")
    await rig.ask(chat(model="auto:0"), tenant="mine")
    rig.upstreams["house-id"].script(b'{"choices":[]}')
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "tool_calls": [_calling("call_1")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        {"role": "system", "content": "Be quick."},
    ]
    reply = await rig.ask({"model": "auto:0", "messages": messages}, tenant="mine")
    assert (_routed(reply.headers)["routed-model"], _routed(reply.headers)["reason"]) == ("house", "tool loop")
    reply = await rig.ask({"model": "auto:0", "messages": messages}, tenant="other")
    assert _routed(reply.headers)["routed-model"] == "third"


async def test_a_session_goes_on_with_whoever_has_answered(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.upstreams["house-id"].once(ERROR, status=500)
    await rig.ask(chat(), headers={b"x-session-id": b"s"})
    rig.told.quality, rig.told.cost_usd = [0.61, 0.60, 0.3], [0.01] * 3
    reply = await rig.ask(chat(), headers={b"x-session-id": b"s"})
    assert (_routed(reply.headers)["reason"], _routed(reply.headers)["routed-model"]) == ("session", "second")


async def test_what_a_provider_has_cached_holds_a_long_session(make_rig: Make, deployment: Make) -> None:
    price = Price(input_usd_per_token=Decimal("0.001"), cached_input_usd_per_token=Decimal("0.0001"))
    mine = RoutedSettings(name="auto", quality=0.5)
    rig = make_rig(
        deployment("house", "up-house", price=price),
        deployment("second", "up-second"),
        routing=RoutingSettings(num_retries=0, routed={"auto": mine}),
    )
    routed, told = add_routed(rig, mine, {"house": (0.9, 0.02), "second": (0.6, 0.01)})
    told.quality = [0.9, 0.5]
    headers = {b"x-session-id": b"s"}
    await rig.ask(chat(("user", "word " * 2000)), headers=headers)
    told.quality = [0.5, 0.9]
    reply = await rig.ask(chat(("user", "word " * 2000)), headers=headers)
    assert _routed(reply.headers)["reason"] == "session"
    last = routed.sessions.find(("id", "", "s"), rig.clock.now)
    assert last is not None
    assert last.tokens == 2000


# -- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.learned.targets")
async def test_a_target_in_dollars_is_kept_by_what_requests_have_cost(groups: Make) -> None:
    rig = routed_rig(groups, target_cost=0.01)
    before = rig.routed.price
    # The fixture's answers cost two cents each: twice the target.
    for _ in range(20):
        await rig.ask(chat())
    assert rig.routed.price > before


@pytest.mark.requirement("routing.learned.targets")
async def test_a_share_of_strong_calls_is_kept(groups: Make) -> None:
    rig = routed_rig(groups, target_share=0.5)
    for _ in range(400):
        await rig.ask(chat())
    assert rig.asked["house-id"] == pytest.approx(200, abs=12)


async def test_a_request_that_says_itself_is_no_concern_of_the_target(groups: Make) -> None:
    rig = routed_rig(groups, target_share=0.0)
    await rig.ask(chat(model="auto:best"))
    assert rig.asked == {"house-id": 1}


# -- within a group ---------------------------------------------------------------------------------------------------


def _mixed(make_rig: Make, deployment: Make, **settings: Any) -> Any:
    mine = RoutedSettings(name="chat", is_within_group=True, **settings)
    deployments = [
        deployment("chat", "large", id="large"),
        deployment("chat", "small", id="small-1"),
        deployment("chat", "small", id="small-2"),
    ]
    rig = make_rig(*deployments, routing=RoutingSettings(num_retries=1, routed={"chat": mine}))
    rig.routed, rig.told = add_routed(rig, mine, {"large": (0.9, 0.02), "small": (0.6, 0.001)})
    return rig


async def test_a_group_of_several_upstream_models_chooses_among_them(make_rig: Make, deployment: Make) -> None:
    rig = _mixed(make_rig, deployment)
    reply = await rig.ask(chat(model="chat"))
    assert rig.asked == {"large": 1}
    assert _routed(reply.headers)["routed-model"] == "large"
    assert msgspec.json.decode(reply.body)["model"] == "chat"
    rig.told.quality = [0.2, 0.8]
    await rig.ask(chat(model="chat"))
    assert sum(rig.asked.values()) == 2
    assert rig.asked["large"] == 1


async def test_within_a_group_another_upstream_model_follows_a_failure(make_rig: Make, deployment: Make) -> None:
    rig = _mixed(make_rig, deployment)
    rig.upstreams["large"].script(ERROR, status=500)
    reply = await rig.ask(chat(model="chat:best"))
    assert reply.headers["x-litellm-model-group"] == "chat"
    assert rig.asked["large"] == 1
    assert sum(rig.asked.values()) == 2


async def test_a_deployment_that_is_named_by_its_id_is_not_routed(make_rig: Make, deployment: Make) -> None:
    rig = _mixed(make_rig, deployment)
    reply = await rig.ask(chat(model="small-1"))
    assert (rig.asked, _routed(reply.headers)) == ({"small-1": 1}, {})


async def test_embeddings_of_such_a_group_are_served_as_ever(make_rig: Make, deployment: Make) -> None:
    rig = _mixed(make_rig, deployment)
    await rig.ask({"model": "chat", "input": "x"}, op.EMBEDDINGS)
    assert sum(rig.asked.values()) == 1


@pytest.mark.requirement("routing.learned.groups")
@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (op.COMPLETION, {"model": "chat", "prompt": [1, 2, 3]}),
        (op.COMPLETION, {"model": "chat", "prompt": ["one", "two"]}),
        (op.CHAT, {"model": "chat", "messages": [{"role": "user", "content": "x"}], "metadata": {"quality": "high"}}),
    ],
)
async def test_such_a_group_serves_what_cannot_be_read_as_a_prompt(
    make_rig: Make, deployment: Make, operation: Any, body: dict[str, Any]
) -> None:
    rig = _mixed(make_rig, deployment)
    reply = await rig.ask(body, operation)
    assert (reply.status, sum(rig.asked.values()), _routed(reply.headers)) == (200, 1, {})
    assert rig.sent.json.items() >= {name: value for name, value in body.items() if name != "model"}.items()
    with pytest.raises(InvalidRequest):
        await rig.ask({**body, "model": "chat:1.5"}, operation)


async def test_such_a_group_keeps_a_limit_where_one_fails(make_rig: Make, deployment: Make) -> None:
    rig = _mixed(make_rig, deployment)
    for name in ("small-1", "small-2"):
        rig.upstreams[name].script(ERROR, status=500)
    with pytest.raises(UpstreamRejected):
        await rig.ask(chat(model="chat", pointsman={"max_cost": 0.01}, num_retries=3))
    assert "large" not in rig.asked
    await rig.ask(chat(model="chat", num_retries=3))
    assert rig.asked["large"] == 1


async def test_deployments_of_one_model_are_named_as_that_model(make_rig: Make, deployment: Make) -> None:
    mine = RoutedSettings(name="chat", is_within_group=True)
    deployments = [
        deployment("chat", "large", id="large"),
        deployment("chat", "my-small", id="small", info={"base_model": "small"}),
    ]
    rig = make_rig(*deployments, routing=RoutingSettings(num_retries=1, routed={"chat": mine}))
    rig.routed, rig.told = add_routed(rig, mine, {"large": (0.9, 0.02), "small": (0.95, 0.001)})
    rig.routed.records = records = _Records()
    await rig.ask(chat(model="chat"))
    assert rig.asked == {"small": 1}
    assert [served for _, served, *_ in records.settled_] == ["small"]


# -- who learns, asks or embeds ---------------------------------------------------------------------------------------


class _Learning:
    """Tries the candidate in the place that a test names."""

    def __init__(self, place: int, candidate: Chooser | None = None, *, picks: bool = False) -> None:
        self.place = place
        self.candidate = candidate
        self.picks = picks
        self.asked = 0

    def before(self, chooser: Chooser, features: Features, scores: Scores) -> Scores:
        assert len(features) == 1
        return scores

    def after(self, chooser: Chooser, ranking: Ranking, chance: float, now: float) -> Tried:
        self.asked += 1
        chances = np.full(len(ranking.is_within), 0.25)
        return self.place, chances, "exploration"

    def picks_candidate(self, chance: float) -> bool:
        return self.picks

    def mixed(self, chosen: Chosen, trial: Chosen, *, is_trial: bool) -> Chosen:
        followed, other = (trial, chosen) if is_trial else (chosen, trial)
        return msgspec.structs.replace(followed, shadow=other.model)


class _Records:
    def __init__(self) -> None:
        self.noted: list[tuple[str, Chosen]] = []
        self.settled_: list[tuple[str, str, int, Any]] = []

    def decided(self, request_id: str, chosen: Chosen) -> None:
        self.noted.append((request_id, chosen))

    def settled(self, request_id: str, chosen: Chosen, attempt: Attempt, served: str, problem: str) -> None:
        self.settled_.append((request_id, served, attempt.call.status, attempt.cost))


async def test_who_learns_may_try_another_candidate(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.routed.learning, rig.routed.records = _Learning(2), _Records()
    reply = await rig.ask(chat())
    assert (_routed(reply.headers)["reason"], rig.asked) == ("exploration", {"third-id": 1})
    ((request_id, chosen),) = rig.routed.records.noted
    assert (request_id, chosen.model, chosen.first, chosen.propensity) == ("r1", "third", "house", 0.25)


async def test_nothing_is_tried_where_a_limit_or_a_session_has_decided(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(), headers={b"x-session-id": b"s"})
    rig.told.quality, rig.told.cost_usd = [0.80, 0.81, 0.3], [0.01] * 3
    learning = rig.routed.learning = _Learning(2)
    await rig.ask(chat(), headers={b"x-session-id": b"s"})
    await rig.ask(chat(("user", "Other"), pointsman={"max_cost": 0.0}))
    assert learning.asked == 0


async def test_nothing_is_tried_in_a_session_or_by_looking(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat(), headers={b"x-session-id": b"s"})
    learning = rig.routed.learning = _Learning(2)
    await rig.ask(chat(), headers={b"x-session-id": b"s"})
    assert (await rig.routed.look(_question(rig))).model == "house"
    assert (learning.asked, rig.asked) == (0, {"house-id": 2})


async def test_what_became_of_a_decision_is_told(groups: Make) -> None:
    rig = routed_rig(groups)
    records = rig.routed.records = _Records()
    await rig.ask(chat())
    assert records.settled_ == [("r1", "house", 200, Decimal("0.020"))]


async def test_a_failure_is_told_too(groups: Make) -> None:
    rig = routed_rig(groups)
    records = rig.routed.records = _Records()
    for upstream in rig.upstreams.values():
        upstream.script(ERROR, status=400)
    with pytest.raises(UpstreamRejected):
        await rig.ask(chat())
    assert records.settled_ == [("r1", "", 400, None)]


@pytest.mark.parametrize("picks", [False, True])
async def test_a_checkpoint_on_trial_decides_beside_or_instead(groups: Make, picks: bool) -> None:
    rig = routed_rig(groups)
    other, _ = learnt({"house": (0.1, 0.02), "second": (0.9, 0.01), "third": (0.3, 0.001)})
    trial = Chooser(replace(other, strategy="svm"), rig.routed.lineup)

    class _Trial(_Learning):
        def after(self, chooser: Chooser, ranking: Ranking, chance: float, now: float) -> Tried:
            return ranking.order[0], None, None

    rig.routed.learning, rig.routed.records = _Trial(0, trial, picks=picks), _Records()
    await rig.ask(chat())
    (_, chosen) = rig.routed.records.noted[0]
    assert (chosen.model, chosen.shadow) == (("second", "house") if picks else ("house", "second"))
    assert chosen.chooser.strategy == ("svm" if picks else "knn")
    assert rig.asked == ({"second-id": 1} if picks else {"house-id": 1})


class _Embedding:
    is_outside = True

    def __init__(self, vector: Floats | None) -> None:
        self.vector = vector
        self.asked = 0

    async def of(self, text: str) -> Floats | None:
        assert text == "Hello"
        self.asked += 1
        return self.vector

    def kept(self, text: str) -> Floats | None:
        assert text == "Hello"
        return self.vector if self.asked else None

    def status(self) -> dict[str, Any]:
        return {"asked": 1}


def _with_remote(rig: Any, vector: Floats | None, *, has_local: bool = False) -> Any:
    learned, told = learnt({"house": (0.9, 0.02), "second": (0.6, 0.01), "third": (0.3, 0.001)})
    local, local_told = learnt({"house": (0.1, 0.02), "second": (0.6, 0.01), "third": (0.3, 0.001)})
    far = replace(learned, featurizer=Featurizer(Remote("emb", 3)), local=local if has_local else None)
    rig.routed.kept = Fixed(Chooser(far, rig.routed.lineup))
    rig.routed.embedding = _Embedding(vector)
    return told, local_told


async def test_a_vector_that_somebody_else_makes_is_waited_for(groups: Make) -> None:
    rig = routed_rig(groups)
    told, _ = _with_remote(rig, np.array([[1.0, 0.0, 0.0]], np.float32))
    await rig.ask(chat())
    assert told.seen[-1].embedding.tolist() == [[1.0, 0.0, 0.0]]


def _placed(make_rig: Make, deployment: Make, **regions: str) -> Any:
    mine = RoutedSettings(name="auto")
    made = [deployment(name, f"up-{name}", region=regions.get(name)) for name in MODELS]
    rig = make_rig(*made, routing=RoutingSettings(num_retries=0, routed={"auto": mine}))
    rig.routed, rig.told = add_routed(rig, mine)
    return rig


@pytest.mark.requirement("routing.regions")
async def test_a_candidate_of_another_region_is_not_chosen_and_does_not_follow(
    make_rig: Make, deployment: Make
) -> None:
    rig = _placed(make_rig, deployment, house="us-east-1", second="eu-west-1")
    await rig.ask(chat(allowed_model_region="eu"))
    assert rig.asked == {"second-id": 1}
    with pytest.raises(InvalidRequest, match="answers in asia; its regions are eu-west-1, us-east-1"):
        await rig.ask(chat(allowed_model_region="asia"))
    rig.upstreams["second-id"].once(ERROR, status=500)
    with pytest.raises(UpstreamRejected):
        await rig.ask(chat(allowed_model_region="eu"))
    assert rig.asked == {"second-id": 2}


@pytest.mark.requirement("routing.regions")
async def test_no_text_of_a_request_with_a_region_is_sent_out_for_a_vector(make_rig: Make, deployment: Make) -> None:
    rig = _placed(make_rig, deployment, second="eu-west-1")
    _with_remote(rig, np.array([[1.0, 0.0, 0.0]], np.float32), has_local=True)
    await rig.ask(chat(allowed_model_region="eu"))
    assert (rig.routed.embedding.asked, rig.asked) == (0, {"second-id": 1})
    rig.routed.embedding.is_outside = False
    await rig.ask(chat(allowed_model_region="eu"))
    assert rig.routed.embedding.asked == 1


async def test_without_the_vector_the_local_half_decides(groups: Make) -> None:
    rig = routed_rig(groups)
    told, local = _with_remote(rig, None, has_local=True)
    await rig.ask(chat())
    assert (told.seen, len(local.seen)) == ([], 1)
    assert rig.asked == {"second-id": 1}


async def test_nothing_is_tried_and_learnt_where_the_local_half_decides(groups: Make) -> None:
    rig = routed_rig(groups)
    _, local = _with_remote(rig, None, has_local=True)
    learning = rig.routed.learning = _Learning(2)
    await rig.ask(chat())
    assert (learning.asked, len(local.seen)) == (0, 1)


async def test_a_checkpoint_on_trial_gets_its_vector_too(groups: Make) -> None:
    rig = routed_rig(groups)
    told, _ = _with_remote(rig, np.array([[1.0, 0.0, 0.0]], np.float32))
    trial, rig.routed.kept = rig.routed.kept.current, Fixed(rig.routed.kept.current)
    rig.routed.learning = _Learning(0, trial)
    await rig.ask(chat())
    assert [features.embedding.tolist() for features in told.seen] == [[[1.0, 0.0, 0.0]]] * 2


async def test_without_vector_and_local_half_the_prompt_is_one_of_which_nothing_is_known(groups: Make) -> None:
    rig = routed_rig(groups)
    told, _ = _with_remote(rig, None)
    await rig.ask(chat())
    assert told.seen[-1].embedding.tolist() == [[0.0, 0.0, 0.0]]


class _Evidence:
    asked = 0

    async def evidence(self, text: str, spend: Callable[[Decimal], None]) -> Floats | None:
        self.asked += 1
        spend(Decimal("0.5"))
        spend(Decimal("0.25"))
        return np.array([[0.0, 1.0, 2.0]], np.float32)

    def kept(self, text: str) -> Floats | None:
        return np.array([[0.0, 1.0, 2.0]], np.float32) if self.asked else None


async def test_what_evidence_has_cost_is_part_of_what_the_answer_costs(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.routed.evidence = _Evidence()
    reply = await rig.ask(chat())

    # Ten tokens in and five out, and what the evidence has cost.
    assert reply.headers["x-pointsman-asks-cost"] == "0.75"
    assert reply.headers["x-litellm-response-cost"] == "0.77"


@pytest.mark.requirement("router.explain")
async def test_who_only_looks_asks_nobody_for_vectors_and_evidence(groups: Make) -> None:
    rig = routed_rig(groups)
    told, local = _with_remote(rig, np.array([[1.0, 0.0, 0.0]], np.float32), has_local=True)
    rig.routed.evidence = _Evidence()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    await rig.ask(body, op.COUNT_TOKENS)
    looked = _question(rig)
    looked.is_quiet = True
    await rig.routed.explain(looked)
    assert (rig.routed.embedding.asked, rig.routed.evidence.asked, told.seen, len(local.seen)) == (0, 0, [], 2)
    assert looked.unknown == ["embedding", "evidence"]
    await rig.ask(chat())
    looked = _question(rig)
    looked.is_quiet = True
    await rig.routed.explain(looked)
    assert (rig.routed.embedding.asked, rig.routed.evidence.asked, looked.unknown) == (1, 1, [])
    assert told.seen[-1].embedding.tolist() == [[1.0, 0.0, 0.0]]


async def test_evidence_goes_into_the_features(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.routed.evidence, rig.routed.records = _Evidence(), _Records()
    await rig.ask(chat())
    (_, chosen) = rig.routed.records.noted[0]
    assert chosen.features.evidence.tolist() == [[0.0, 1.0, 2.0]]


async def test_a_procedure_serves_in_the_place_of_the_decision(groups: Make) -> None:
    class _Procedure:
        async def serve(self, question: Any, routed: RoutedModel, go_on: Any) -> None:
            looked = await routed.look(question.about("something else"))
            assert looked.question.text == "something else"
            assert question.call.routed is None
            await go_on("second", chat(("user", "Put otherwise")))

    rig = routed_rig(groups)
    rig.routed.procedure = _Procedure()
    reply = await rig.ask(chat())
    assert rig.sent.json["messages"] == [{"role": "user", "content": "Put otherwise"}]
    assert rig.asked == {"second-id": 1}
    assert reply.headers["x-litellm-model-group"] == "second"


# -- telling ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.learned.metrics")
async def test_decisions_are_counted_by_candidate_and_reason(groups: Make) -> None:
    rig = routed_rig(groups)
    await rig.ask(chat())
    await rig.ask(chat(model="auto:0"))
    meter = rig.metrics.bind_routed("auto")
    assert meter.decisions == {("house", "baseline"): 1, ("third", "baseline"): 1}
    assert meter.predicted_usd == pytest.approx(0.021)
    assert (
        b'pointsman_routing_decisions_total{chosen_model="house",reason="baseline",requested_model="auto"} 1.0'
        in (rig.metrics.render()[1])
    )


async def test_explaining_does_nothing(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.routed.records = _Records()
    question = _question(rig)
    told, dropped, chooser = await rig.routed.explain(question)
    assert (told.decision.model, dropped, chooser.strategy) == ("house", {}, "knn")
    assert (rig.asked, rig.routed.records.noted, len(rig.routed.sessions)) == ({}, [], 0)


def _question(rig: Any) -> Any:
    from pointsman.pipeline.question import question_of
    from pointsman.pipeline.wants import NOTHING

    match = rig.groups.match("auto")
    return question_of(rig.call(), match, "auto", NOTHING, chat(), None, RoutingSettings(), rig.clock.now)
