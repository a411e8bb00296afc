from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit.providers.dialects.openai.golden import built, cases

from pointsman.providers.dialects import openai
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Reasoning, Text, Tool, ToolChoice, Turn


@cases("requests")
def test_a_request_is_written(case: Any) -> None:
    terms = Terms(model=case["model"], allowed=frozenset(case["allowed"]), drops=frozenset(case["drops"]))
    assert openai.write_request(built(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@pytest.mark.parametrize(
    ("drop", "member"), [("max_tokens", "max_completion_tokens"), ("thinking", "reasoning_effort")]
)
def test_what_is_dropped_is_dropped_by_either_of_its_names(drop: str, member: str) -> None:
    request = ChatRequest(dialect="openai", turns=[], max_tokens=5, reasoning=Reasoning(effort="low"))
    kept = openai.write_request(request, Terms(model="o3"))
    dropped = openai.write_request(request, Terms(model="o3", drops=frozenset({drop})))
    assert kept.keys() - dropped.keys() == {member}


def test_a_choice_without_tools_is_not_written() -> None:
    request = ChatRequest(dialect="openai", turns=[], tool_choice=ToolChoice(mode="auto"))
    assert "tool_choice" not in openai.write_request(request, Terms(model="m"))


@pytest.mark.parametrize("tools", [[], [Tool(name="x", kind="foreign", dialect="responses")], [Tool(name="f")]])
def test_nothing_is_said_about_tools_where_none_is_left(tools: list[Tool]) -> None:
    request = ChatRequest(
        dialect="responses",
        turns=[],
        tools=tools,
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
    )
    body = openai.write_request(request, Terms(model="m", drops=frozenset({"tools"})))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()
    assert {"tool_choice", "parallel_tool_calls"} <= openai.write_request(
        msgspec.structs.replace(request, tools=[Tool(name="f")]), Terms(model="m")
    ).keys()


def test_what_openais_clients_add_goes_on_untouched_and_what_others_add_is_lost() -> None:
    turns = [Turn("user", [Text("x")], extras={"weight": 1})]
    own = ChatRequest(dialect="openai", turns=turns, extras={"min_p": 0.1}, top_k=3)
    terms = Terms(model="m")
    body = openai.write_request(own, terms)
    assert (body["min_p"], body["top_k"], body["messages"][0]["weight"], terms.lost) == (0.1, 3, 1, [])
    other = ChatRequest(dialect="cohere", turns=turns, extras={"min_p": 0.1}, top_k=3)
    body = openai.write_request(other, terms)
    assert not {"min_p", "top_k"} & body.keys()
    assert terms.lost == ["messages[0].weight", "top_k", "min_p"]


@pytest.mark.parametrize(
    ("budget", "effort"), [(1024, "low"), (4999, "low"), (5000, "medium"), (10_000, "high"), (0, "low")]
)
def test_a_number_of_tokens_becomes_an_effort(budget: int, effort: str) -> None:
    request = ChatRequest(dialect="anthropic", turns=[], reasoning=Reasoning(budget_tokens=budget))
    assert openai.write_request(request, Terms(model="m"))["reasoning_effort"] == effort


@pytest.mark.parametrize(
    ("model", "reasoning", "effort"),
    [
        ("gpt-5.1", Reasoning(is_off=True), "none"),
        ("gpt-5", Reasoning(is_off=True), None),
        ("gpt-5", Reasoning(is_off=True, effort="none"), "none"),
        ("gpt-5", Reasoning(is_adaptive=True), None),
        ("gpt-5", Reasoning(budget_tokens=-1), None),
    ],
)
def test_reasoning_that_is_off_or_left_to_the_model(model: str, reasoning: Reasoning, effort: str | None) -> None:
    request = ChatRequest(dialect="anthropic", turns=[], reasoning=reasoning)
    assert openai.write_request(request, Terms(model=model)).get("reasoning_effort") == effort


def test_a_request_of_foreign_tools_only_has_no_tools() -> None:
    request = ChatRequest(dialect="gemini", turns=[], tools=[Tool(name="x", kind="foreign", dialect="gemini", raw={})])
    terms = Terms(model="m")
    assert "tools" not in openai.write_request(request, terms)
    assert terms.lost == ["tools[0]"]


@pytest.mark.parametrize(
    ("dialect", "length", "lost"), [("anthropic", 64, []), ("anthropic", 65, ["user"]), ("openai", 65, [])]
)
def test_a_user_of_another_dialect_may_be_too_long(dialect: str, length: int, lost: list[str]) -> None:
    terms = Terms(model="m")
    body = openai.write_request(ChatRequest(dialect=dialect, turns=[], user="u" * length), terms)
    assert (terms.lost, "user" in body) == (lost, not lost)
