"""Tools and the choice among them, both ways.

Tools of a ``namespace`` become tools of their own under a name that any dialect can write, and are found again by it.
``Tool.raw`` of such a tool is the namespace with this one tool in it. A client's custom tool may come back as the call
of a function, since few dialects have tools that take free text: :class:`ToolNames` knows what the client declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from zlib import crc32

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.responses.fields import (
    Members,
    flag,
    members,
    needed,
    objects,
    optional,
    text,
    wrong,
)
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.translation import Terms
from pointsman.wire.chat import Tool, ToolCall, ToolChoice

MAX_NAME: Final = 64
"""Characters of a tool's name that every provider takes."""

ADDITIONAL: Final = "additional_tools"
"""The type of items of the input that declare tools."""

_MODES: Final = ("auto", "none", "required")
_FUNCTION: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_NO_PARAMETERS: Final[dict[str, Any]] = {"type": "object", "properties": {}}


class Declared(msgspec.Struct, frozen=True):
    """How the client has declared the tool that is called."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


class ToolNames:
    """The client's tools by the names that models know them by."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._declared = {tool.name: Declared(_own_name(tool), tool.namespace, tool.kind == "custom") for tool in tools}

    def find(self, name: str, kind: str = "function") -> Declared:
        """The declaration of the tool that a model calls ``name``; one that was never declared is taken as called."""
        return self._declared.get(name) or Declared(name, None, kind == "custom")


def flat_name(namespace: str | None, name: str) -> str:
    """The name of a tool of a namespace, for those who have no namespaces; always the same for the same two."""
    if namespace is None:
        return name
    flat = f"{namespace.removesuffix('__')}__{name}"
    if len(flat) <= MAX_NAME:
        return flat
    return f"{flat[: MAX_NAME - 9]}_{crc32(flat.encode()):08x}"


def read_tools(given: list[Members]) -> list[Tool]:
    """The tools that a client declares.

    :raises InvalidRequest: one is not valid, or two have one name
    """
    tools = [tool for at, each in enumerate(given) for tool in _read_tool(each, f"tools[{at}]")]
    names: set[str] = set()
    for tool in tools:
        if tool.kind == "foreign":
            continue
        if tool.name in names:
            raise InvalidRequest(f"Two tools are called '{tool.name}'", param="tools")
        names.add(tool.name)
    return tools


def read_additional(given: Any) -> list[Tool]:
    """The tools that items of the input declare; of those with one name the last.

    :raises InvalidRequest: one is not valid
    """
    tools: dict[str, Tool] = {}
    for at, item in enumerate(given if isinstance(given, list) else ()):
        if isinstance(item, dict) and item.get("type") == ADDITIONAL:
            place = f"input[{at}]"
            for index, each in enumerate(needed(item, "tools", objects, place)):
                tools |= {tool.name: tool for tool in _read_tool(each, f"{place}.tools[{index}]")}
    return list(tools.values())


def _read_tool(given: Members, place: str) -> list[Tool]:
    kind = needed(given, "type", text, place)
    if kind == "namespace":
        return _read_namespace(given, place)
    if kind in ("function", "custom"):
        return [_read_own_tool(given, kind, place)]
    return [Tool(name=kind, kind="foreign", dialect=NAME, raw=given)]


def _read_namespace(given: Members, place: str) -> list[Tool]:
    namespace = needed(given, "name", text, place)
    tools = []
    for at, each in enumerate(needed(given, "tools", objects, place)):
        where = f"{place}.tools[{at}]"
        tool = _read_own_tool(each, needed(each, "type", text, where), where)
        tool.name = flat_name(namespace, tool.name)
        tool.namespace = namespace
        tool.dialect, tool.raw = NAME, {**given, "tools": [each]}
        tools.append(tool)
    return tools


def _read_own_tool(given: Members, kind: str, place: str) -> Tool:
    if kind == "custom":
        return Tool(
            name=needed(given, "name", text, place),
            description=optional(given, "description", text, place),
            kind="custom",
            dialect=NAME,
            raw=given,
        )
    if kind != "function":
        raise wrong(f"{place}.type", "'function' or 'custom'")
    if isinstance(given.get("function"), dict):  # the shape of chat completions, which Cursor mixes in
        given, place = given["function"], f"{place}.function"
    has_more = not given.keys() <= _FUNCTION
    return Tool(
        name=needed(given, "name", text, place),
        description=optional(given, "description", text, place),
        schema=optional(given, "parameters", members, place),
        is_strict=optional(given, "strict", flag, place),
        dialect=NAME if has_more else None,
        raw={"type": "function", **given} if has_more else None,
    )


