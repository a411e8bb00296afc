from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import get_args
from urllib.parse import urlsplit

import msgspec
import pytest

from pointsman.providers.base import ModelFacts, Price, PriceDetails
from pointsman.providers.codecs import DIALECTS
from pointsman.providers.registry import (
    SUPPORTS,
    api_root,
    builtin_table,
    facts_date,
    load_facts,
    load_vendors,
    priced,
    read_table,
)
from pointsman.wire.operations import Mode


def test_every_vendor_of_the_table_can_be_called() -> None:
    vendors = load_vendors()
    assert {
        "openai",
        "anthropic",
        "gemini",
        "groq",
        "cohere",
        "jina_ai",
        "hosted_vllm",
        "ollama",
        "demo",
    } <= set(vendors)
    for name, vendor in vendors.items():
        assert vendor.name == name
        assert vendor.dialect in DIALECTS
        if vendor.needs_key:
            assert vendor.key_env or vendor.cloud, name
            assert vendor.base_url is None or urlsplit(vendor.base_url).scheme == "https", name
        if vendor.base_url is not None:
            assert vendor.base_url.strip() == vendor.base_url.rstrip("/"), name
            assert not vendor.base_url.endswith(("/completions", "/responses")), name


@pytest.mark.requirement("providers.compatible")
def test_ninety_vendors_that_speak_openais_chat_are_known_by_name() -> None:
    addresses = {
        vendor.base_url
        for vendor in load_vendors().values()
        if vendor.dialect == "openai" and vendor.needs_key and vendor.base_url is not None
    }
    assert len(addresses) >= 90


def test_a_key_variable_belongs_to_one_address() -> None:
    """What is set for one vendor is not sent to another. Ollama's is for its cloud and for a server of one's own."""
    owners: dict[str, set[str | None]] = {}
    for vendor in load_vendors().values():
        for variable in vendor.key_env:
            owners.setdefault(variable, set()).add(vendor.base_url)
    assert [variable for variable, addresses in owners.items() if len(addresses) > 1] == ["OLLAMA_API_KEY"]


def test_what_a_vendor_takes_otherwise_is_known_by_openais_names() -> None:
    vendors = load_vendors()
    assert vendors["mistral"].renames == {"max_completion_tokens": "max_tokens", "seed": "random_seed"}
    assert {"stream_options", "user"} <= vendors["mistral"].drops
    assert re.fullmatch(vendors["mistral"].tool_id or "", "aB3xK9mP2")
    assert not re.fullmatch(vendors["mistral"].tool_id or "", "call_1234")
    assert vendors["openai"].has_developer_role
    assert not vendors["mistral"].has_developer_role
    assert vendors["groq"].has_responses
    assert not vendors["deepseek"].has_responses
    for name, vendor in vendors.items():
        assert not vendor.drops & set(vendor.renames), name
        assert not {"model", "messages", "stream"} & (vendor.drops | set(vendor.renames)), name


def test_a_server_of_ones_own_needs_no_key() -> None:
    vendors = load_vendors()
    for name in (
        "hosted_vllm",
        "openai_like",
        "custom_openai",
        "lm_studio",
        "llamafile",
        "ollama",
        "infinity",
        "demo",
    ):
        assert not vendors[name].needs_key


def test_no_vendor_with_a_free_address_takes_another_vendors_key() -> None:
    for vendor in load_vendors().values():
        if vendor.base_url is None:
            assert "OPENAI_API_KEY" not in vendor.key_env


