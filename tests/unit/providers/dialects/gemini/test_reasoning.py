from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.reasoning import read_reasoning, write_reasoning
from pointsman.wire.chat import Reasoning


@pytest.mark.parametrize(
    ("reasoning", "model", "expected"),
    [
        (Reasoning(effort="minimal"), "gemini-3-flash-preview", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        (Reasoning(effort="minimal"), "gemini-3.1-pro-preview", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (Reasoning(effort="medium"), "gemini-3.5-flash", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (Reasoning(effort="max"), "gemini-4-pro", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        (Reasoning(effort="none"), "gemini-3-flash", {"thinkingLevel": "MINIMAL"}),
        (Reasoning(is_off=True), "gemini-3-pro", {"thinkingLevel": "LOW"}),
        (Reasoning(budget_tokens=500), "gemini-3-pro", {"thinkingBudget": 500, "includeThoughts": True}),
        (
            Reasoning(effort="high", budget_tokens=500),
            "gemini-3-pro",
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (Reasoning(is_adaptive=True), "gemini-3-pro", {"includeThoughts": True}),
        (Reasoning(effort="none"), "gemini-2.5-flash", {"thinkingBudget": 0}),
        (Reasoning(effort="low"), "gemini-2.5-flash", {"thinkingBudget": 1024, "includeThoughts": True}),
        (Reasoning(effort="high"), "gemini-2.5-pro", {"thinkingBudget": 24576, "includeThoughts": True}),
        (
            Reasoning(effort="high", budget_tokens=500),
            "gemini-2.5-pro",
            {"thinkingBudget": 500, "includeThoughts": True},
        ),
        (Reasoning(budget_tokens=31999), "gemini-2.5-pro", {"thinkingBudget": 31999, "includeThoughts": True}),
        (Reasoning(budget_tokens=31999), "gemini-2.5-flash", {"thinkingBudget": 24576, "includeThoughts": True}),
        (Reasoning(budget_tokens=40_000), "gemini-2.5-pro", {"thinkingBudget": 32768, "includeThoughts": True}),
        (Reasoning(budget_tokens=100), "gemini-2.5-flash-lite", {"thinkingBudget": 512, "includeThoughts": True}),
        (Reasoning(is_off=True), "gemini-2.5-flash-lite", {"thinkingBudget": 0}),
        (Reasoning(is_off=True), "gemini-2.5-pro", {"thinkingBudget": 128}),
        (Reasoning(effort="none"), "gemini-2.5-pro", {"thinkingBudget": 128}),
        (Reasoning(is_adaptive=True), "gemini-2.5-pro", {"thinkingBudget": -1, "includeThoughts": True}),
        (Reasoning(effort="low", is_shown=False), "gemini-2.5-pro", {"thinkingBudget": 1024, "includeThoughts": False}),
        (Reasoning(summary="auto"), "gemini-2.5-pro", {"includeThoughts": True}),
        (Reasoning(), "gemini-2.5-pro", {}),
    ],
)
def test_how_much_to_think_is_said_as_the_model_takes_it(
    reasoning: Reasoning, model: str, expected: dict[str, Any]
) -> None:
    assert write_reasoning(reasoning, model) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"thinkingBudget": 0}, Reasoning(is_off=True, is_shown=False)),
        ({"thinkingBudget": -1, "includeThoughts": True}, Reasoning(is_adaptive=True, is_shown=True)),
        ({"thinkingLevel": "xhigh"}, Reasoning(effort="xhigh", is_shown=False)),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, Reasoning(is_shown=False)),
    ],
)
def test_what_a_client_asks_for_is_read(config: dict[str, Any], expected: Reasoning) -> None:
    assert read_reasoning(config, "x") == expected


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"thinkingBudget": True}, "x.thinkingBudget"),
        ({"thinkingBudget": "9"}, "x.thinkingBudget"),
        ({"thinkingLevel": "much"}, "x.thinkingLevel"),
        ({"thinkingLevel": 3}, "x.thinkingLevel"),
        ({"includeThoughts": "yes"}, "x.includeThoughts"),
    ],
)
def test_what_is_not_valid_is_refused(config: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_reasoning(config, "x")
    assert caught.value.param == param
