"""Writing tools and the choice among them."""

from __future__ import annotations

import re
from typing import Any, Final

from pointsman.providers.dialects.anthropic.blocks import TEXT_ARGUMENT, write_mark
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.schemas import constrained
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Tool

_NO_ARGUMENTS: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {TEXT_ARGUMENT: {"type": "string"}},
    "required": [TEXT_ARGUMENT],
}
_MODES: Final = {"auto": "auto", "required": "any", "tool": "tool", "none": "none"}
_DATED: Final = re.compile(r"_20\d{6}\Z")
"""How the types of Anthropic's own tools end; clients of LiteLLM give them in OpenAI's list."""
_SEARCHES: Final = {"low": 1, "medium": 5, "high": 10}
"""Searches for a context size, as LiteLLM gives them."""


def write_tools(request: ChatRequest, terms: Terms) -> list[dict[str, Any]]:
    """The ``tools`` that may be called. Groups of tools are not known here: their tools stand by their own names."""
    allowed = request.tool_choice.allowed if request.tool_choice is not None else None
    has_marks = "cache_control" not in terms.drops
    written = []
    for index, tool in enumerate(request.tools):
        if allowed is not None and tool.name not in allowed:
            continue
        entry = _write_tool(tool, is_own=request.dialect == NAME)
        if entry is None:
            terms.lose(f"tools[{index}]")
            continue
        if tool.cache is not None and has_marks:
            entry = entry | {"cache_control": write_mark(tool.cache)}
        written.append(entry)
    return written


def write_tool_choice(request: ChatRequest, terms: Terms) -> dict[str, Any] | None:
    """The ``tool_choice``, with whether calls may be parallel; ``None``: nothing is to be said."""
    is_parallel = None if "parallel_tool_calls" in terms.drops else request.parallel_tool_calls
    wanted = None if "tool_choice" in terms.drops else request.tool_choice
    if wanted is None and is_parallel is None:
        return None
    choice: dict[str, Any] = {"type": "auto" if wanted is None else _MODES[wanted.mode]}
    if wanted is not None and wanted.mode == "tool":
        choice["name"] = wanted.name
    if is_parallel is not None and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = not is_parallel
    return choice


def write_search(options: Any) -> dict[str, Any]:
    """Anthropic's web search for OpenAI's ``web_search_options``, or for its tool of that name."""
    tool: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
    if not isinstance(options, dict):
        return tool
    searches = _SEARCHES.get(str(options.get("search_context_size")))
    if searches is not None:
        tool["max_uses"] = searches
    filters = options.get("filters")
    if isinstance(filters, dict) and filters.get("allowed_domains"):
        tool["allowed_domains"] = filters["allowed_domains"]
    location = options.get("user_location")
    if isinstance(location, dict):
        inner = location.get("approximate")
        members = inner if isinstance(inner, dict) else location
        known = {name: value for name, value in members.items() if value is not None}
        tool["user_location"] = known | {"type": "approximate"}
    return tool


def _write_tool(tool: Tool, *, is_own: bool) -> dict[str, Any] | None:
    if tool.raw is not None and tool.dialect == NAME:
        return tool.raw
    if tool.kind == "function":
        return _write_function(tool, is_own=is_own)
    if tool.kind == "custom":
        return _write_custom(tool)
    kind = (tool.raw or {}).get("type")
    if not isinstance(kind, str):
        return None
    if _DATED.search(kind) and tool.dialect == "openai":
        return tool.raw
    return write_search(tool.raw) if kind.startswith("web_search") else None


def _write_function(tool: Tool, *, is_own: bool) -> dict[str, Any]:
    schema = _NO_ARGUMENTS | (tool.schema or {})
    if tool.is_strict and not is_own:
        schema = constrained(schema)
    entry: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema if is_own else schema}
    if tool.description is not None:
        entry["description"] = tool.description
    if tool.is_strict is not None:
        entry["strict"] = tool.is_strict
    return entry


def _write_custom(tool: Tool) -> dict[str, Any]:
    """A tool that takes free text, as one with a text for its only argument; a grammar is told in words."""
    words = [tool.description or "", _grammar(tool.raw or {})]
    entry: dict[str, Any] = {"name": tool.name, "input_schema": _TEXT}
    description = "\n\n".join(filter(None, words))
    return entry | {"description": description} if description else entry


def _grammar(raw: dict[str, Any]) -> str:
    """The definition that stands in ``format`` of a tool of OpenAI's, in chat a level deeper than in Responses."""
    for name in ("custom", "format", "grammar"):
        inner = raw.get(name)
        raw = inner if isinstance(inner, dict) else raw
    definition = raw.get("definition")
    return definition if isinstance(definition, str) else ""
