from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.custom_tools import text_of
from pointsman.providers.dialects.openai.customs import as_function, custom_format, custom_names, wrapped
from pointsman.wire.chat import ChatRequest, Tool

GRAMMAR = {"syntax": "lark", "definition": "start: /.+/"}


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (None, None),
        ({"type": "custom", "name": "x"}, None),
        ({"type": "custom", "name": "x", "format": {"type": "text"}}, {"type": "text"}),
        ({"type": "custom", "format": {"type": "grammar"} | GRAMMAR}, {"type": "grammar", "grammar": GRAMMAR}),
        ({"custom": {"format": {"type": "grammar", "grammar": GRAMMAR}}}, {"type": "grammar", "grammar": GRAMMAR}),
        ({"custom": 7}, None),
    ],
)
def test_the_format_is_found_in_both_shapes_of_openais(raw: Any, form: Any) -> None:
    assert custom_format(Tool(name="x", kind="custom", raw=raw)) == form


def test_a_custom_tool_becomes_a_function_that_is_told_of_the_grammar() -> None:
    tool = Tool(name="x", description="Runs.", kind="custom", raw={"format": {"type": "grammar"} | GRAMMAR})
    assert as_function(tool) == {
        "type": "function",
        "function": {
            "name": "x",
            "description": "Runs.\n\nstart: /.+/",
            "parameters": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        },
    }
    assert "description" not in as_function(Tool(name="x", kind="custom"))["function"]


@pytest.mark.parametrize("text", ["", "x = 1", 'say "hi"\n'])
def test_what_was_wrapped_is_unwrapped(text: str) -> None:
    assert text_of(wrapped(text)) == text


def test_names_are_those_of_custom_tools_only() -> None:
    tools = [Tool(name="f"), Tool(name="c", kind="custom"), Tool(name="x", kind="foreign")]
    assert custom_names(ChatRequest(dialect="openai", turns=[], tools=tools)) == {"c"}