def write_tools(tools: list[Tool], terms: Terms | None = None) -> list[Members]:
    """Tools as a provider is told of them.

    :param terms: notes the tools that only others know; without it nothing is noted
    """
    written: list[Members] = []
    namespaces: dict[str, Members] = {}
    for at, tool in enumerate(tools):
        own = _write_tool(tool)
        if own is None:
            if terms is not None:
                terms.lose(f"tools[{at}]")
        elif tool.namespace is None:
            written.append(own)
        elif tool.namespace in namespaces:
            namespaces[tool.namespace]["tools"].extend(own["tools"])
        else:
            namespaces[tool.namespace] = {**own, "tools": [*own["tools"]]}
            written.append(namespaces[tool.namespace])
    return written


def _write_tool(tool: Tool) -> Members | None:
    if tool.raw is not None and tool.dialect == NAME:
        return tool.raw
    if tool.kind == "function":
        written: Members = {"type": "function", "name": tool.name}
        if tool.description is not None:
            written["description"] = tool.description
        # Left out, ``strict`` is tried here, while in other dialects it has to be asked for.
        strict = bool(tool.is_strict)
        return written | {"parameters": _NO_PARAMETERS if tool.schema is None else tool.schema, "strict": strict}
    return _write_custom(tool) if tool.kind == "custom" else None


def _write_custom(tool: Tool) -> Members:
    """A custom tool of chat completions, where what says more than the name stands one level deeper."""
    written: Members = {"type": "custom", "name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    raw = tool.raw or {}
    inner = raw.get("custom")
    form = (inner if isinstance(inner, dict) else raw).get("format")
    if isinstance(form, dict):
        grammar = form.get("grammar")
        written["format"] = {"type": form.get("type"), **grammar} if isinstance(grammar, dict) else form
    return written


def _own_name(tool: Tool) -> str:
    if tool.namespace is None or tool.raw is None:
        return tool.name
    name: str = tool.raw["tools"][0]["name"]
    return name


def read_choice(given: Any, place: str) -> ToolChoice:
    """A client's ``tool_choice``."""
    if isinstance(given, str):
        return ToolChoice(mode=_mode(given, place))
    choice = members(given, place)
    kind = needed(choice, "type", text, place)
    if kind in ("function", "custom"):
        return ToolChoice(mode="tool", name=_chosen(choice, place))
    if kind == "allowed_tools":
        tools = needed(choice, "tools", objects, place)
        if all(tool.get("type") in ("function", "custom") for tool in tools):
            mode = _mode(needed(choice, "mode", text, place), f"{place}.mode")
            allowed = [_chosen(tool, f"{place}.tools[{at}]") for at, tool in enumerate(tools)]
            return ToolChoice(mode=mode, allowed=allowed)
    return ToolChoice(mode="required", raw=given)


def _mode(given: str, place: str) -> Any:
    if given in _MODES:
        return given
    raise wrong(place, "'auto', 'none' or 'required'")


def _chosen(given: Members, place: str) -> str:
    return flat_name(optional(given, "namespace", text, place), needed(given, "name", text, place))


def write_choice(choice: ToolChoice, tools: list[Tool], dialect: str) -> Any:
    """A choice as a provider is told of it; ``None``: it cannot be. ``dialect`` is the one of the request."""
    if choice.raw is not None:
        return choice.raw if dialect == NAME else None
    kinds = {tool.name: tool for tool in tools}
    if choice.allowed is not None:
        mode = "auto" if choice.mode == "auto" else "required"
        return {"type": "allowed_tools", "mode": mode, "tools": [_reference(n, kinds.get(n)) for n in choice.allowed]}
    return _reference(choice.name or "", kinds.get(choice.name or "")) if choice.mode == "tool" else choice.mode


def _reference(name: str, tool: Tool | None) -> Members:
    if tool is None:
        return {"type": "function", "name": name}
    reference = {"type": "custom" if tool.kind == "custom" else "function", "name": _own_name(tool)}
    return reference if tool.namespace is None else reference | {"namespace": tool.namespace}


def read_call(given: Members, place: str) -> ToolCall:
    """A call that a client gives back: an item of type ``function_call`` or ``custom_tool_call``."""
    is_custom = given["type"] == "custom_tool_call"
    namespace = optional(given, "namespace", text, place)
    return ToolCall(
        id=needed(given, "call_id", text, place),
        name=flat_name(namespace, needed(given, "name", text, place)),
        arguments=needed(given, "input" if is_custom else "arguments", text, place),
        kind="custom" if is_custom else "function",
        namespace=namespace,
    )
