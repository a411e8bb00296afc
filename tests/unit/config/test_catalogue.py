from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.config.catalogue import Catalogue, facts_of, lacks_of, price_of, usable_vendors
from pointsman.config.kinds import Mismatch
from pointsman.providers.base import KnownModels, ModelFacts, Price, PriceDetails, Tier, Vendor
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build


def test_the_first_variable_that_is_set_gives_the_key(vendors: dict[str, Vendor]) -> None:
    catalogue = Catalogue(vendors=vendors, environment={"OPENAI_API_KEY": " sk-1 "})
    assert catalogue.key_of(vendors["openai"]) == Secret("sk-1")
    assert catalogue.key_of(vendors["groq"]) is None


def test_a_key_that_no_header_can_carry_is_no_key(vendors: dict[str, Vendor]) -> None:
    catalogue = Catalogue(vendors=vendors, environment={"OPENAI_API_KEY": "a\nb"})
    assert catalogue.key_of(vendors["openai"]) is None


@pytest.mark.parametrize("name", ["OPENAI_API_BASE", "OPENAI_BASE_URL"])
def test_the_environment_may_move_a_vendor(vendors: dict[str, Vendor], name: str) -> None:
    catalogue = Catalogue(vendors=vendors, environment={name: "https://proxy.example/v1/"})
    assert catalogue.address_of(vendors["openai"]) == "https://proxy.example/v1"
    assert catalogue.address_of(vendors["groq"]) == "https://api.groq.com/openai/v1"


def test_an_address_in_the_environment_that_is_none_is_a_mismatch(vendors: dict[str, Vendor]) -> None:
    catalogue = Catalogue(vendors=vendors, environment={"OPENAI_BASE_URL": "nonsense"})
    with pytest.raises(Mismatch, match="OPENAI_BASE_URL"):
        catalogue.address_of(vendors["openai"])
    assert usable_vendors(catalogue) == []


def test_vendors_with_a_key_are_usable_once_per_address(vendors: dict[str, Vendor]) -> None:
    catalogue = Catalogue(vendors=vendors, environment={"OPENAI_API_KEY": "k", "COHERE_API_KEY": "k"})
    assert [vendor.name for vendor in usable_vendors(catalogue)] == ["openai", "cohere"]


def test_a_server_of_ones_own_is_usable_once_its_address_is_known(vendors: dict[str, Vendor]) -> None:
    catalogue = Catalogue(vendors=vendors, environment={"HOSTED_VLLM_API_BASE": "http://gpu:8000/v1"})
    assert [vendor.name for vendor in usable_vendors(catalogue)] == ["hosted_vllm"]
    keyed = Catalogue(vendors=vendors, environment={"HOSTED_VLLM_API_KEY": "k"})
    assert usable_vendors(keyed) == []


def test_facts_are_found_by_the_first_known_name(vendors: dict[str, Vendor], models: KnownModels) -> None:
    assert facts_of(models, vendors["openai"], "unknown", "gpt-4o") is models["openai"]["gpt-4o"]
    assert facts_of(models, vendors["groq"], "openai/gpt-4o") is models["openai"]["gpt-4o"]
    assert facts_of(models, vendors["groq"], "gpt-4o") is None


@pytest.mark.requirement("prices.override")
def test_stated_prices_go_before_public_ones_field_by_field() -> None:
    known = Price(input_usd_per_token=Decimal(1), output_usd_per_token=Decimal(2))
    price = price_of(
        {"input_cost_per_token": Decimal(0)},
        {"input_cost_per_token": Decimal(9), "input_cost_per_query": Decimal(3)},
        known,
    )
    assert price == Price(input_usd_per_token=Decimal(0), output_usd_per_token=Decimal(2), usd_per_query=Decimal(3))


@pytest.mark.requirement("prices.override")
def test_every_price_of_litellm_can_be_stated() -> None:
    named = {
        "cache_creation_input_token_cost": "cache_write_usd_per_token",
        "cache_creation_input_token_cost_above_1hr": "cache_write_1h_usd_per_token",
        "output_cost_per_reasoning_token": "reasoning_usd_per_token",
        "input_cost_per_audio_token": "audio_input_usd_per_token",
        "output_cost_per_audio_token": "audio_output_usd_per_token",
        "input_cost_per_image_token": "image_input_usd_per_token",
        "output_cost_per_image_token": "image_output_usd_per_token",
    }
    params = {name: Decimal(index) for index, name in enumerate(named)}
    details = price_of(params, {}, Price()).details
    assert [getattr(details, field) for field in named.values()] == list(params.values())


def test_stated_prices_of_long_prompts_take_the_place_of_the_public_ones() -> None:
    public = Price(
        input_usd_per_token=Decimal(1),
        details=PriceDetails(tiers=(Tier(above=128_000, price=Price(input_usd_per_token=Decimal(5))),)),
    )
    stated = price_of({"input_cost_per_token_above_200k_tokens": Decimal(3)}, {}, public)
    assert stated.input_usd_per_token == Decimal(1)
    assert stated.details is not None
    assert [(tier.above, tier.price.input_usd_per_token) for tier in stated.details.tiers] == [(200_000, Decimal(3))]


def test_whoever_states_a_token_price_states_it_for_long_prompts_too() -> None:
    public = Price(details=PriceDetails(tiers=(Tier(above=128_000, price=Price(input_usd_per_token=Decimal(5))),)))
    assert price_of({"input_cost_per_token": Decimal(0)}, {}, public) == Price(input_usd_per_token=Decimal(0))
    assert price_of({"input_cost_per_query": Decimal(1)}, {}, public).details == public.details


@pytest.mark.parametrize(
    ("info", "lacks"),
    [
        ({}, {"images", "json"}),
        ({"supports_vision": True}, {"json"}),
        ({"supports_vision": True, "supports_response_schema": True}, set()),
        ({"supports_function_calling": False}, {"images", "json", "tools"}),
        ({"supports_vision": False, "supports_function_calling": True}, {"images", "json"}),
    ],
)
def test_what_the_operator_says_of_a_model_goes_before_what_is_known(info: dict[str, Any], lacks: set[str]) -> None:
    assert lacks_of(info, frozenset({"images", "json"})) == lacks


def test_a_deployment_lacks_what_its_model_is_known_to_lack(
    build: Build, models: dict[str, dict[str, ModelFacts]]
) -> None:
    models["openai"]["old"] = ModelFacts(vendor="openai", model="old", lacks=frozenset({"images", "json"}))
    entry = "{model_name: %s, litellm_params: {model: openai/%s}, model_info: {%s}}"
    entries = [
        entry % ("known", "old", ""),
        entry % ("stated", "old", 'supports_vision: "true", supports_function_calling: false'),
        entry % ("named", "mine", "base_model: old"),
        entry % ("unheard", "new", ""),
    ]
    built = build("model_list: [" + ", ".join(entries) + "]", {"OPENAI_API_KEY": "k"})
    assert built.problems == ()
    found = {deployment.model_name: deployment.lacks for deployment in built.good.deployments}
    assert found == {
        "known": {"images", "json"},
        "stated": {"json", "tools"},
        "named": {"images", "json"},
        "unheard": frozenset(),
    }


def test_a_capability_that_is_neither_true_nor_false_is_a_mistake(build: Build) -> None:
    text = "model_list: [{model_name: m, litellm_params: {model: demo/small}, model_info: {supports_vision: often}}]"
    assert "supports_vision" in "".join(build(text).said("error"))
