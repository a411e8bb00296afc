from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.anthropic.tools import write_search, write_tool_choice, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import CacheMark, ChatRequest, Tool, ToolChoice


def terms(*drops: str) -> Terms:
    return Terms(model="claude-opus-5", drops=frozenset(drops))


def request(*tools: Tool, **members: Any) -> ChatRequest:
    return ChatRequest(dialect="openai", turns=[], tools=[*tools], **members)


def test_a_schema_is_always_that_of_an_object() -> None:
    tools = write_tools(request(Tool(name="a"), Tool(name="b", schema={"properties": {"x": {}}})), terms())
    assert [tool["input_schema"] for tool in tools] == [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"x": {}}},
    ]


def test_a_strict_tool_is_held_to_what_can_be_enforced() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer", "minimum": 1}}}
    tool = write_tools(request(Tool(name="a", schema=schema, is_strict=True)), terms())[0]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False
    assert tool["input_schema"]["properties"]["x"] == {"type": "integer", "description": "{minimum: 1}"}


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (Tool(name="w", kind="foreign", dialect="anthropic", raw={"type": "mcp_toolset"}), {"type": "mcp_toolset"}),
        (
            Tool(name="b", kind="foreign", dialect="openai", raw={"type": "bash_20250124", "name": "bash"}),
            {"type": "bash_20250124", "name": "bash"},
        ),
        (
            Tool(name="s", kind="foreign", dialect="responses", raw={"type": "web_search_preview"}),
            {"type": "web_search_20250305", "name": "web_search"},
        ),
        (Tool(name="p", kind="foreign", dialect="responses", raw={"type": "local_shell"}), None),
        (Tool(name="p", kind="foreign", dialect="gemini", raw={"codeExecution": {}}), None),
        (Tool(name="p", kind="foreign", dialect="responses", raw={"type": ["odd"]}), None),
    ],
)
def test_tools_of_other_kinds_are_translated_or_lost(tool: Tool, expected: dict[str, Any] | None) -> None:
    here = terms()
    assert write_tools(request(tool), here) == ([] if expected is None else [expected])
    assert here.lost == (["tools[0]"] if expected is None else [])


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "custom", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "custom", "custom": {"format": {"type": "grammar", "grammar": {"definition": "start: x"}}}},
    ],
)
def test_a_tool_for_free_text_has_a_text_for_its_argument(raw: dict[str, Any]) -> None:
    tool = Tool(name="patch", description="Edits files", kind="custom", dialect="openai", raw=raw)
    here = terms()
    assert write_tools(request(tool), here) == [
        {
            "name": "patch",
            "description": "Edits files\n\nstart: x",
            "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        }
    ]
    assert here.lost == []
    assert "description" not in write_tools(request(Tool(name="p", kind="custom", raw={"format": 7})), here)[0]


def test_only_allowed_tools_are_told_of() -> None:
    choice = ToolChoice(mode="auto", allowed=["b"])
    tools = write_tools(request(Tool(name="a"), Tool(name="b"), tool_choice=choice), terms())
    assert [tool["name"] for tool in tools] == ["b"]


def test_cache_marks_are_written_unless_they_are_dropped() -> None:
    marked = request(Tool(name="a", cache=CacheMark()))
    assert write_tools(marked, terms())[0]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in write_tools(marked, terms("cache_control"))[0]


@pytest.mark.parametrize(
    ("choice", "is_parallel", "expected"),
    [
        (None, None, None),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="tool", name="f"), None, {"type": "tool", "name": "f"}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
        (None, True, {"type": "auto", "disable_parallel_tool_use": False}),
    ],
)
def test_a_choice_says_whether_calls_may_be_parallel(
    choice: ToolChoice | None, is_parallel: bool | None, expected: dict[str, Any] | None
) -> None:
    asked = request(tool_choice=choice, parallel_tool_calls=is_parallel)
    assert write_tool_choice(asked, terms()) == expected
    assert write_tool_choice(asked, terms("tool_choice", "parallel_tool_calls")) is None


def test_where_and_how_much_to_search_is_told() -> None:
    location = {"type": "approximate", "approximate": {"city": "Paris", "region": None}}
    options = {"search_context_size": "high", "user_location": location, "filters": {"allowed_domains": ["e.com"]}}
    assert write_search(options) == {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 10,
        "allowed_domains": ["e.com"],
        "user_location": {"type": "approximate", "city": "Paris"},
    }
    assert write_search(None) == {"type": "web_search_20250305", "name": "web_search"}
