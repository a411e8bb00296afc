from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.providers.litellm_prices import convert, encode_table, stated_costs, stated_tiers, tier_name
from pointsman.providers.registry import ModelEntry, PriceTable, TierEntry, load_facts, read_table


def table(models: dict[str, Any]) -> PriceTable:
    return convert(json.dumps(models).encode(), as_of="2026-01-02", source="here")


def entry(mode: str = "chat", **more: Any) -> ModelEntry:
    return table({"v/m": {"litellm_provider": "v", "mode": mode, **more}}).models["v"]["m"]


def test_a_chat_model_keeps_its_sizes_and_its_prices_by_the_million() -> None:
    assert entry(
        max_input_tokens=200_000,
        max_output_tokens=64_000,
        input_cost_per_token=3e-06,
        output_cost_per_token=1.5e-05,
        cache_read_input_token_cost=3e-07,
        cache_creation_input_token_cost=3.75e-06,
        cache_creation_input_token_cost_above_1hr=6e-06,
        input_cost_per_token_batches=1.5e-06,
        search_context_cost_per_query={"search_context_size_low": 0.01},
    ) == ModelEntry(
        context=200_000,
        reply=64_000,
        input=Decimal(3),
        output=Decimal(15),
        cached=Decimal("0.3"),
        write=Decimal("3.75"),
        write_1h=Decimal(6),
    )


def test_a_price_is_exact_and_free_of_the_noise_of_binary_fractions() -> None:
    text = b'{"m": {"litellm_provider": "v", "mode": "chat", "input_cost_per_token": 1.2499999999999999e-06}}'
    found = convert(text, as_of="", source="").models["v"]["m"].input
    assert str(found) == "1.25"


@pytest.mark.parametrize(
    ("key", "provider", "name"),
    [
        ("gpt-4o", "openai", ("openai", "gpt-4o")),
        ("groq/openai/gpt-oss-20b", "groq", ("groq", "openai/gpt-oss-20b")),
        ("anthropic.claude-x-v1:0", "bedrock_converse", ("bedrock", "anthropic.claude-x-v1:0")),
        ("bedrock/us-east-1/claude-x", "bedrock", ("bedrock", "us-east-1/claude-x")),
        ("vertex_ai/claude-x", "vertex_ai-anthropic_models", ("vertex_ai", "claude-x")),
        ("gemini-x", "vertex_ai-language-models", ("vertex_ai", "gemini-x")),
        ("fireworks_ai/nomic", "fireworks_ai-embedding-models", ("fireworks_ai", "nomic")),
        ("amazon-nova/nova-x", "amazon_nova", ("amazon_nova", "nova-x")),
        ("command-x", "cohere_chat", ("cohere", "command-x")),
        ("azure/us/gpt-x", "azure", ("azure", "us/gpt-x")),
    ],
)
def test_models_stand_by_their_vendor_and_its_own_name(key: str, provider: str, name: tuple[str, str]) -> None:
    models = table({key: {"litellm_provider": provider, "mode": "chat"}}).models
    assert {vendor: list(known) for vendor, known in models.items()} == {name[0]: [name[1]]}


@pytest.mark.parametrize(
    "raw",
    [
        {"sample_spec": {"litellm_provider": "one of many", "mode": "one of: chat, embedding"}},
        {"fallback": {"mode": "chat"}},
        {"m": {"litellm_provider": 7, "mode": "chat"}},
        {"v/m": {"litellm_provider": "v", "mode": "video_generation"}},
        {"v/m": {"litellm_provider": "v"}},
        {"low/1024-x-1536/m": {"litellm_provider": "openai", "mode": "image_generation"}},
    ],
)
def test_what_the_gateway_cannot_be_asked_for_is_left_out(raw: dict[str, Any]) -> None:
    assert table(raw).models == {}


def test_long_prompts_have_prices_of_their_own() -> None:
    assert entry(
        input_cost_per_token=1e-06,
        output_cost_per_token=4e-06,
        output_cost_per_token_above_272k_tokens=8e-06,
        input_cost_per_token_above_200k_tokens=2e-06,
        cache_read_input_token_cost_above_200k_tokens=2e-07,
        cache_creation_input_token_cost_above_1hr_above_200k_tokens=9e-06,
        input_cost_per_token_above_200k_tokens_priority=7e-06,
    ).tiers == (
        TierEntry(above=200_000, input=Decimal(2), cached=Decimal("0.2"), write_1h=Decimal(9)),
        TierEntry(above=272_000, output=Decimal(8)),
    )


