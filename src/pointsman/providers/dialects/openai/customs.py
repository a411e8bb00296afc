"""Custom tools, which take free text, for models that know functions only.

Such a tool becomes a function with one text argument, and its calls become custom calls again on their way to the
client. A grammar for the text cannot be enforced then; the model is told of it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.wire.chat import ChatRequest, Tool

INPUT: Final = "input"
"""The argument."""
_encode: Final = msgspec.json.Encoder().encode


def custom_names(request: ChatRequest) -> frozenset[str]:
    """Names of the custom tools that a client has declared."""
    return frozenset(tool.name for tool in request.tools if tool.kind == "custom")


def custom_format(tool: Tool) -> dict[str, Any] | None:
    """The format of a custom tool's text, as chat has it: the Responses API has a grammar's members a level higher."""
    raw = tool.raw or {}
    form = raw.get("custom", raw)
    form = form.get("format") if type(form) is dict else None
    if type(form) is not dict or form.get("type") != "grammar" or "grammar" in form:
        return form if type(form) is dict else None
    return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}


def as_function(tool: Tool) -> dict[str, Any]:
    """The tool as a function."""
    grammar = (custom_format(tool) or {}).get("grammar")
    definition = grammar.get("definition") if type(grammar) is dict else None
    said = [text for text in (tool.description, definition) if type(text) is str and text]
    function: dict[str, Any] = {
        "name": tool.name,
        "parameters": {"type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT]},
    }
    if said:
        function["description"] = "\n\n".join(said)
    return {"type": "function", "function": function}


def wrapped(text: str) -> str:
    """The arguments of such a function."""
    return _encode({INPUT: text}).decode()
