from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.anthropic.facts import generation_of
from pointsman.providers.dialects.anthropic.reasoning import write_reasoning
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Effort, Reasoning

ADAPTIVE = {"type": "adaptive"}


def ask(
    model: str, reasoning: Reasoning, *, dialect: str = "responses", max_tokens: int | None = None
) -> tuple[Any, Any, list[str]]:
    body: dict[str, Any] = {}
    terms = Terms(model=model)
    request = ChatRequest(dialect=dialect, turns=[], reasoning=reasoning, max_tokens=max_tokens)
    write_reasoning(request, terms, generation_of(model), body)
    return body.get("thinking"), body.get("output_config", {}).get("effort"), terms.lost


@pytest.mark.parametrize(
    ("effort", "before", "at_4_6", "after"),
    [
        ("minimal", 1024, "low", "low"),
        ("low", 1024, "low", "low"),
        ("medium", 2048, "medium", "medium"),
        ("high", 4096, "high", "high"),
        ("xhigh", 8192, "max", "xhigh"),
        ("max", 16384, "max", "max"),
    ],
)
def test_an_effort_is_a_budget_or_an_effort(effort: Effort, before: int, at_4_6: str, after: str) -> None:
    asked = Reasoning(effort=effort)
    assert ask("claude-opus-4-5", asked) == ({"type": "enabled", "budget_tokens": before}, None, [])
    assert ask("claude-opus-4-6", asked) == (ADAPTIVE, at_4_6, [])
    assert ask("claude-opus-4-7", asked) == (ADAPTIVE, after, [])
    assert ask("kimi-k2", asked) == ({"type": "enabled", "budget_tokens": before}, None, [])


@pytest.mark.parametrize(
    "reasoning", [Reasoning(effort="none"), Reasoning(is_off=True), Reasoning(effort="low", is_off=True)]
)
def test_no_reasoning_is_said_aloud_since_some_models_reason_unasked(reasoning: Reasoning) -> None:
    assert ask("claude-sonnet-5", reasoning) == ({"type": "disabled"}, None, [])


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (2048, "medium"), (8192, "high"), (99999, "high")])
def test_a_budget_is_kept_up_to_4_6_and_an_effort_afterwards(budget: int, effort: str) -> None:
    asked = Reasoning(budget_tokens=budget)
    assert ask("claude-opus-4-6", asked) == ({"type": "enabled", "budget_tokens": budget}, None, [])
    assert ask("claude-opus-4-7", asked) == (ADAPTIVE, effort, [])


def test_a_budget_leaves_half_of_the_answer_or_is_not_given() -> None:
    low = Reasoning(effort="high")
    assert ask("claude-opus-4-5", low, max_tokens=4000)[0] == {"type": "enabled", "budget_tokens": 2000}
    assert ask("claude-opus-4-5", low, max_tokens=2047) == (None, None, ["reasoning_effort"])
    assert ask("claude-opus-4-6", low, max_tokens=10) == (ADAPTIVE, "high", [])


def test_a_budget_of_another_dialect_is_as_near_as_the_model_takes_it() -> None:
    small = Reasoning(budget_tokens=512)
    assert ask("claude-opus-4-5", small)[0] == {"type": "enabled", "budget_tokens": 1024}
    assert ask("claude-opus-4-5", Reasoning(budget_tokens=9000), max_tokens=4000)[0]["budget_tokens"] == 3999
    assert ask("claude-opus-4-5", small, max_tokens=1024) == (None, None, ["thinking"])


def test_models_before_3_7_do_not_think() -> None:
    assert ask("claude-3-5-sonnet-20241022", Reasoning(effort="high")) == (None, None, ["reasoning_effort"])
    assert ask("claude-3-5-sonnet-20241022", Reasoning(is_off=True)) == (None, None, [])
    assert ask("claude-3-7-sonnet-20250219", Reasoning(budget_tokens=2000))[0]["budget_tokens"] == 2000


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-5"])
@pytest.mark.parametrize(("kind", "is_asked"), [("any", False), ("tool", False), ("auto", True), ("none", True)])
def test_where_a_tool_is_forced_no_thoughts_are_asked_for(model: str, kind: str, is_asked: bool) -> None:
    body: dict[str, Any] = {"tool_choice": {"type": kind}}
    terms = Terms(model=model)
    request = ChatRequest(dialect="gemini", turns=[], reasoning=Reasoning(effort="high"))
    write_reasoning(request, terms, generation_of(model), body)
    assert ("thinking" in body, terms.lost) == (is_asked, [] if is_asked else ["thinking"])


