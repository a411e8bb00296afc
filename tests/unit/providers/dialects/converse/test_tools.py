from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.converse.contents import Conversation
from pointsman.providers.dialects.converse.models import model_of
from pointsman.providers.dialects.converse.tools import ANSWER, add_answer, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import CacheMark, ChatRequest, Text, Tool, ToolChoice, ToolResult, Turn

NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
TOOLS = [Tool(name="f"), Tool(name="g", description="G", schema={"properties": {"a": {}}, "required": ["a"]})]


def written(terms: Terms, **members: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    members = {"dialect": "openai", "turns": [Turn("user", [Text("x")])], "tools": TOOLS} | members
    request, model = ChatRequest(**members), model_of(terms.model)
    return write_tools(request, terms, model, Conversation(request, terms, model))


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, None),
        (ToolChoice(mode="auto"), None),
        (ToolChoice(mode="required"), {"any": {}}),
        (ToolChoice(mode="tool", name="g"), {"tool": {"name": "g"}}),
    ],
)
def test_choices_are_said_where_converse_has_them(choice: ToolChoice | None, wire: Any) -> None:
    terms = Terms(model=NOVA)
    config, own = written(terms, tool_choice=choice)
    assert config is not None
    assert (config.get("toolChoice"), own, terms.lost) == (wire, {}, [])


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, {"type": "auto"}),
        (ToolChoice(mode="required"), {"type": "any"}),
        (ToolChoice(mode="tool", name="g"), {"type": "tool", "name": "g"}),
    ],
)
def test_claude_is_told_in_its_own_words_to_call_one_at_a_time(choice: ToolChoice | None, wire: dict[str, Any]) -> None:
    terms = Terms(model=CLAUDE)
    config, own = written(terms, tool_choice=choice, parallel_tool_calls=False)
    assert config is not None
    assert own == {"tool_choice": wire | {"disable_parallel_tool_use": True}}
    assert "toolChoice" not in config
    assert terms.lost == []


def test_calls_at_the_same_time_are_what_is_done_anyway() -> None:
    terms = Terms(model=CLAUDE)
    assert written(terms, parallel_tool_calls=True)[1] == {}
    assert written(Terms(model=NOVA, drops=frozenset({"parallel_tool_calls"})), parallel_tool_calls=False)[1] == {}
    assert terms.lost == []


def test_only_the_allowed_tools_are_declared() -> None:
    config, _ = written(Terms(model=NOVA), tool_choice=ToolChoice(mode="auto", allowed=["g"]))
    assert config is not None
    assert config["tools"] == [
        {
            "toolSpec": {
                "name": "g",
                "description": "G",
                "inputSchema": {"json": {"type": "object", "properties": {"a": {}}, "required": ["a"]}},
            }
        }
    ]


def test_a_choice_that_is_only_near_what_was_said_is_lost() -> None:
    terms = Terms(model=NOVA)
    written(terms, tool_choice=ToolChoice(mode="auto", raw={"type": "odd"}))
    assert terms.lost == ["tool_choice"]


def test_a_choice_can_be_dropped() -> None:
    config, _ = written(Terms(model=NOVA, drops=frozenset({"tool_choice"})), tool_choice=ToolChoice(mode="none"))
    assert config is not None


def test_without_calls_or_tools_there_is_no_configuration() -> None:
    assert written(Terms(model=NOVA), tools=[], parallel_tool_calls=False) == (None, {})
    turns = [Turn("user", [ToolResult(call_id="c", parts=[])])]
    assert written(Terms(model=NOVA), tools=[], turns=turns) == (None, {})


def test_tools_of_converse_pass_and_those_of_others_are_lost() -> None:
    raw = {"systemTool": {"name": "nova_code_interpreter"}}
    terms = Terms(model=NOVA)
    tools = [
        Tool(name="x", kind="foreign", dialect="converse", raw=raw, cache=CacheMark()),
        Tool(name="y", kind="foreign", dialect="anthropic", raw={"type": "bash_20250124"}, cache=CacheMark()),
    ]
    config, _ = written(terms, tools=tools)
    assert config == {"tools": [raw, {"cachePoint": {"type": "default"}}]}
    assert terms.lost == ["tools[1]"]


def test_an_answer_by_a_tool_is_forced_as_far_as_the_other_tools_let_it() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    alone = add_answer(None, schema, "What was found", is_forced=True)
    assert alone["toolChoice"] == {"tool": {"name": ANSWER}}
    assert alone["tools"][0]["toolSpec"]["description"] == "What was found"
    assert "toolChoice" not in add_answer(None, schema, None, is_forced=False)
    others: dict[str, Any] = {"tools": [{"toolSpec": {}}]}
    assert add_answer(others, schema, None, is_forced=True)["toolChoice"] == {"any": {}}
    chosen = others | {"toolChoice": {"tool": {"name": "f"}}}
    assert add_answer(chosen, schema, None, is_forced=True)["toolChoice"] == {"tool": {"name": "f"}}
