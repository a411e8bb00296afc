from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.errors import ModelNotFound
from pointsman.pipeline.catalog import CREATED, Catalog
from pointsman.providers.base import ModelFacts
from pointsman.routing.groups import Groups
from pointsman.routing.settings import Alias, RoutedSettings, RoutingSettings

Make = Callable[..., Any]
MODELS = {
    "openai": {
        "gpt-4o": ModelFacts(vendor="openai", model="gpt-4o", max_input_tokens=128_000, max_output_tokens=16_384),
        "text-embedding-3": ModelFacts(vendor="openai", model="text-embedding-3", mode="embedding"),
    },
    "cohere": {"command": ModelFacts(vendor="cohere", model="command")},
}


def catalog(*deployments: Any, **aliases: Alias) -> Catalog:
    return Catalog(Groups(deployments, RoutingSettings(aliases=aliases)), deployments, MODELS)


def names(listed: Catalog) -> list[str]:
    return [entry["id"] for entry in listed.models()]


def test_a_group_is_listed_once_with_what_is_known_of_its_model(deployment: Make) -> None:
    listed = catalog(deployment("house", "gpt-4o", id="a"), deployment("house", "gpt-4o", id="b"))
    assert listed.models() == [
        {
            "id": "house",
            "object": "model",
            "created": CREATED,
            "owned_by": "openai",
            "mode": "chat",
            "max_input_tokens": 128_000,
            "max_output_tokens": 16_384,
        }
    ]


def test_what_the_operator_says_of_a_model_goes_first_and_what_is_unknown_is_left_out(deployment: Make) -> None:
    listed = catalog(
        deployment("house", "gpt-4o", mode="completion", max_input_tokens=10), deployment("odd", "unheard")
    )
    house, odd = listed.models()
    assert (house["mode"], house["max_input_tokens"], house["max_output_tokens"]) == ("completion", 10, 16_384)
    assert odd == {"id": "odd", "object": "model", "created": CREATED, "owned_by": "openai"}


def test_aliases_are_listed_unless_hidden_and_both_can_be_shown(deployment: Make) -> None:
    listed = catalog(deployment(), nick=Alias(model="house"), hush=Alias(model="house", is_hidden=True))
    assert names(listed) == ["house", "nick"]
    assert listed.model("nick")["id"] == "nick"
    assert listed.model("hush")["id"] == "hush"


def test_an_alias_that_leads_nowhere_is_not_listed_and_costs_the_others_nothing(deployment: Make) -> None:
    listed = catalog(deployment(), broken=Alias(model="nobody"))
    assert names(listed) == ["house"]
    with pytest.raises(ModelNotFound):
        listed.model("broken")


def test_an_alias_may_lead_to_a_name_that_only_a_wildcard_knows(deployment: Make) -> None:
    listed = catalog(deployment("openai/*", "*"), best=Alias(model="openai/gpt-4o"))
    assert listed.models()[0]["id"] == "best"
    assert listed.models()[0]["max_input_tokens"] == 128_000


def test_a_providers_wildcard_is_listed_as_its_known_models(deployment: Make) -> None:
    listed = catalog(deployment("openai/*", "*"), deployment("openai/gpt-4o", "gpt-4o"))
    assert names(listed) == ["openai/gpt-4o", "openai/text-embedding-3"]
    assert listed.models()[1]["mode"] == "embedding"


def test_a_wildcard_under_another_name_lists_that_name(deployment: Make) -> None:
    listed = catalog(deployment("team/*", "*", vendor="cohere"))
    assert names(listed) == ["team/command"]
    assert listed.models()[0]["owned_by"] == "cohere"


def test_a_wildcard_lists_only_what_its_star_can_stand_for(deployment: Make) -> None:
    assert names(catalog(deployment("my-*", "gpt-*"))) == ["my-4o"]
    assert names(catalog(deployment("*", "*"))) == ["gpt-4o", "text-embedding-3"]
    assert names(catalog(deployment("any/*", "gpt-4o"))) == []


