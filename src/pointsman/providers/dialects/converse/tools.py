"""``toolConfig``, and what of a choice among tools only Claude's own parameters can say."""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.converse.contents import Conversation
from pointsman.providers.dialects.converse.media import Block
from pointsman.providers.dialects.converse.models import NAME, Model
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Tool, ToolChoice

ANSWER: Final = "answer_with_json"
"""The tool by which models answer to a schema that cannot be held to one otherwise; the readers know it."""
_ANSWER_TEXT: Final = "Gives the answer to the user. Call this once, at the end, with the whole answer."
_NO_ARGUMENTS: Final[Block] = {"type": "object", "properties": {}}
_AUTO: Final = ToolChoice(mode="auto")
_MODES: Final = {"auto": "auto", "none": "none", "required": "any", "tool": "tool"}


def write_tools(
    request: ChatRequest, terms: Terms, model: Model, conversation: Conversation
) -> tuple[Block | None, Block]:
    """``toolConfig``, ``None`` where there are no tools, and Claude's ``tool_choice`` for the model's own parameters.

    Converse cannot say that no tool is to be called: they are left out then. It refuses a conversation in which there
    are calls if there are no tools; those called are declared for it, as far as can be told.
    """
    choice = (None if "tool_choice" in terms.drops else request.tool_choice) or _AUTO
    if choice.raw is not None:
        terms.lose("tool_choice")
    tools: list[Block] = []
    if choice.mode != "none" or conversation.has_tool_blocks:
        tools = _tools(request, terms, model, conversation, choice.allowed)
    if not tools and conversation.has_tool_blocks:
        tools = [_spec(name, None, None) for name in dict.fromkeys(request.tool_names().values())]
        choice = _AUTO
    if not tools:
        return None, {}
    is_serial = request.parallel_tool_calls is False and "parallel_tool_calls" not in terms.drops
    if model.is_claude and (is_serial or choice.mode == "none"):
        return {"tools": tools}, {"tool_choice": _claude_choice(choice)}
    if is_serial:
        terms.lose("parallel_tool_calls")
    config: Block = {"tools": tools}
    if choice.mode == "none":
        terms.lose("tool_choice")
    elif choice.mode != "auto":
        config["toolChoice"] = {"any": {}} if choice.mode == "required" else {"tool": {"name": choice.name}}
    return config, {}


def add_answer(config: Block | None, schema: Block, description: str | None, *, is_forced: bool) -> Block:
    """``toolConfig`` with the tool that the model is to answer with; ``is_forced``: it must."""
    spec = _spec(ANSWER, description or _ANSWER_TEXT, schema)
    if config is None:
        choice = {"toolChoice": {"tool": {"name": ANSWER}}} if is_forced else {}
        return {"tools": [spec], **choice}
    choice = {"toolChoice": {"any": {}}} if is_forced else {}
    return choice | config | {"tools": [*config["tools"], spec]}


def _tools(
    request: ChatRequest, terms: Terms, model: Model, conversation: Conversation, allowed: list[str] | None
) -> list[Block]:
    tools: list[Block] = []
    for at, tool in enumerate(() if "tools" in terms.drops else request.tools):
        if allowed is not None and tool.name not in allowed:
            continue
        if tool.kind == "foreign" and tool.dialect == NAME and tool.raw is not None:
            tools.append(tool.raw)
        elif tool.kind == "function":
            tools.append(_function(tool, terms, model, at))
        else:
            terms.lose(f"tools[{at}]")
            continue
        tools += conversation.cache_point(tool.cache)
    return tools


def _function(tool: Tool, terms: Terms, model: Model, at: int) -> Block:
    spec = _spec(tool.name, tool.description, tool.schema)
    if tool.is_strict and model.has_formats:
        spec["toolSpec"]["strict"] = True
    elif tool.is_strict:
        terms.lose(f"tools[{at}].strict")
    return spec


def _spec(name: str, description: str | None, schema: dict[str, Any] | None) -> Block:
    spec: Block = {"name": name, "inputSchema": {"json": _NO_ARGUMENTS | (schema or {})}}
    if description:
        spec["description"] = description
    return {"toolSpec": spec}


def _claude_choice(choice: ToolChoice) -> Block:
    """Anthropic's ``tool_choice``, for one call at a time or none; Amazon refuses it beside its own ``toolChoice``."""
    wire: Block = {"type": _MODES[choice.mode]}
    if choice.mode == "tool":
        wire["name"] = choice.name
    return wire if choice.mode == "none" else wire | {"disable_parallel_tool_use": True}