def test_adaptive_reasoning_without_an_effort() -> None:
    asked = Reasoning(is_adaptive=True)
    assert ask("claude-opus-4-5", asked) == ({"type": "enabled", "budget_tokens": 2048}, None, [])
    assert ask("claude-opus-4-6", asked) == (ADAPTIVE, None, [])
    assert ask("claude-opus-5", asked) == (ADAPTIVE, None, [])


def test_wishes_for_summaries_alone_ask_for_nothing() -> None:
    assert ask("claude-opus-5", Reasoning(summary="auto")) == (None, None, ["summary"])
    assert ask("claude-opus-5", Reasoning(is_encrypted_wanted=True)) == (None, None, [])


@pytest.mark.parametrize(
    ("dialect", "reasoning", "display"),
    [
        ("openai", Reasoning(effort="low"), "summarized"),
        ("openai", Reasoning(effort="low", is_shown=False), "omitted"),
        ("responses", Reasoning(effort="low"), None),
        ("responses", Reasoning(effort="low", summary="concise"), "summarized"),
        ("gemini", Reasoning(effort="low", is_shown=True), "summarized"),
    ],
)
def test_reasoning_is_shown_to_those_who_ask_or_cannot(dialect: str, reasoning: Reasoning, display: str | None) -> None:
    assert ask("claude-opus-5", reasoning, dialect=dialect)[0].get("display") == display
    assert "display" not in ask("claude-opus-4-5", reasoning, dialect=dialect)[0]


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort"),
    [
        (
            Reasoning(budget_tokens=1, is_shown=False),
            {"type": "enabled", "budget_tokens": 1, "display": "omitted"},
            None,
        ),
        (Reasoning(is_adaptive=True, effort="low"), ADAPTIVE, "low"),
        (Reasoning(effort="max"), None, "max"),
        (Reasoning(effort="high", is_off=True), {"type": "disabled"}, "high"),
    ],
)
def test_a_client_of_this_dialect_gets_what_it_asks_for(
    reasoning: Reasoning, thinking: Any, effort: str | None
) -> None:
    for model in ("claude-opus-4-5", "claude-opus-5"):
        assert ask(model, reasoning, dialect="anthropic") == (thinking, effort, [])


CALLED = {"role": "assistant", "content": [{"type": "text", "text": "So."}, {"type": "tool_use", "id": "a"}]}
THOUGHT = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "tool_use", "id": "b"}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}
ASKED = {"role": "user", "content": "Go on"}


@pytest.mark.parametrize(
    ("messages", "is_asked"),
    [
        ([ASKED, CALLED, RESULT], False),
        ([ASKED, THOUGHT, RESULT, ASKED, CALLED, RESULT], False),
        ([ASKED, THOUGHT, RESULT, CALLED, RESULT], True),
        ([ASKED, CALLED, RESULT, ASKED], True),
        ([ASKED], True),
    ],
)
def test_a_model_that_goes_on_after_calls_thinks_only_if_its_thoughts_before_them_are_there(
    messages: list[dict[str, Any]], is_asked: bool
) -> None:
    body: dict[str, Any] = {"messages": messages}
    terms = Terms(model="claude-sonnet-4-5", lost=[])
    request = ChatRequest(dialect="gemini", turns=[], reasoning=Reasoning(effort="high"))
    write_reasoning(request, terms, generation_of(terms.model), body)
    assert ("thinking" in body, terms.lost) == (is_asked, [] if is_asked else ["thinking"])


def test_adaptive_thinking_does_not_insist_on_earlier_thoughts() -> None:
    body: dict[str, Any] = {"messages": [ASKED, CALLED, RESULT]}
    request = ChatRequest(dialect="gemini", turns=[], reasoning=Reasoning(effort="high"))
    write_reasoning(request, Terms(model="claude-opus-4-6"), (4, 6), body)
    assert body["thinking"] == ADAPTIVE
