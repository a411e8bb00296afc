from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.cohere.golden import built, cases

from pointsman.providers.dialects import cohere
from pointsman.providers.failures import classify
from pointsman.providers.translation import ADVISORY, Terms
from pointsman.wire.chat import ChatRequest, Format, Reasoning, Text, Tool, ToolChoice, Turn


@cases("requests")
def test_a_request_is_written(case: dict[str, Any]) -> None:
    terms = Terms(model=case["terms"]["model"])
    terms.drops, terms.allowed = (frozenset(case["terms"].get(name, ())) for name in ("drops", "allowed"))
    assert cohere.write_request(built(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@cases("errors")
def test_an_error_is_understood(case: dict[str, Any]) -> None:
    headers = [(name.encode(), value.encode()) for name, value in case["headers"].items()]
    body = json.dumps(case["native"]).encode()
    error = classify(case["status"], headers, body, secrets=(), address="https://api.cohere.com", now=0.0)
    found = {name: getattr(error, name) for name in ("status", "kind", "code", "message", "retry_after")}
    assert found == case["expected"]


def written(**more: Any) -> tuple[dict[str, Any], list[str]]:
    terms = Terms(model="m", drops=more.pop("drops", frozenset()))
    request = ChatRequest(dialect="openai", turns=[Turn("user", [Text("Hi")])], **more)
    return cohere.write_request(request, terms), terms.lost


@pytest.mark.parametrize(
    ("wanted", "thinking"),
    [
        (Reasoning(effort="low"), {"type": "enabled"}),
        (Reasoning(effort="high", budget_tokens=5), {"type": "enabled", "token_budget": 5}),
        (Reasoning(is_off=True, budget_tokens=5), {"type": "disabled"}),
        (Reasoning(is_adaptive=True), None),
        (Reasoning(budget_tokens=-1), None),
    ],
)
def test_reasoning_is_on_or_off_or_left_to_the_model(wanted: Reasoning, thinking: object) -> None:
    assert written(reasoning=wanted)[0].get("thinking") == thinking


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("tools", {"tools": [Tool(name="t")], "tool_choice": ToolChoice(mode="required")}),
        ("response_format", {"format": Format(kind="json")}),
        ("reasoning_effort", {"reasoning": Reasoning(effort="low")}),
        ("max_completion_tokens", {"max_tokens": 5}),
        ("documents", {"extras": {"documents": ["d"]}}),
    ],
)
def test_what_is_dropped_is_left_out_and_not_missed(name: str, more: dict[str, Any]) -> None:
    body, lost = written(drops=frozenset({name}), **more)
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert lost == []


def test_a_choice_of_another_dialect_is_lost_and_one_without_tools_says_nothing() -> None:
    choice = ToolChoice(mode="auto", raw={"type": "web_search"})
    assert written(tools=[Tool(name="t")], tool_choice=choice)[1] == ["tool_choice"]
    assert "tool_choice" not in written(tool_choice=ToolChoice(mode="required"))[0]


def test_cache_marks_and_single_calls_are_lost_without_harm() -> None:
    lost = written(parallel_tool_calls=False, user="u")[1]
    assert lost
    assert set(lost) <= ADVISORY
