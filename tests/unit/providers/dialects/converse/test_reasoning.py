from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.converse.models import model_of
from pointsman.providers.dialects.converse.reasoning import is_thinking, write_reasoning
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Reasoning

OPUS_4_7, OPUS_4_6 = "anthropic.claude-opus-4-7", "anthropic.claude-opus-4-6-v1"
SONNET_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA_2 = "amazon.nova-2-lite-v1:0"
GPT, GPT_OSS = "openai.gpt-5.6-sol", "openai.gpt-oss-120b-1:0"


def written(terms: Terms, dialect: str = "gemini", max_tokens: int | None = None, **members: Any) -> Any:
    request = ChatRequest(dialect=dialect, turns=[], reasoning=Reasoning(**members), max_tokens=max_tokens)
    return write_reasoning(request, terms, model_of(terms.model))


@pytest.mark.parametrize(
    ("model", "asked", "own", "effort"),
    [
        (OPUS_4_7, {"effort": "high"}, {"thinking": {"type": "adaptive"}}, "high"),
        (OPUS_4_7, {"effort": "minimal"}, {"thinking": {"type": "adaptive"}}, "low"),
        (OPUS_4_7, {"budget_tokens": 4096}, {"thinking": {"type": "adaptive"}}, "medium"),
        (OPUS_4_7, {"is_adaptive": True}, {"thinking": {"type": "adaptive"}}, None),
        (OPUS_4_7, {"effort": "none"}, {"thinking": {"type": "disabled"}}, None),
        (OPUS_4_7, {"is_adaptive": True, "is_shown": False},
         {"thinking": {"type": "adaptive", "display": "omitted"}}, None),
        (OPUS_4_6, {"effort": "xhigh"}, {"thinking": {"type": "adaptive"}}, "max"),
        (OPUS_4_6, {"budget_tokens": 9000}, {"thinking": {"type": "enabled", "budget_tokens": 9000}}, None),
        (SONNET_4_5, {"effort": "high"}, {"thinking": {"type": "enabled", "budget_tokens": 4096}}, None),
        (SONNET_4_5, {"is_adaptive": True}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None),
        (SONNET_4_5, {"is_off": True}, {"thinking": {"type": "disabled"}}, None),
        (NOVA_2, {"effort": "minimal"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, None),
        (NOVA_2, {"is_adaptive": True}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, None),
        (NOVA_2, {"budget_tokens": 9000}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, None),
        (NOVA_2, {"is_off": True}, {"reasoningConfig": {"type": "disabled"}}, None),
        (GPT_OSS, {"effort": "max"}, {"reasoning_effort": "high"}, None),
        (GPT_OSS, {"effort": "none"}, {"reasoning_effort": "low"}, None),
        (GPT, {"effort": "max"}, {"reasoning": {"effort": "max"}}, None),
        (GPT, {"effort": "none"}, {"reasoning": {"effort": "none"}}, None),
        (GPT, {"budget_tokens": 1024}, {"reasoning": {"effort": "low"}}, None),
        ("meta.llama3-1-8b-instruct-v1:0", {"is_off": True}, {}, None),
    ],
)  # fmt: skip
def test_each_maker_is_told_in_its_own_way(
    model: str, asked: dict[str, Any], own: dict[str, Any], effort: str | None
) -> None:
    terms = Terms(model=model)
    assert written(terms, **asked) == (own, effort)
    assert terms.lost == []


@pytest.mark.parametrize(
    "model", ["meta.llama3-1-8b-instruct-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-lite-v1:0"]
)
def test_an_effort_is_lost_where_the_model_has_none(model: str) -> None:
    terms = Terms(model=model)
    assert written(terms, effort="high") == ({}, None)
    assert terms.lost == ["reasoning_effort"]


def test_a_budget_takes_at_most_half_of_a_limit() -> None:
    terms = Terms(model=SONNET_4_5)
    own, _ = written(terms, max_tokens=3000, effort="high")
    assert own == {"thinking": {"type": "enabled", "budget_tokens": 1500}}
    assert written(terms, max_tokens=1000, effort="high") == ({}, None)
    assert terms.lost == ["reasoning_effort"]


def test_a_budget_is_as_near_as_the_model_takes_it() -> None:
    terms = Terms(model=SONNET_4_5)
    assert written(terms, budget_tokens=512)[0]["thinking"]["budget_tokens"] == 1024
    assert written(terms, max_tokens=4000, budget_tokens=9000)[0]["thinking"]["budget_tokens"] == 3999
    assert terms.lost == []
    assert written(terms, max_tokens=1024, budget_tokens=512) == ({}, None)
    assert terms.lost == ["thinking"]


def test_clients_of_openais_chat_see_the_reasoning() -> None:
    own, _ = written(Terms(model=OPUS_4_7), dialect="openai", effort="low")
    assert own["thinking"]["display"] == "summarized"


def test_an_effort_of_anthropics_clients_is_no_wish_to_think() -> None:
    assert written(Terms(model=OPUS_4_7), dialect="anthropic", effort="low") == ({}, "low")


def test_a_summary_alone_is_lost() -> None:
    terms = Terms(model=OPUS_4_7)
    assert written(terms, summary="auto") == ({}, None)
    assert terms.lost == ["summary"]


def test_it_can_be_dropped_or_sent_as_it_is() -> None:
    terms = Terms(model=OPUS_4_7, drops=frozenset({"thinking"}))
    assert written(terms, effort="high") == ({}, None)
    allowed = Terms(model="qwen.qwen3-32b-v1:0", allowed=frozenset({"reasoning_effort"}))
    assert written(allowed, effort="high") == ({"reasoning_effort": "high"}, None)
    assert terms.lost == allowed.lost == []


def test_a_model_that_thinks_is_known_by_its_parameters() -> None:
    assert is_thinking({"thinking": {"type": "adaptive"}})
    assert not is_thinking({"thinking": {"type": "disabled"}})
    assert not is_thinking({"top_k": 1})
