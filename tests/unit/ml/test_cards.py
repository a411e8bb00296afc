from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.ml.cards import BadCards, read_cards
from pointsman.ml.prior import Card

LLMROUTER = {
    "qwen2.5-7b-instruct": {
        "size": "7B",
        "feature": "Small and quick.",
        "input_price": 0.2,
        "output_price": 0.3,
        "model": "qwen/qwen2.5-7b-instruct",
        "service": "NVIDIA",
        "embedding": [0.1, 0.2],
    },
    "mixtral": {"size": "8x7B", "input_price": 0.6},
    "closed": {"size": "unknown"},
}
ROUTEIQ = {
    "models": [
        {
            "model_name": "gpt-4o",
            "provider": "openai",
            "cost_per_1k_tokens": 0.005,
            "latency_p50_ms": 800,
            "context_window": 128000,
            "capabilities": ["chat", "vision"],
        },
        {"model_name": "local"},
    ]
}


def read(document: Any) -> tuple[Card, ...]:
    return read_cards(json.dumps(document).encode())


@pytest.mark.requirement("routing.learned.candidate-files")
def test_llmrouters_candidates_are_an_object_by_model() -> None:
    assert read(LLMROUTER) == (
        Card(
            name="qwen2.5-7b-instruct",
            size_billions=7.0,
            input_usd_per_million=0.2,
            output_usd_per_million=0.3,
            description="Small and quick.",
        ),
        Card(name="mixtral", size_billions=56.0, input_usd_per_million=0.6),
        Card(name="closed"),
    )


@pytest.mark.requirement("routing.learned.candidate-files")
def test_routeiqs_candidates_are_a_list_with_prices_for_a_thousand_tokens() -> None:
    assert read(ROUTEIQ) == (
        Card(
            name="gpt-4o",
            input_usd_per_million=5.0,
            output_usd_per_million=5.0,
            description="chat, vision",
            context_window=128_000,
        ),
        Card(name="local"),
    )


def test_prices_of_prompt_and_answer_may_differ() -> None:
    card = read({"models": [{"model_name": "a", "cost_per_1k_tokens": 1, "output_cost_per_1k_tokens": 3}]})[0]
    assert (card.input_usd_per_million, card.output_usd_per_million) == (1000.0, 3000.0)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ([], "is no list of candidates"),
        ({}, "names 0 models"),
        ({"models": []}, "names 0 models"),
        ({"a": 3}, "is no list of candidates"),
        ({"a": {"input_price": -1}}, r"input_price|\$\[...\]"),
        ({"a": {"input_price": "cheap"}}, "is no list of candidates"),
        ({"models": [{"provider": "x"}]}, "model_name"),
        ({"models": [{"model_name": "a"}, {"model_name": "a"}]}, "names a model twice"),
    ],
)
def test_what_cannot_be_is_refused(document: Any, what: str) -> None:
    with pytest.raises(BadCards, match=what):
        read(document)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b" " * (64 << 20) + b"{}"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(BadCards):
        read_cards(text)
