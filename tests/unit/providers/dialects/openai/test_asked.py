from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.openai.golden import built, cases

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects import openai
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Reasoning, ToolChoice

USER = {"role": "user", "content": "x"}


def read(**members: Any) -> ChatRequest:
    return openai.read_request(json.dumps({"messages": [USER]} | members).encode())


@cases("requests_in")
def test_a_request_is_read(case: Any) -> None:
    assert openai.read_request(json.dumps(case["native"]).encode()) == built(case["canonical"])


NOT_ALL_EXPRESSED = ("custom_tools", "functions", "media", "thinking_blocks", "thought_signatures")


@cases("requests_in", without=NOT_ALL_EXPRESSED)
def test_what_was_read_and_written_reads_the_same(case: Any) -> None:
    request: ChatRequest = built(case["canonical"])
    terms = Terms(model=request.model or "", allowed=frozenset({"cache_control"}))
    again = openai.read_request(json.dumps(openai.write_request(request, terms)).encode())
    assert terms.lost == []
    again.include_usage, again.reasoning = request.include_usage, request.reasoning
    for one in (request, again):
        if one.format is not None and one.format.kind == "schema":
            one.format.name = "any"
    assert again == request


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b"{}", "messages"),
        (b'{"messages":null}', "messages"),
        (b'{"messages":7}', "messages"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        openai.read_request(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 1}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": 1}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        ({"functions": [{}]}, "functions[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "odd"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x"}}}, "tool_choice.allowed_tools.mode"),
        ({"function_call": "maybe"}, "function_call"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
            "response_format.json_schema.schema",
        ),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"thinking": {"type": "on"}}, "thinking.type"),
    ],
)
def test_a_member_that_is_not_valid_is_refused_by_its_place(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("members", "reasoning"),
    [
        ({}, None),
        ({"reasoning_effort": "default"}, None),
        ({"reasoning_effort": "xhigh"}, Reasoning(effort="xhigh")),
        ({"reasoning_effort": "disable"}, Reasoning(effort="none", is_off=True)),
        ({"reasoning_effort": {"effort": "low", "summary": "detailed"}}, Reasoning(effort="low", summary="detailed")),
        ({"reasoning": {"enabled": False}}, Reasoning(is_off=True)),
        ({"reasoning": {"max_tokens": 10, "exclude": False}}, Reasoning(budget_tokens=10, is_shown=True)),
        ({"thinking": {"type": "disabled"}}, Reasoning(is_off=True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(is_adaptive=True, is_shown=False)),
        ({"thinking": {"type": "enabled", "budget_tokens": 7}}, Reasoning(budget_tokens=7)),
    ],
)
def test_reasoning_is_read_in_every_vendors_words(members: dict[str, Any], reasoning: Reasoning | None) -> None:
    assert read(**members).reasoning == reasoning


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("any", ToolChoice(mode="required")),
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "custom", "custom": {"name": "c"}}, ToolChoice(mode="tool", name="c")),
    ],
)
def test_the_choice_of_a_tool_is_read_in_every_clients_words(choice: Any, expected: ToolChoice) -> None:
    assert read(tool_choice=choice).tool_choice == expected


def test_formats_that_are_not_known_are_carried() -> None:
    wanted = {"type": "grammar", "grammar": "x"}
    request = read(response_format=wanted)
    assert (request.format, request.extras) == (None, {"response_format": wanted})
    assert read(response_format={"type": "text"}).format is None
