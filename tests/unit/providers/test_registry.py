from __future__ import annotations

from decimal import Decimal
from typing import get_args
from urllib.parse import urlsplit

import pytest

from pointsman.providers.codecs import CODECS
from pointsman.providers.registry import SUPPORTS, api_root, facts_date, load_facts, load_vendors
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
        assert vendor.dialect in CODECS
        assert vendor.base_url is None or not vendor.base_url.endswith("/")
        if vendor.needs_key:
            assert vendor.key_env, name
            assert urlsplit(vendor.base_url or "").scheme == "https", name


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
        ("ollama", "http://gpu:11434", "http://gpu:11434/v1"),
        ("ollama_chat", "http://localhost:11434/", "http://localhost:11434/v1"),
        ("ollama", "http://gpu:11434/v1/", "http://gpu:11434/v1"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1"),
        ("anthropic", "https://proxy.example.org", "https://proxy.example.org"),
        ("openai", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("hosted_vllm", "http://gpu:8000", "http://gpu:8000"),
        ("demo", "demo:", "demo:"),
    ],
)
def test_an_address_gets_the_path_its_users_leave_out(vendor: str, given: str, root: str) -> None:
    assert api_root(load_vendors()[vendor], given) == root


def test_facts_are_keyed_by_vendor_and_model() -> None:
    facts = load_facts()
    vendors = load_vendors()
    for name, known in facts.items():
        assert name == f"{known.vendor}/{known.model}"
        assert known.vendor in vendors, name
        assert known.mode in get_args(Mode), name
        for tokens in (known.max_input_tokens, known.max_output_tokens):
            assert tokens is None or tokens > 0, name


def test_token_prices_are_exact_decimals_per_token() -> None:
    price = load_facts()["openai/gpt-4o"].price
    assert price.input_usd_per_token == Decimal("0.0000025")
    assert price.cached_input_usd_per_token == Decimal("0.00000125")
    assert price.output_usd_per_token == Decimal("0.00001")


def test_prices_are_positive_and_cached_input_is_never_dearer() -> None:
    for name, known in load_facts().items():
        price = known.price
        for value in (
            price.input_usd_per_token, price.output_usd_per_token, price.usd_per_query, price.usd_per_image,
            price.usd_per_second, price.usd_per_character,
        ):  # fmt: skip
            assert value is None or value >= 0, name
        if price.cached_input_usd_per_token is not None:
            assert price.input_usd_per_token is not None, name
            assert price.cached_input_usd_per_token <= price.input_usd_per_token, name


def test_the_three_demo_sizes_differ_in_price() -> None:
    facts = load_facts()
    prices = [facts[f"demo/{size}"].price.output_usd_per_token for size in ("small", "medium", "large")]
    assert None not in prices
    assert prices == sorted(set(prices), key=lambda price: price or Decimal(0))


def test_the_price_table_is_dated() -> None:
    year, month, day = facts_date().split("-")
    assert (len(year), len(month), len(day)) == (4, 2, 2)


def test_what_a_model_lacks_is_known_of_some_and_claimed_of_no_other() -> None:
    facts = load_facts()
    assert facts["openai/gpt-4"].lacks == {"images", "json"}
    assert facts["perplexity/sonar"].lacks == {"tools"}
    assert facts["openai/gpt-4o"].lacks == frozenset()
    for name, known in facts.items():
        assert known.lacks <= set(SUPPORTS.values())
        assert not known.lacks or known.mode == "chat", name
