from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.dialects.converse import golden

from pointsman.providers.dialects.converse import write_request
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    ChatRequest,
    Format,
    Reasoning,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

LLAMA = "meta.llama3-1-70b-instruct-v1:0"
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def request(**members: Any) -> ChatRequest:
    return ChatRequest(**({"dialect": "openai", "turns": [Turn("user", [Text("Hi")])]} | members))


@pytest.mark.parametrize("path", golden.cases("requests"), ids=lambda path: path.stem)
def test_a_request_is_written_as_recorded(path: Path) -> None:
    case = golden.load(path)
    terms = msgspec.convert(case["terms"], Terms)
    assert write_request(golden.request(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@pytest.mark.parametrize(
    ("member", "value", "name"),
    [
        ("max_tokens", 5, "max_completion_tokens"),
        ("temperature", 0.5, "temperature"),
        ("top_p", 0.5, "top_p"),
        ("stop", ["x"], "stop"),
        ("top_k", 5, "top_k"),
        ("seed", 5, "seed"),
        ("format", Format(kind="json"), "response_format"),
        ("options", {"verbosity": "low"}, "verbosity"),
        ("extras", {"x": 1}, "x"),
    ],
)
def test_what_is_to_be_dropped_is_left_out_without_a_word(member: str, value: Any, name: str) -> None:
    terms = Terms(model=LLAMA, drops=frozenset({name}))
    assert write_request(request(**{member: value}), terms) == write_request(request(), terms)
    assert terms.lost == []


@pytest.mark.parametrize("name", ["seed", "presence_penalty", "user"])
def test_what_is_allowed_is_sent_by_its_openai_name(name: str) -> None:
    terms = Terms(model=LLAMA, allowed=frozenset({name}))
    body = write_request(request(**{name: "x" if name == "user" else 0.5}), terms)
    assert list(body["additionalModelRequestFields"]) == [name]
    assert terms.lost == []


def test_sampling_that_later_claudes_refuse_is_sent_if_it_is_allowed() -> None:
    terms = Terms(model="anthropic.claude-opus-4-7", allowed=frozenset({"temperature"}))
    assert write_request(request(temperature=0.5), terms)["inferenceConfig"] == {"temperature": 0.5}


def test_the_default_tier_is_nothing_to_say_and_another_providers_tier_is_lost() -> None:
    terms = Terms(model=LLAMA)
    assert "serviceTier" not in write_request(request(options={"service_tier": "auto"}), terms)
    assert terms.lost == []
    assert "serviceTier" not in write_request(request(options={"service_tier": ["x"]}), terms)
    assert terms.lost == ["service_tier"]


def test_an_open_object_is_closed_and_says_in_words_that_it_was_open() -> None:
    schema = {"type": "object", "properties": {"type": {"type": "string"}}, "additionalProperties": True}
    body = write_request(request(format=Format(kind="schema", schema=schema)), Terms(model=CLAUDE))
    definition = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    told = {"additionalProperties": False, "description": "{additionalProperties: true}"}
    assert msgspec.json.decode(definition["schema"]) == schema | told


ASKED = Turn("user", [Text("Hi")])
CALLED = Turn("assistant", [ToolCall(id="c", name="f", arguments="{}")])
THOUGHT = Turn("assistant", [Thinking("hm", Seal("converse", "s")), *CALLED.parts])
RESULT = Turn("user", [ToolResult(call_id="c", parts=[Text("ok")])])


@pytest.mark.parametrize(
    ("members", "is_asked"),
    [
        ({"tool_choice": ToolChoice(mode="auto")}, True),
        ({"tool_choice": ToolChoice(mode="required")}, False),
        ({"tool_choice": ToolChoice(mode="tool", name="f")}, False),
        ({"tool_choice": ToolChoice(mode="required"), "parallel_tool_calls": False}, False),
        ({"tool_choice": ToolChoice(mode="auto"), "parallel_tool_calls": False}, True),
        ({"turns": [ASKED, CALLED, RESULT]}, False),
        ({"turns": [ASKED, THOUGHT, RESULT]}, True),
        ({"turns": [ASKED, CALLED, RESULT, ASKED]}, False),
        ({"turns": [ASKED, CALLED, RESULT, CALLED, ASKED]}, True),
    ],
)
def test_claude_is_asked_to_think_where_it_does_not_refuse_to(members: dict[str, Any], is_asked: bool) -> None:
    terms = Terms(model=CLAUDE)
    body = write_request(request(tools=[Tool(name="f")], reasoning=Reasoning(effort="high"), **members), terms)
    assert ("thinking" in body.get("additionalModelRequestFields", {})) == is_asked
    assert terms.lost == ([] if is_asked else ["thinking"])


def test_sampling_is_lost_beside_thinking_unless_it_says_nothing() -> None:
    terms = Terms(model=CLAUDE)
    thinks = Reasoning(effort="high")
    body = write_request(request(reasoning=thinks, temperature=0.2, top_p=0.96, top_k=5), terms)
    assert body["inferenceConfig"] == {"topP": 0.96}
    assert (list(body["additionalModelRequestFields"]), terms.lost) == (["thinking"], ["temperature", "top_k"])
    body = write_request(request(temperature=0.2, top_p=0.5, top_k=5), Terms(model=CLAUDE))
    assert body["inferenceConfig"] == {"temperature": 0.2, "topP": 0.5}


@given(
    st.text(min_size=1).filter(str.strip),
    st.none() | st.integers(1, 10**6),
    st.none() | st.floats(0, 1),
    st.lists(st.text(min_size=1), max_size=4),
)
def test_what_converse_has_is_carried_whatever_it_is(
    text: str, max_tokens: int | None, temperature: float | None, stop: list[str]
) -> None:
    terms = Terms(model=LLAMA)
    asked = request(turns=[Turn("user", [Text(text)])], max_tokens=max_tokens, temperature=temperature, stop=stop)
    body = write_request(asked, terms)
    limits = body.get("inferenceConfig", {})
    assert body["messages"] == [{"role": "user", "content": [{"text": text}]}]
    assert (limits.get("maxTokens"), limits.get("temperature")) == (max_tokens, temperature)
    assert limits.get("stopSequences", []) == stop
    assert terms.lost == []
