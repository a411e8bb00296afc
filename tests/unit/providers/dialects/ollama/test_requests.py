from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.ollama.golden import built, cases

from pointsman.providers.dialects import ollama
from pointsman.providers.failures import classify
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Format, Reasoning, Text, Tool, ToolChoice, Turn


@cases("requests")
def test_a_request_is_written(case: dict[str, Any]) -> None:
    terms = Terms(model=case["terms"]["model"])
    terms.drops, terms.allowed = (frozenset(case["terms"].get(name, ())) for name in ("drops", "allowed"))
    assert ollama.write_request(built(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@cases("errors")
def test_an_error_is_understood(case: dict[str, Any]) -> None:
    body = json.dumps(case["native"]).encode()
    error = classify(case["status"], [], body, secrets=(), address="http://localhost:11434", now=0.0)
    found = {name: getattr(error, name) for name in ("status", "kind", "code", "message", "retry_after")}
    assert found == case["expected"]


def written(**more: Any) -> tuple[dict[str, Any], list[str]]:
    terms = Terms(model="m", drops=more.pop("drops", frozenset()))
    turns = [Turn("user", [Text("Hi")])]
    return ollama.write_request(ChatRequest(**{"dialect": "openai", "turns": turns} | more), terms), terms.lost


@pytest.mark.parametrize(
    ("wanted", "think"),
    [
        (Reasoning(effort="none", is_off=True), False),
        (Reasoning(effort="minimal"), "low"),
        (Reasoning(effort="medium", budget_tokens=9), "medium"),
        (Reasoning(effort="max"), "max"),
        (Reasoning(budget_tokens=9), True),
        (Reasoning(budget_tokens=0), False),
        (Reasoning(is_adaptive=True, budget_tokens=9), None),
        (Reasoning(summary="auto"), None),
    ],
)
def test_how_much_to_think(wanted: Reasoning, think: object) -> None:
    assert written(reasoning=wanted)[0].get("think") == think


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("tools", {"tools": [Tool(name="t")]}),
        ("response_format", {"format": Format(kind="json")}),
        ("thinking", {"reasoning": Reasoning(effort="low")}),
        ("stop", {"stop": ["a"]}),
        ("logprobs", {"logprobs": True}),
        ("num_ctx", {"extras": {"num_ctx": 1}}),
    ],
)
def test_what_is_dropped_is_left_out_and_not_missed(name: str, more: dict[str, Any]) -> None:
    body, lost = written(drops=frozenset({name}), **more)
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert lost == []


def test_that_a_tool_has_to_be_called_is_lost() -> None:
    tools = [Tool(name="t"), Tool(name="u")]
    body, lost = written(tools=tools, tool_choice=ToolChoice(mode="tool", name="t"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["t", "u"]
    assert lost == ["tool_choice"]
    assert written(tool_choice=ToolChoice(mode="required"))[1] == []


def test_parameters_of_other_dialects_are_lost() -> None:
    body, lost = written(dialect="anthropic", extras={"num_ctx": 1, "options": {}})
    assert "options" not in body
    assert lost == ["num_ctx", "options"]


def test_that_a_schema_has_to_be_kept_is_lost() -> None:
    body, lost = written(tools=[Tool(name="f", schema={}, is_strict=True), Tool(name="g", is_strict=False)])
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "g"]
    assert lost == ["tools[0].strict"]
