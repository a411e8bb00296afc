"""Tools and ``toolConfig``."""

from __future__ import annotations

from typing import Any, Final

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.members import objects_of, read_object
from pointsman.providers.dialects.gemini.schemas import read_schema, write_schema
from pointsman.providers.dialects.gemini.seals import NAME
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Tool, ToolChoice

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}
_VALIDATED: Final = "VALIDATED"
"""The mode that keeps arguments to their schemas; ``ANY`` does so as well."""


def write_tools(request: ChatRequest, terms: Terms) -> list[dict[str, Any]]:
    """The request's tools; functions are declared together. Those of other providers are lost."""
    declarations: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for at, tool in enumerate(request.tools):
        if tool.cache is not None:
            terms.lose("cache_control")
        if tool.kind == "function":
            declarations.append(_declaration(tool))
        elif tool.kind == "foreign" and tool.dialect == NAME and tool.raw is not None:
            others.append(tool.raw)
        else:
            terms.lose(f"tools[{at}]")
    return [{"functionDeclarations": declarations}, *others] if declarations else others


def _declaration(tool: Tool) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        declaration["description"] = tool.description
    if tool.schema:
        declaration["parametersJsonSchema"] = write_schema(tool.schema)
    return declaration


def write_choice(request: ChatRequest, terms: Terms) -> dict[str, Any] | None:
    """``functionCallingConfig``; ``None``: the default.

    Where the model is free to call or not, only ``VALIDATED`` takes a list of names.
    """
    choice = request.tool_choice
    if choice is not None and choice.raw is not None:
        terms.lose("tool_choice")
    mode = "auto" if choice is None else choice.mode
    names = None if choice is None else choice.allowed
    if choice is not None and choice.mode == "tool" and choice.name is not None:
        names = [choice.name]
    if mode == "auto" and (names is not None or any(tool.is_strict for tool in request.tools)):
        config: dict[str, Any] = {"mode": _VALIDATED}
    elif choice is None:
        return None
    else:
        config = {"mode": _MODES[mode]}
    return config if names is None else config | {"allowedFunctionNames": names}


def read_tools(value: Any, *, is_strict: bool) -> list[Tool]:
    """A client's tools; each of Google's own is a foreign one. ``is_strict`` is said of the functions.

    :raises InvalidRequest: they are not valid
    """
    tools: list[Tool] = []
    for place, members in objects_of(value, "tools"):
        declarations = members.pop("functionDeclarations", None)
        functions = objects_of(declarations, f"{place}.functionDeclarations")
        tools += [_tool(each, where, is_strict=is_strict) for where, each in functions]
        tools += [
            Tool(name=name, kind="foreign", dialect=NAME, raw={name: options})
            for name, options in members.items()
            if options is not None
        ]
    return tools


def _tool(members: dict[str, Any], place: str, *, is_strict: bool) -> Tool:
    name, description = members.get("name"), members.get("description")
    if not isinstance(name, str) or not name:
        raise InvalidRequest("A function declaration needs a name", param=f"{place}.name")
    if description is not None and not isinstance(description, str):
        raise InvalidRequest("A description must be a text", param=f"{place}.description")
    schema, own = members.get("parametersJsonSchema"), members.get("parameters")
    for member, given in (("parametersJsonSchema", schema), ("parameters", own)):
        if given is not None and not isinstance(given, dict):
            raise InvalidRequest("A schema must be an object", param=f"{place}.{member}")
    if schema is None and own is not None:
        schema = read_schema(own)
    return Tool(name=name, description=description, schema=schema, is_strict=is_strict or None)


def read_choice(value: Any, place: str) -> tuple[ToolChoice | None, bool]:
    """What ``functionCallingConfig`` says, and whether the functions are strict.

    :raises InvalidRequest: it is not valid
    """
    if value is None:
        return None, False
    config = read_object(value, place)
    mode, names = config.get("mode"), config.get("allowedFunctionNames") or None
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InvalidRequest("allowedFunctionNames must be a list of names", param=f"{place}.allowedFunctionNames")
    mode = mode.upper() if isinstance(mode, str) else mode
    match mode:
        case None | "MODE_UNSPECIFIED" | "AUTO" | "VALIDATED":
            return ToolChoice(mode="auto", allowed=names), mode == _VALIDATED
        case "NONE":
            return ToolChoice(mode="none"), False
        case "ANY" if names is not None and len(names) == 1:
            return ToolChoice(mode="tool", name=names[0]), False
        case "ANY":
            return ToolChoice(mode="required", allowed=names), False
    raise InvalidRequest("mode must be AUTO, ANY, NONE or VALIDATED", param=f"{place}.mode")
