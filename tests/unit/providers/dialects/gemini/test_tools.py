from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.tools import read_choice, read_tools, write_choice, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import CacheMark, ChatRequest, Tool, ToolChoice


def request(tools: list[Tool] | None = None, choice: ToolChoice | None = None) -> ChatRequest:
    return ChatRequest(dialect="openai", turns=[], tools=tools or [], tool_choice=choice)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="required", allowed=["f", "g"]), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice(mode="tool", name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="auto", allowed=["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_a_choice_is_written_and_read_again(choice: ToolChoice | None, expected: dict[str, Any] | None) -> None:
    terms = Terms(model="m")
    assert write_choice(request(choice=choice), terms) == expected
    assert terms.lost == []
    if expected is not None:
        assert read_choice(expected, "x")[0] == choice


def test_a_choice_that_is_none_of_these_is_lost_for_the_nearest() -> None:
    terms = Terms(model="m")
    choice = ToolChoice(mode="required", raw={"type": "something"})
    assert write_choice(request(choice=choice), terms) == {"mode": "ANY"}
    assert terms.lost == ["tool_choice"]


def test_strict_tools_are_validated_unless_some_must_be_called() -> None:
    strict = [Tool(name="f", is_strict=True)]
    terms = Terms(model="m")
    assert write_choice(request(strict), terms) == {"mode": "VALIDATED"}
    assert write_choice(request(strict, ToolChoice(mode="required")), terms) == {"mode": "ANY"}
    assert read_choice({"mode": "validated"}, "x") == (ToolChoice(mode="auto"), True)


def test_marks_for_the_cache_are_lost() -> None:
    terms = Terms(model="m")
    assert write_tools(request([Tool(name="f", cache=CacheMark())]), terms) == [
        {"functionDeclarations": [{"name": "f"}]}
    ]
    assert terms.lost == ["cache_control"]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (7, "tools"),
        ([7], "tools[0]"),
        ([{"functionDeclarations": 7}], "tools[0].functionDeclarations"),
        ([{"functionDeclarations": [{"name": ""}]}], "tools[0].functionDeclarations[0].name"),
        ([{"functionDeclarations": [{"name": "f", "description": 1}]}], "tools[0].functionDeclarations[0].description"),
        ([{"functionDeclarations": [{"name": "f", "parameters": []}]}], "tools[0].functionDeclarations[0].parameters"),
        (
            {"functionDeclarations": {"name": "f", "parametersJsonSchema": "x"}},
            "tools.functionDeclarations.parametersJsonSchema",
        ),
    ],
)
def test_wrong_tools_are_refused_by_their_place(value: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tools(value, is_strict=False)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("value", "param"),
    [(7, "x"), ({"mode": 7}, "x.mode"), ({"allowedFunctionNames": "f"}, "x.allowedFunctionNames")],
)
def test_a_wrong_choice_is_refused_by_its_place(value: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_choice(value, "x")
    assert caught.value.param == param