def test_a_name_that_only_a_wildcard_knows_can_be_shown(deployment: Make) -> None:
    listed = catalog(deployment("openai/*", "*"))
    assert listed.model("openai/gpt-4o")["max_input_tokens"] == 128_000
    assert listed.model("openai/gpt-99") == {
        "id": "openai/gpt-99",
        "object": "model",
        "created": CREATED,
        "owned_by": "openai",
    }


@pytest.mark.parametrize("name", ["nobody", "house-id", "openai/*", ""])
def test_what_is_no_public_name_is_not_found(deployment: Make, name: str) -> None:
    with pytest.raises(ModelNotFound):
        catalog(deployment(), deployment("openai/*", "*")).model(name)


def test_a_public_name_that_is_also_an_id_is_shown(deployment: Make) -> None:
    assert catalog(deployment("house", id="house")).model("house")["id"] == "house"


def test_deployments_are_listed_with_prices_and_limits_as_litellm_does(deployment: Make) -> None:
    one = deployment(
        rpm=10,
        timeout=5.0,
        tags=("eu",),
        region="eu-west-1",
        mode="chat",
        max_input_tokens=9,
        info={"team": "red", "id": "other"},
    )
    assert catalog(one).deployments() == [
        {
            "model_name": "house",
            "litellm_params": {
                "model": "openai/up-1",
                "api_base": "http://up.test/v1",
                "rpm": 10,
                "order": 1,
                "timeout": 5.0,
                "tags": ["eu"],
                "region_name": "eu-west-1",
            },
            "model_info": {
                "team": "red",
                "id": "house-id",
                "db_model": False,
                "key": "up-1",
                "mode": "chat",
                "max_input_tokens": 9,
                "max_output_tokens": None,
                "input_cost_per_token": Decimal("0.001"),
                "output_cost_per_token": Decimal("0.002"),
                "litellm_provider": "openai",
            },
        }
    ]


@pytest.mark.requirement("routing.lacks")
def test_only_what_a_model_is_known_to_lack_is_told_of_what_it_supports(deployment: Make) -> None:
    stated = {"supports_vision": "false", "supports_function_calling": True}
    some, none = catalog(deployment(lacks=frozenset({"images", "json"}), info=stated), deployment("b")).deployments()
    supports = {key: value for key, value in some["model_info"].items() if key.startswith("supports_")}
    assert supports == {
        "supports_vision": False,
        "supports_function_calling": True,
        "supports_response_schema": False,
    }
    assert not any(key.startswith("supports_") for key in none["model_info"])


def test_no_listing_holds_a_credential_or_a_header(deployment: Make) -> None:
    listed = catalog(deployment(headers=(("x-token", "header-canary"),), overrides={"token": "body-canary"}))
    text = msgspec.json.encode([listed.models(), listed.deployments(), listed.model("house")])
    assert b"house-id" in text
    assert b"canary" not in text


def test_a_model_that_is_chosen_for_each_prompt_is_listed_as_ours(deployment: Make) -> None:
    routing = RoutingSettings(routed={"auto": RoutedSettings(name="auto")})
    listed = Catalog(Groups([deployment("house")], routing), [deployment("house")], MODELS)
    assert names(listed) == ["house", "auto"]
    entry = {"id": "auto", "object": "model", "created": CREATED, "owned_by": "pointsman", "mode": "chat"}
    assert listed.model("auto") == entry
    assert listed.model("auto:cheap")["id"] == "auto:cheap"


def test_only_what_the_caller_may_use_is_told(deployment: Make) -> None:
    listed = catalog(
        deployment("house", "gpt-4o", id="a"), deployment("other", "gpt-4o", id="b"), nick=Alias(model="house")
    )

    def may_use(*names: str) -> bool:
        return "house" in names

    assert [entry["id"] for entry in listed.models(may_use)] == ["house", "nick"]
    assert listed.model("nick", may_use)["id"] == "nick"
    with pytest.raises(ModelNotFound):
        listed.model("other", may_use)
    assert [entry["model_name"] for entry in listed.deployments(may_use)] == ["house"]
