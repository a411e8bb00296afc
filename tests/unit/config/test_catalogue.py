from __future__ import annotations

from decimal import Decimal

import pytest

from pointsman.config.catalogue import Catalogue, facts_of, price_of, usable_vendors
from pointsman.config.kinds import Mismatch
from pointsman.providers.base import ModelFacts, Price, Vendor
from pointsman.wire.secret import Secret


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


def test_facts_are_found_by_the_first_known_name(vendors: dict[str, Vendor], facts: dict[str, ModelFacts]) -> None:
    assert facts_of(facts, vendors["openai"], "unknown", "gpt-4o") is facts["openai/gpt-4o"]
    assert facts_of(facts, vendors["groq"], "openai/gpt-4o") is facts["openai/gpt-4o"]
    assert facts_of(facts, vendors["groq"], "gpt-4o") is None


def test_stated_prices_go_before_public_ones_field_by_field() -> None:
    known = Price(input_usd_per_token=Decimal(1), output_usd_per_token=Decimal(2))
    price = price_of(
        {"input_cost_per_token": Decimal(0)},
        {"input_cost_per_token": Decimal(9), "input_cost_per_query": Decimal(3)},
        known,
    )
    assert price == Price(input_usd_per_token=Decimal(0), output_usd_per_token=Decimal(2), usd_per_query=Decimal(3))
