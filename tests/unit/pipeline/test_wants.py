from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pointsman.errors import InvalidRequest, UpstreamRejected
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.wants import NOTHING, Wants, wants_of
from pointsman.routing.settings import RoutingSettings
from pointsman.wire import operations as op
from pointsman.wire.peek import peek
from pointsman.wire.wishes import Fallback

Make = Callable[..., Any]
MESSAGES: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]
CHAT: dict[str, Any] = {"model": "house", "messages": MESSAGES}
ERROR = b'{"error":{"message":"no"}}'
EVENTS = b"text/event-stream"
WORD = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def wants(members: dict[str, Any], model: str | None = "a", headers: dict[bytes, bytes] | None = None) -> Wants:
    body = {"messages": []} | ({} if model is None else {"model": model}) | members
    return wants_of(peek(op.CHAT, msgspec.json.encode(body)).wishes, headers or {}, model)


def test_the_usual_request_wants_nothing() -> None:
    assert wants({"temperature": 1}, headers={b"user-agent": b"x"}) is NOTHING


def test_every_wish_arrives() -> None:
    found = wants(
        {
            "num_retries": 3,
            "timeout": 20,
            "stream_timeout": 4,
            "tags": ["paid"],
            "priority": 7,
            "cache": {"no-cache": True},
            "caching": True,
            "disable_fallbacks": True,
            "context_window_fallbacks": [{"a": ["long"]}],
            "content_policy_fallbacks": [{"a": ["bold"]}],
        }
    )
    assert (found.wish.num_retries, found.wish.is_without_fallbacks) == (3, True)
    assert (found.timeout, found.stream_timeout, found.tags, found.priority) == (20.0, 4.0, ("paid",), 7)
    assert (found.cache, found.caching, found.is_mock_failure) == ({"no-cache": True}, True, False)
    assert found.wish.context_window_fallbacks == (Fallback("long"),)
    assert found.wish.content_policy_fallbacks == (Fallback("bold"),)


@pytest.mark.parametrize("num_retries", [None, 3])
def test_a_failure_that_is_asked_for_is_not_tried_again_in_the_same_group(num_retries: int | None) -> None:
    found = wants({"mock_testing_fallbacks": True, "num_retries": num_retries})
    assert (found.is_mock_failure, found.wish.num_retries) == (True, 0)


def test_headers_are_wishes_too() -> None:
    found = wants({}, headers={b"x-litellm-num-retries": b"1", b"x-litellm-timeout": b"2.5"})
    assert (found.wish.num_retries, found.timeout) == (1, 2.5)


def names(found: Wants) -> list[str] | None:
    return None if found.wish.fallbacks is None else [fallback.model for fallback in found.wish.fallbacks]


@pytest.mark.parametrize(
    ("members", "model", "asked", "fallbacks"),
    [
        ({"models": ["x", "y"]}, None, "x", ["y"]),
        ({"models": ["x", "y"]}, "a", "a", ["x", "y"]),
        ({"models": ["a", "y"]}, "a", "a", ["y"]),
        ({"models": ["x"]}, None, "x", None),
        ({"fallbacks": ["b"]}, "a", "a", ["b"]),
        ({"fallbacks": ["c"], "models": ["a", "b"]}, "a", "a", ["b", "c"]),
        ({"fallbacks": []}, "a", "a", []),
        ({"models": []}, "a", "a", None),
        ({"num_retries": 0}, "a", "a", None),
    ],
)
def test_a_list_of_models_is_the_model_and_its_fallbacks(
    members: dict[str, Any], model: str | None, asked: str, fallbacks: list[str] | None
) -> None:
    found = wants(members, model)
    assert names(found) == fallbacks
    assert found.model == asked


def test_a_wish_that_cannot_be_understood_is_refused() -> None:
    with pytest.raises(InvalidRequest) as raised:
        wants({"num_retries": "many"})
    assert raised.value.param == "num_retries"


# What callers wish.


@pytest.mark.parametrize(
    ("wish", "group", "sent"),
    [
        ({"fallbacks": ["third"]}, "third", {}),
        ({"fallbacks": [{"house": ["third"]}]}, "third", {}),
        ({"fallbacks": [{"model": "third", "messages": [], "n": 2}]}, "third", {"messages": [], "n": 2}),
        ({"models": ["house", "third"]}, "third", {}),
        ({}, "second", {}),
        ({"num_retries": 0}, "second", {}),
    ],
)
async def test_a_caller_may_say_whom_to_go_on_with(groups: Make, wish: Any, group: str, sent: dict[str, Any]) -> None:
    rig = groups(fallbacks={"house": ("second",)})
    rig.upstreams["house-id"].script(ERROR, status=500)
    reply = await rig.ask(CHAT | wish)
    assert msgspec.json.decode(reply.body)["model"] == group
    went_out = rig.upstreams[f"{group}-id"].sent[0].json
    assert went_out == {"model": f"up-{group}", "messages": MESSAGES} | sent


async def test_the_first_of_a_list_of_models_is_the_one_that_is_asked(groups: Make) -> None:
    rig = groups()
    reply = await rig.ask({"models": ["second", "third"], "messages": MESSAGES})
    assert msgspec.json.decode(reply.body)["model"] == "second"
    assert rig.sent.json == {"messages": MESSAGES, "model": "up-second"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [({"disable_fallbacks": True}, {}), ({}, {b"x-litellm-disable-fallbacks": b"true"}), ({"fallbacks": []}, {})],
)
async def test_a_caller_may_want_no_fallbacks(groups: Make, body: dict[str, Any], headers: dict[bytes, bytes]) -> None:
    rig = groups(fallbacks={"house": ("second",)})
    rig.upstreams["house-id"].script(ERROR, status=500)
    with pytest.raises(UpstreamRejected):
        await rig.ask(CHAT | body, headers=headers)
    assert rig.asked == {"house-id": 1}
    assert rig.sent.json == {"model": "up-house", "messages": MESSAGES}


