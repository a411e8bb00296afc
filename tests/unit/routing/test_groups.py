from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pointsman.errors import InvalidRequest, ModelNotFound, NoDeployment
from pointsman.providers.base import Deployment, Vendor
from pointsman.routing.groups import Group, Groups
from pointsman.routing.settings import Alias, RoutingSettings
from pointsman.wire.operations import IMAGE_GENERATION, MODERATION

OPENAI = Vendor(name="openai", base_url="https://api.openai.com/v1")


def deployment(name: str, ident: str | None = None, **fields: Any) -> Deployment:
    return Deployment(
        id=ident or f"id-{name}", model_name=name, vendor=OPENAI, upstream_model="m", base_url="https://x", **fields
    )


def groups(*names: str, aliases: dict[str, Alias] | None = None) -> Groups:
    return Groups([deployment(n) for n in names], RoutingSettings(aliases=aliases or {}))


@pytest.mark.parametrize(
    ("model", "group", "captured"),
    [
        ("gpt-4o", "gpt-4o", None),
        ("openai/gpt-5", "openai/*", "gpt-5"),
        ("openai/o3/mini", "openai/*", "o3/mini"),
        ("openai/o3-x-fast", "openai/o3-*-fast", "x"),
        ("bedrock/us.claude", "bedrock/us.*", "claude"),
        ("bedrock/eu.claude", "bedrock/*", "eu.claude"),
        ("whatever", "*", "whatever"),
        ("fast", "gpt-4o", None),
        ("id-gpt-4o", "gpt-4o", None),
    ],
)
def test_the_most_specific_name_or_pattern_answers(model: str, group: str, captured: str | None) -> None:
    known = groups(
        "*",
        "openai/*",
        "gpt-4o",
        "openai/o3-*-fast",
        "bedrock/*",
        "bedrock/us.*",
        aliases={"fast": Alias(model="gpt-4o")},
    )
    match = known.match(model)
    assert (match.group.name, match.captured) == (group, captured)


@pytest.mark.parametrize("model", ["gpt-5", "openai/", "openai/*", "id-openai/*", ""])
def test_what_nothing_answers_to_is_not_found(model: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        groups("gpt-4o", "openai/*").match(model)
    assert raised.value.param == "model"


def test_hidden_aliases_are_not_listed_but_answer() -> None:
    known = groups("gpt-4o", aliases={"a": Alias(model="gpt-4o"), "b": Alias(model="gpt-4o", is_hidden=True)})
    assert known.names == ["gpt-4o", "a"]
    assert known.match("b").group.name == "gpt-4o"


@pytest.mark.parametrize(
    ("first", "second"),
    [({"weight": 3}, {"weight": 1}), ({"rpm": 300}, {"rpm": 100}), ({"tpm": 3000}, {"tpm": 1000})],
)
def test_traffic_is_shared_by_weight_else_rpm_else_tpm(first: dict[str, Any], second: dict[str, Any]) -> None:
    group = Group("g", [deployment("g", "a", **first), deployment("g", "b", **second)])
    drawn = Counter(group.draw(i / 1000).id for i in range(1000))
    assert drawn == {"a": 750, "b": 250}


def test_without_numbers_all_deployments_share_alike() -> None:
    group = Group("g", [deployment("g", i) for i in "abcd"])
    assert Counter(group.draw(i / 1000).id for i in range(1000)) == dict.fromkeys("abcd", 250)


def test_a_deployment_of_weight_nought_is_never_drawn() -> None:
    group = Group("g", [deployment("g", "a", weight=0), deployment("g", "b", weight=1)])
    assert {group.draw(i / 100).id for i in range(100)} == {"b"}


def test_only_the_lowest_order_is_drawn() -> None:
    group = Group("g", [deployment("g", "a", order=2), deployment("g", "b", order=1)])
    assert {group.draw(i / 10).id for i in range(10)} == {"b"}


def test_an_empty_group_has_nothing_to_draw() -> None:
    with pytest.raises(NoDeployment):
        Group("g", []).draw(0.5)


def test_a_request_without_a_model_goes_to_the_first_group_of_its_mode() -> None:
    known = Groups([deployment("a", mode="chat"), deployment("b", mode="image_generation")], RoutingSettings())
    assert known.for_operation(IMAGE_GENERATION).group.name == "b"
    with pytest.raises(InvalidRequest):
        known.for_operation(MODERATION)


def test_an_alias_may_lead_to_a_model_that_a_pattern_serves_or_nowhere() -> None:
    known = groups("openai/*", aliases={"fast": Alias(model="openai/gpt-4o-mini"), "lost": Alias(model="gone")})
    match = known.match("fast")
    assert (match.group.name, match.captured) == ("openai/*", "gpt-4o-mini")
    with pytest.raises(ModelNotFound):
        known.match("lost")
