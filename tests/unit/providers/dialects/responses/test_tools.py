from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.responses.tools import (
    MAX_NAME,
    Declared,
    ToolNames,
    flat_name,
    read_additional,
    read_choice,
    read_tools,
    write_choice,
    write_tools,
)
from pointsman.providers.translation import Terms
from pointsman.wire.chat import Tool

SEARCH = {"type": "function", "name": "search", "parameters": {"type": "object"}}


def namespace(name: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": "d", "tools": list(tools)}


@pytest.mark.requirement("responses.namespaces")
def test_tools_of_namespaces_get_names_of_their_own() -> None:
    assert flat_name(None, "search") == "search"
    assert flat_name("mcp__docs", "search") == "mcp__docs__search"
    assert flat_name("mcp__docs__", "search") == "mcp__docs__search"


def test_long_names_are_cut_and_stay_different() -> None:
    one, other = flat_name("n" * 60, "search"), flat_name("n" * 60, "fetch")
    assert len(one) == len(other) == MAX_NAME
    assert one != other
    assert one == flat_name("n" * 60, "search")


def test_a_call_is_found_back_whatever_its_name_was_made_of() -> None:
    tools = read_tools([SEARCH, namespace("n" * 60, SEARCH), namespace("m", {"type": "custom", "name": "edit"})])
    names = ToolNames(tools)
    assert names.find("search") == Declared("search")
    assert names.find(tools[1].name) == Declared("search", "n" * 60)
    assert names.find("m__edit") == Declared("edit", "m", is_custom=True)
    assert names.find("never declared") == Declared("never declared")
    assert names.find("never declared", "custom") == Declared("never declared", is_custom=True)


@pytest.mark.requirement("responses.namespaces")
def test_namespaces_are_whole_again_when_they_are_written() -> None:
    fetch = SEARCH | {"name": "fetch", "defer_loading": True}
    given = [namespace("a", SEARCH, fetch), SEARCH | {"strict": False}, namespace("b", SEARCH)]
    assert write_tools(read_tools(given)) == given


@pytest.mark.parametrize(
    "given",
    [
        [SEARCH, SEARCH],
        [namespace("a", {"type": "function", "name": "b__c"}), namespace("a__b", {"type": "function", "name": "c"})],
    ],
)
def test_two_tools_of_one_name_are_refused(given: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest, match="Two tools are called") as refused:
        read_tools(given)
    assert refused.value.param == "tools"


def test_a_namespace_holds_functions_and_custom_tools_only() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_tools([namespace("a", {"type": "web_search"})])
    assert refused.value.param == "tools[0].tools[0].type"


def test_what_is_said_of_a_function_beyond_the_usual_is_kept() -> None:
    given = SEARCH | {"output_schema": {"type": "object"}}
    (tool,) = read_tools([given])
    assert tool.schema == {"type": "object"}
    assert write_tools([tool]) == [given]


def test_a_function_of_another_dialect_is_not_strict_unless_it_says_so() -> None:
    assert write_tools([Tool(name="f")]) == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    ]


def test_a_tool_of_another_provider_is_lost() -> None:
    terms = Terms(model="m")
    tool = Tool(name="bash", kind="foreign", dialect="anthropic", raw={"type": "bash_20250124"})
    assert write_tools([Tool(name="f"), tool], terms)[0]["name"] == "f"
    assert terms.lost == ["tools[1]"]


@pytest.mark.parametrize(
    "given",
    [
        "auto",
        "none",
        "required",
        {"type": "function", "name": "search"},
        {"type": "custom", "name": "edit"},
        {"type": "function", "name": "search", "namespace": "a"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "search"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "x"}]},
        {"type": "file_search"},
    ],
)
def test_a_choice_is_written_as_it_was_read(given: Any) -> None:
    tools = read_tools([SEARCH, {"type": "custom", "name": "edit"}, namespace("a", SEARCH)])
    assert write_choice(read_choice(given, "tool_choice"), tools, "responses") == given


def test_tools_may_be_declared_within_the_input() -> None:
    edit = {"type": "custom", "name": "edit"}
    items = [
        {"type": "additional_tools", "role": "developer", "tools": [namespace("a", edit), SEARCH]},
        {"role": "user", "content": "Hi"},
        {"type": "additional_tools", "tools": [{**SEARCH, "description": "New"}]},
    ]
    assert [(tool.name, tool.kind, tool.description) for tool in read_additional(items)] == [
        ("a__edit", "custom", None),
        ("search", "function", "New"),
    ]
    assert read_additional("Hi") == []


@pytest.mark.parametrize(
    ("item", "param"), [({}, "input[0].tools"), ({"tools": [{"type": "function"}]}, "input[0].tools[0].name")]
)
def test_the_place_of_a_tool_within_the_input_is_named(item: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_additional([{"type": "additional_tools", **item}])
    assert refused.value.param == param