async def test_wishes_do_not_go_upstream(pair: Any) -> None:
    wishes = {
        "num_retries": 1,
        "timeout": 50,
        "stream_timeout": 5,
        "fallbacks": ["x"],
        "tags": ["a"],
        "priority": 1,
        "cache": {"no-cache": True},
        "metadata": {"tags": ["a"], "kept": 1},
    }
    await pair.ask(CHAT | wishes)
    assert pair.sent.json == CHAT | {"model": "up-1", "metadata": {"kept": 1}}


@pytest.mark.parametrize(("retries", "asked_for"), [(0, {"a": 1}), (1, {"a": 1, "b": 1})])
async def test_a_caller_may_say_how_often_to_try(pair: Any, retries: int, asked_for: dict[str, int]) -> None:
    for upstream in pair.upstreams.values():
        upstream.script(ERROR, status=500)
    with pytest.raises(UpstreamRejected) as raised:
        await pair.ask(CHAT | {"num_retries": retries})
    assert pair.asked == asked_for
    headers = dict(raised.value.headers)
    assert headers["x-litellm-attempted-retries"] == headers["x-litellm-max-retries"] == str(retries)


async def test_a_callers_timeout_is_the_deadline_of_all_attempts(pair: Any) -> None:
    pair.upstreams["a"].script(ERROR, status=500)
    pair.upstreams["a"].seconds = 1.0
    await pair.ask(CHAT | {"timeout": 2})
    assert [sent.deadline for upstream in pair.upstreams.values() for sent in upstream.sent] == [102.0, 102.0]
    pair.upstreams["a"].seconds = 2.0
    with pytest.raises(UpstreamRejected):
        await pair.ask(CHAT, headers={b"x-litellm-timeout": b"2"})
    assert pair.asked == {"a": 2, "b": 1}


async def test_a_request_has_a_deadline_without_being_asked(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(timeout=600.0), serving=ServingSettings(total_timeout=30.0))
    await rig.ask(CHAT)
    assert rig.sent.deadline == 130.0
    await rig.ask(CHAT | {"timeout": 500})
    assert rig.upstream.sent[1].deadline == 130.0


async def test_a_callers_time_for_the_first_output_holds_for_streams_and_each_attempt(pair: Any) -> None:
    pair.upstreams["a"].script(ERROR, status=500)
    pair.upstreams["b"].script(WORD % b"a", DONE, kind=EVENTS)
    await pair.ask(CHAT | {"stream": True, "stream_timeout": 3})
    assert [sent.timeouts.first_byte for upstream in pair.upstreams.values() for sent in upstream.sent] == [3.0, 3.0]
    pair.upstreams["b"].script(b'{"choices":[]}')
    await pair.ask(CHAT | {"stream_timeout": 3})
    assert pair.upstreams["b"].sent[-1].timeouts.first_byte == 60.0


async def test_an_asked_for_failure_shows_the_fallback(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second",)}, serving=ServingSettings(allows_mock_testing=True))
    reply = await rig.ask(CHAT | {"mock_testing_fallbacks": True})
    assert msgspec.json.decode(reply.body)["model"] == "second"
    assert rig.asked == {"second-id": 1}
    assert rig.busy == 0


async def test_a_failure_cannot_be_asked_for_where_the_operator_has_not_allowed_it(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second",)})
    with pytest.raises(InvalidRequest, match="Mock testing is off") as raised:
        await rig.ask(CHAT | {"mock_testing_fallbacks": True})
    assert raised.value.param == "mock_testing_fallbacks"
    assert rig.asked == {}


async def test_tags_choose_among_deployments_where_the_operator_lets_them(make_rig: Make, deployment: Make) -> None:
    deployments = [deployment(id="a", tags=("free",)), deployment(id="b", tags=("paid",))]
    rig = make_rig(*deployments, routing=RoutingSettings(has_tag_filtering=True))
    await rig.ask(CHAT | {"tags": ["paid"]})
    await rig.ask(CHAT, headers={b"x-litellm-tags": b"paid"})
    assert rig.asked == {"b": 2}
    with pytest.raises(InvalidRequest, match="tags"):
        await rig.ask(CHAT | {"tags": ["none"]})
    careless = make_rig(*deployments)
    await careless.ask(CHAT | {"tags": ["paid"]})
    assert careless.asked == {"a": 1}


@pytest.mark.requirement("routing.regions")
async def test_a_request_stays_in_its_region(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(id="a", region="us-east-1"), deployment(id="b", region="eu-west-1"))
    for _ in range(2):
        await rig.ask(CHAT | {"allowed_model_region": "eu"})
        await rig.ask(CHAT, headers={b"x-pointsman-region": b"eu-west-1"})
    assert rig.asked == {"b": 4}
    assert "allowed_model_region" not in msgspec.json.decode(rig.upstreams["b"].sent[0].body)
    with pytest.raises(InvalidRequest, match="its regions are eu-west-1, us-east-1"):
        await rig.ask(CHAT | {"allowed_model_region": "ap-south-1"})


async def test_deployments_that_cannot_take_a_request_are_passed_over_where_that_is_checked(
    make_rig: Make, deployment: Make
) -> None:
    deployments = [deployment(id="a", lacks=frozenset({"tools"})), deployment(id="b")]
    rig = make_rig(*deployments, routing=RoutingSettings(has_pre_call_checks=True))
    await rig.ask(CHAT | {"tools": [{"type": "function"}]})
    assert rig.asked == {"b": 1}
    await rig.ask(CHAT)
    assert rig.asked == {"a": 1, "b": 1}