def test_a_list_of_ranges_gives_the_usual_price_and_the_others() -> None:
    levels = [
        {"range": [0, 32000.0], "input_cost_per_token": 1.2e-06, "output_cost_per_token": 6e-06},
        {"range": [32000.0, 128000.0], "input_cost_per_token": 2.4e-06, "output_cost_per_token": 1.2e-05},
        {"range": "?"},
        "?",
    ]
    found = entry(tiered_pricing=levels)
    assert (found.input, found.output) == (Decimal("1.2"), Decimal(6))
    assert found.tiers == (TierEntry(above=32_000, input=Decimal("2.4"), output=Decimal(12)),)


@pytest.mark.parametrize(
    ("mode", "raw", "wanted"),
    [
        ("rerank", {"input_cost_per_query": 0.002, "input_cost_per_token": 0.0}, {"query": "0.002"}),
        ("embedding", {"input_cost_per_token": 2e-08, "output_cost_per_token": 0.0}, {"input": "0.02"}),
        ("image_generation", {"input_cost_per_image": 0.04, "input_cost_per_second": 1}, {"image": "0.04"}),
        ("image_generation", {"output_cost_per_image_token": 4e-05}, {"output": "40"}),
        ("audio_transcription", {"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0}, {"second": "0.0001"}),
        ("audio_transcription", {"input_cost_per_second": 0, "output_cost_per_second": 0.5}, {"second": "0.5"}),
        ("audio_speech", {"input_cost_per_character": 1.5e-05}, {"character": "0.000015"}),
        ("chat", {"input_cost_per_image": 0.04, "input_cost_per_second": 1, "input_cost_per_character": 1}, {}),
    ],
)
def test_each_mode_is_sold_by_what_it_counts(mode: str, raw: dict[str, Any], wanted: dict[str, str]) -> None:
    found = msgspec.to_builtins(entry(mode, **raw))
    found.pop("mode", None)
    assert found == wanted


def test_what_costs_the_same_as_others_is_not_said_twice() -> None:
    assert entry(
        input_cost_per_token=1e-06,
        output_cost_per_token=2e-06,
        output_cost_per_reasoning_token=2e-06,
        input_cost_per_audio_token=1e-06,
        input_cost_per_image_token=3e-06,
    ) == ModelEntry(input=Decimal(1), output=Decimal(2), image_in=Decimal(3))


@pytest.mark.parametrize("value", [-1, True, "1", None, [], {}])
def test_what_is_no_amount_is_no_price(value: Any) -> None:
    assert entry(input_cost_per_token=value, max_input_tokens=value, tiered_pricing=[]) == ModelEntry()


@pytest.mark.parametrize(
    ("raw", "lacks"),
    [
        ({}, set()),
        ({"supports_vision": True, "supports_function_calling": True}, set()),
        ({"supports_vision": False}, {"images"}),
        ({"supports_function_calling": False}, {"tools"}),
        ({"supported_modalities": ["text"]}, {"images"}),
        ({"supported_modalities": ["text"], "supports_vision": True}, set()),
        ({"supported_modalities": ["text", "image"]}, set()),
    ],
)
def test_a_chat_model_lacks_what_is_said_that_it_lacks(raw: dict[str, Any], lacks: set[str]) -> None:
    assert entry(**raw).lacks == lacks
    assert entry("embedding", **raw).lacks == set()


@pytest.mark.parametrize("text", [b"", b"[]", b'{"m": 1}', b"plain text"])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        convert(text, as_of="", source="")


def test_a_table_is_written_in_order_and_read_as_it_was() -> None:
    made = table(
        {
            "z/b": {
                "litellm_provider": "z",
                "mode": "chat",
                "supports_vision": False,
                "supports_function_calling": False,
            },
            "z/a": {"litellm_provider": "z", "mode": "chat", "input_cost_per_token_above_128k_tokens": 1e-06},
            'a/"': {"litellm_provider": "a", "mode": "rerank", "input_cost_per_query": 0.5},
        }
    )
    text = encode_table(made)
    assert read_table(text) == made
    assert encode_table(read_table(text)) == text
    lines = [line.split(":")[0].strip() for line in text.decode().splitlines() if line.startswith("      ")]
    assert lines == ['"\\""', '"a"', '"b"']
    assert load_facts(text)["z"]["b"].lacks == {"images", "tools"}


def test_of_two_names_of_a_price_the_first_counts() -> None:
    one, two = Decimal(1), Decimal(2)
    assert stated_costs({"input_cost_per_image": one, "output_cost_per_image": two}) == {"image": two}
    assert stated_costs({"other": one}) == {}


def test_a_tier_has_litellms_name() -> None:
    name = tier_name("cache_creation_input_token_cost_above_1hr", 200)
    assert name == "cache_creation_input_token_cost_above_1hr_above_200k_tokens"
    assert stated_tiers({name: Decimal(3)}) == {200_000: {"write_1h": Decimal(3)}}
