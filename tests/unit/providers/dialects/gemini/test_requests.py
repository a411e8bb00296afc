from __future__ import annotations

from typing import Any

import pytest
from unit.providers.dialects.gemini.golden import built, cases

from pointsman.providers.dialects.gemini.requests import write_request
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Text, Turn


def turns() -> list[Turn]:
    return [Turn("user", [Text("hi")])]


@pytest.mark.requirement("gemini.outbound")
@cases("requests")
def test_a_request_is_written_as_google_takes_it(case: dict[str, Any]) -> None:
    terms = Terms(model=case["model"])
    assert write_request(built(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@pytest.mark.parametrize(
    ("drop", "member"),
    [
        ("temperature", "temperature"),
        ("max_tokens", "maxOutputTokens"),
        ("max_completion_tokens", "maxOutputTokens"),
        ("stop", "stopSequences"),
        ("response_format", "responseMimeType"),
        ("reasoning_effort", "thinkingConfig"),
    ],
)
def test_what_shall_be_dropped_is_left_out_without_a_word(drop: str, member: str) -> None:
    request = built(
        [
            "ChatRequest",
            {
                "dialect": "openai",
                "turns": turns(),
                "temperature": 1.0,
                "max_tokens": 5,
                "stop": ["x"],
                "format": ["Format", {"kind": "json"}],
                "reasoning": ["Reasoning", {"effort": "low"}],
            },
        ]
    )
    assert member in write_request(request, Terms(model="gemini-2.5-pro"))["generationConfig"]
    terms = Terms(model="gemini-2.5-pro", drops=frozenset({drop}))
    assert member not in write_request(request, terms)["generationConfig"]
    assert terms.lost == []


def test_tools_and_options_can_be_dropped_too() -> None:
    request = ChatRequest(dialect="openai", turns=turns(), options={"logit_bias": {"1": 2}}, extras={"foo": 1})
    request.tools = built([["Tool", {"name": "f"}]])
    terms = Terms(model="gemini-3-pro", drops=frozenset({"tools", "logit_bias", "foo"}))
    assert write_request(request, terms) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert terms.lost == []


def test_options_that_say_nothing_are_not_lost() -> None:
    terms = Terms(model="gemini-3-pro")
    options = {"logit_bias": {}, "store": False, "verbosity": None, "service_tier": "auto"}
    write_request(ChatRequest(dialect="openai", turns=turns(), options=options, parallel_tool_calls=True), terms)
    assert terms.lost == []


def test_a_choice_without_functions_is_left_out() -> None:
    tools = built([["Tool", {"name": "s", "kind": "foreign", "dialect": "gemini", "raw": {"googleSearch": {}}}]])
    request = ChatRequest(
        dialect="gemini", turns=turns(), tools=tools, tool_choice=built(["ToolChoice", {"mode": "auto"}])
    )
    assert "toolConfig" not in write_request(request, Terms(model="gemini-3-pro"))


def test_what_is_allowed_is_sent_by_its_openai_name() -> None:
    request = ChatRequest(dialect="anthropic", turns=turns(), options={"logit_bias": {"1": 2}}, extras={"foo": 1})
    terms = Terms(model="gemini-3-pro", allowed=frozenset({"logit_bias", "foo"}))
    body = write_request(request, terms)
    assert (body["logit_bias"], body["foo"], terms.lost) == ({"1": 2}, 1, [])


def test_a_search_without_options_is_a_wish_too() -> None:
    terms = Terms(model="gemini-2.5-pro", lost=[])
    request = ChatRequest(dialect="openai", turns=turns(), options={"web_search_options": {}})
    assert write_request(request, terms)["tools"] == [{"googleSearch": {}}]
    assert terms.lost == []
