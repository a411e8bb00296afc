from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit.providers.dialects.responses import golden

from pointsman.providers.dialects import responses
from pointsman.providers.translation import Terms
from pointsman.wire.chat import CacheMark, ChatRequest, Effort, Format, Reasoning, Text, Tool, ToolChoice, Turn


def asking(**members: Any) -> ChatRequest:
    return ChatRequest(**({"dialect": "openai", "turns": [Turn("user", [Text("Hi")])]} | members))


@pytest.mark.requirement("responses.outbound")
@pytest.mark.parametrize("path", golden.cases("requests"), ids=lambda path: path.stem)
def test_a_request_is_written_for_a_provider(path: Path) -> None:
    case = golden.load(path)
    terms = Terms(model="gpt-5.4")
    assert responses.write_request(golden.request(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@pytest.mark.parametrize(
    ("name", "members", "written"),
    [
        ("temperature", {"temperature": 1.0}, "temperature"),
        ("max_tokens", {"max_tokens": 1}, "max_output_tokens"),
        ("max_completion_tokens", {"max_tokens": 1}, "max_output_tokens"),
        ("reasoning_effort", {"reasoning": Reasoning(effort="low")}, "reasoning"),
        ("response_format", {"format": Format(kind="json")}, "text"),
        ("verbosity", {"options": {"verbosity": "low"}}, "text"),
        ("tools", {"tools": [Tool(name="f")]}, "tools"),
        ("tool_choice", {"tools": [Tool(name="f")], "tool_choice": ToolChoice(mode="auto")}, "tool_choice"),
        ("logprobs", {"logprobs": True}, "include"),
        ("metadata", {"options": {"metadata": {"a": "b"}}}, "metadata"),
        ("seed", {"seed": 1}, "seed"),
        ("new", {"extras": {"new": 1}}, "new"),
    ],
)
def test_what_is_to_be_dropped_is_left_out_without_a_word(name: str, members: dict[str, Any], written: str) -> None:
    terms = Terms(model="m", drops=frozenset({name}))
    assert written not in responses.write_request(asking(**members), terms)
    assert terms.lost == []
    kept = Terms(model="m", allowed=frozenset({name}))
    assert written in responses.write_request(asking(**members), kept)
    assert kept.lost == []


@pytest.mark.parametrize(
    ("budget", "effort"), [(1024, "low"), (4999, "low"), (5000, "medium"), (10_000, "high"), (64_000, "high")]
)
def test_a_budget_of_thinking_becomes_an_effort(budget: int, effort: Effort) -> None:
    body = responses.write_request(asking(reasoning=Reasoning(budget_tokens=budget)), Terms(model="m"))
    assert body["reasoning"] == {"effort": effort}


def test_reasoning_is_asked_for_encrypted_only_where_there_is_some() -> None:
    assert "include" not in responses.write_request(asking(), Terms(model="m"))
    assert "include" not in responses.write_request(asking(reasoning=Reasoning(is_off=True)), Terms(model="m"))
    adaptive = asking(reasoning=Reasoning(is_adaptive=True, is_shown=True))
    for model in ("gpt-4.1", "m"):
        assert not {"include", "reasoning"} & responses.write_request(adaptive, Terms(model=model)).keys()
    for model in ("gpt-5.1", "o3", "openai/gpt-5-mini"):
        body = responses.write_request(adaptive, Terms(model=model))
        assert (body["include"], body["reasoning"]) == (["reasoning.encrypted_content"], {"summary": "auto"})
    for asked in (Reasoning(effort="low"), Reasoning(is_encrypted_wanted=True)):
        body = responses.write_request(asking(reasoning=asked), Terms(model="m"))
        assert body["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("model", "reasoning", "effort"),
    [
        ("gpt-5.1", Reasoning(is_off=True), "none"),
        ("gpt-5", Reasoning(is_off=True), None),
        ("gpt-4o", Reasoning(is_off=True), None),
        ("gpt-4o", Reasoning(is_off=True, effort="none"), "none"),
    ],
)
def test_no_thinking_is_said_where_that_is_understood(model: str, reasoning: Reasoning, effort: str | None) -> None:
    body = responses.write_request(asking(reasoning=reasoning), Terms(model=model))
    assert body.get("reasoning", {}).get("effort") == effort
    assert "include" not in body


def test_nothing_is_stored_unless_the_caller_asks_for_it() -> None:
    assert responses.write_request(asking(), Terms(model="m"))["store"] is False
    assert responses.write_request(asking(options={"store": True}), Terms(model="m"))["store"] is True


def test_instructions_are_only_what_one_plain_text_can_say() -> None:
    for turn in (
        Turn("developer", [Text("x")]),
        Turn("system", [Text("x"), Text("y")]),
        Turn("system", [Text("x", cache=CacheMark())]),
        Turn("system", [Text("x")], name="n"),
    ):
        body = responses.write_request(asking(turns=[turn]), Terms(model="m"))
        assert "instructions" not in body
        assert body["input"][0]["role"] == turn.role


def test_a_choice_that_only_another_dialect_knows_is_lost() -> None:
    terms = Terms(model="m")
    choice = ToolChoice(mode="required", raw={"type": "any"})
    body = responses.write_request(asking(tools=[Tool(name="f")], tool_choice=choice), terms)
    assert "tool_choice" not in body
    assert terms.lost == ["tool_choice"]


def test_what_another_dialect_says_of_a_message_is_lost_by_its_place() -> None:
    terms = Terms(model="m")
    responses.write_request(asking(turns=[Turn("user", [Text("x")], extras={"weight": 1})]), terms)
    assert terms.lost == ["messages[0].weight"]