@pytest.mark.parametrize(
    ("vendor", "given", "root"),
    [
        ("ollama", "http://gpu:11434/", "http://gpu:11434"),
        ("lm_studio", "http://gpu:1234", "http://gpu:1234/v1"),
        ("lm_studio", "http://gpu:1234/v1/", "http://gpu:1234/v1"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1"),
        ("anthropic", "https://proxy.example.org", "https://proxy.example.org"),
        ("openai", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("hosted_vllm", "http://gpu:8000", "http://gpu:8000"),
        ("demo", "demo:", "demo:"),
    ],
)
def test_an_address_gets_the_path_its_users_leave_out(vendor: str, given: str, root: str) -> None:
    assert api_root(load_vendors()[vendor], given) == root


def all_facts() -> Iterator[tuple[str, ModelFacts]]:
    for vendor, models in load_facts().items():
        for model, facts in models.items():
            yield f"{vendor}/{model}", facts


def test_facts_are_kept_by_vendor_and_model() -> None:
    known = dict(all_facts())
    assert len(known) >= 1500
    for name, facts in known.items():
        assert name == f"{facts.vendor}/{facts.model}"
        assert facts.mode in get_args(Mode), name


def test_most_vendors_of_which_models_are_known_are_those_that_can_be_called() -> None:
    assert {"openai", "anthropic", "gemini", "mistral", "xai", "groq", "cohere", "demo"} <= set(load_facts())
    assert len(set(load_facts()) & set(load_vendors())) >= 60


def test_a_vendor_that_is_another_name_of_one_has_its_models() -> None:
    facts = load_facts()
    assert facts["cohere_chat"] is facts["cohere"]
    assert "unheard-of" not in facts


def test_token_prices_are_exact_decimals_per_token() -> None:
    price = load_facts()["openai"]["gpt-4o"].price
    assert price.input_usd_per_token == Decimal("0.0000025")
    assert price.cached_input_usd_per_token == Decimal("0.00000125")
    assert price.output_usd_per_token == Decimal("0.00001")


def test_prices_of_special_tokens_and_of_long_prompts_are_known() -> None:
    claude = load_facts()["anthropic"]["claude-opus-4-6"].price.details
    assert claude is not None
    assert claude.cache_write_usd_per_token == Decimal("0.00000625")
    assert claude.cache_write_1h_usd_per_token == Decimal("0.00001")
    gemini = load_facts()["gemini"]["gemini-2.5-pro"].price.details
    assert gemini is not None
    [tier] = gemini.tiers
    assert (tier.above, tier.price.input_usd_per_token) == (200_000, Decimal("0.0000025"))


def test_no_model_costs_less_than_nothing_and_every_tier_is_complete() -> None:
    read_table(builtin_table())
    for name, facts in all_facts():
        details = facts.price.details
        levels = [] if details is None else [tier.above for tier in details.tiers]
        assert levels == sorted(levels, reverse=True), name
        for tier in () if details is None else details.tiers:
            assert tier.price.input_usd_per_token is not None, name
            assert tier.price.output_usd_per_token is not None, name


def test_a_table_that_is_none_is_refused_with_its_place() -> None:
    head = '{"as_of": "2026-01-02", "source": "s", "licence": "l", "models": {"v": {"m": %s}}}'
    assert read_table((head % '{"input": "1"}').encode()).models["v"]["m"].input == 1
    for entry in (
        '{"input": "-1"}',
        '{"input": "NaN"}',
        '{"tiers": [{"above": 1, "output": "-2"}]}',
        '{"query": "Infinity"}',
    ):
        with pytest.raises(msgspec.MsgspecError, match="v/m is not an amount"):
            read_table((head % entry).encode())
    for entry in ('{"inputs": "1"}', '{"mode": "dance"}', '{"context": 0}', "[]"):
        with pytest.raises(msgspec.MsgspecError, match=r"models"):
            read_table((head % entry).encode())


def test_a_vendors_models_are_decoded_when_they_are_asked_for() -> None:
    facts = load_facts(b'{"as_of": "", "models": {"good": {"m": {"context": 7}}, "bad": {"m": 0}}}')
    assert facts["good"]["m"].max_input_tokens == 7
    assert facts["good"] is facts["good"]
    assert set(facts) == {"good", "bad"}
    with pytest.raises(msgspec.ValidationError):
        facts["bad"]


def test_stated_prices_go_over_known_ones() -> None:
    one = priced(
        Price(), {"input": Decimal(1), "write": Decimal(2)}, {9: {"input": Decimal(5)}, 4: {"output": Decimal(6)}}
    )
    assert one.details is not None
    assert [tier.above for tier in one.details.tiers] == [9, 4]
    long, longer = one.details.tiers[1].price, one.details.tiers[0].price
    assert (long.input_usd_per_token, long.output_usd_per_token) == (Decimal(1), Decimal(6))
    assert (longer.input_usd_per_token, longer.output_usd_per_token) == (Decimal(5), None)
    assert longer.details == PriceDetails(cache_write_usd_per_token=Decimal(2))
    assert priced(one, {"query": Decimal(3)}, {}).details == one.details
    assert priced(one, {"cached": Decimal(3)}, {}).details == PriceDetails(cache_write_usd_per_token=Decimal(2))


def test_the_three_demo_sizes_differ_in_price() -> None:
    facts = load_facts()["demo"]
    prices = [facts[size].price.output_usd_per_token for size in ("small", "medium", "large")]
    assert None not in prices
    assert prices == sorted(set(prices), key=lambda price: price or Decimal(0))


def test_the_price_table_is_dated() -> None:
    year, month, day = facts_date().split("-")
    assert (len(year), len(month), len(day)) == (4, 2, 2)


def test_what_a_model_lacks_is_known_of_some_and_claimed_of_no_other() -> None:
    facts = dict(all_facts())
    assert facts["openai/gpt-4"].lacks >= {"images", "json"}
    assert facts["perplexity/sonar"].lacks == {"tools"}
    assert facts["openai/gpt-4o"].lacks == frozenset()
    for name, known in facts.items():
        assert known.lacks <= set(SUPPORTS.values())
        assert not known.lacks or known.mode == "chat", name
