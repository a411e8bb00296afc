"""A request for Cohere's chat: everything but its messages."""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.cohere.facts import NAME
from pointsman.providers.dialects.cohere.messages import write_messages
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Format, Reasoning, Tool, ToolChoice

_MEMBERS: Final = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("top_k", "k"),
    ("seed", "seed"),
    ("stop", "stop_sequences"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("logprobs", "logprobs"),
    ("top_logprobs", None),
    ("n", None),
    ("parallel_tool_calls", None),
    ("user", None),
)
"""Fields of the canonical request, which are OpenAI's names, and what Cohere calls them."""
_SYNONYMS: Final = {"max_tokens": "max_completion_tokens"}
_ANYWAY: Final = {"n": 1, "parallel_tool_calls": True, "top_logprobs": 0}
"""Values that mean what Cohere does."""
_REASONING: Final = frozenset({"reasoning_effort", "thinking", "reasoning"})


def write_request(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    """The body of chat."""
    messages, documents = write_messages(request, terms)
    body: dict[str, Any] = {"model": terms.model, "messages": messages, "stream": request.stream}
    _write_members(body, request, terms)
    _write_tools(body, request, terms)
    if request.format is not None and "response_format" not in terms.drops:
        body["response_format"] = _format(request.format)
    if request.reasoning is not None and terms.drops.isdisjoint(_REASONING):
        _write_reasoning(body, request.reasoning, terms)
    _write_rest(body, request, terms)
    if documents and "documents" not in terms.drops:
        given = body.get("documents")
        body["documents"] = [*(given if isinstance(given, list) else ()), *documents]
    return body


def _write_members(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    for name, own in _MEMBERS:
        value = getattr(request, name)
        if value is None or value == [] or name in terms.drops or _SYNONYMS.get(name) in terms.drops:
            continue
        if name in terms.allowed:
            body[name] = value
        elif own is not None:
            body[own] = value
        elif value != _ANYWAY.get(name):
            terms.lose(name)
    if request.cache is not None:
        terms.lose("cache_control")


def _write_tools(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    if "tools" in terms.drops:
        return
    choice = request.tool_choice if "tool_choice" not in terms.drops else None
    wanted = _callable(choice)
    tools = []
    for index, tool in enumerate(request.tools):
        written = _tool(tool)
        if written is None:
            terms.lose(f"tools[{index}]")
        elif wanted is None or tool.name in wanted:
            tools.append(written)
        if tool.cache is not None:
            terms.lose("cache_control")
    if not tools:
        return
    body["tools"] = tools
    if any(tool.is_strict for tool in request.tools):
        body["strict_tools"] = True
    if choice is not None and choice.raw is not None:
        terms.lose("tool_choice")
    elif choice is not None and choice.mode != "auto":
        body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"


def _callable(choice: ToolChoice | None) -> list[str] | None:
    """The only tools that may be called; ``None``: any."""
    if choice is not None and choice.mode == "tool" and choice.name is not None:
        return [choice.name]
    return choice.allowed if choice is not None else None


def _tool(tool: Tool) -> dict[str, Any] | None:
    if tool.kind != "function":
        return tool.raw if tool.dialect == NAME else None
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _format(wanted: Format) -> dict[str, Any]:
    schema = {} if wanted.schema is None else {"json_schema": wanted.schema}
    return {"type": "json_object"} | schema


def _write_reasoning(body: dict[str, Any], wanted: Reasoning, terms: Terms) -> None:
    """Whether to think; Cohere's models do unless they are told not to, and any effort is the same to them."""
    if wanted.is_off or wanted.effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif wanted.budget_tokens is not None and wanted.budget_tokens > 0:
        body["thinking"] = {"type": "enabled", "token_budget": wanted.budget_tokens}
    elif wanted.effort is not None:
        body["thinking"] = {"type": "enabled"}
    if wanted.summary is not None:
        terms.lose("summary")
    if wanted.is_encrypted_wanted:
        terms.lose("include")


def _write_rest(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    """Options of OpenAI's, of which Cohere has none, and what is not understood."""
    is_known = request.dialect in (NAME, "openai")
    for name, value in (*request.options.items(), *request.extras.items()):
        if value is None or name in terms.drops:
            continue
        if name in terms.allowed or (is_known and name in request.extras):
            body[name] = value
        else:
            terms.lose(name)
