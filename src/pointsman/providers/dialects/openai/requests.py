"""A request for a provider: everything but its messages."""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.openai.asked import OPTIONS
from pointsman.providers.dialects.openai.customs import as_function, custom_format, custom_names
from pointsman.providers.dialects.openai.messages import write_messages
from pointsman.providers.dialects.openai.models import takes_completion_limit, takes_custom_tools, takes_no_effort
from pointsman.providers.dialects.openai.reasoning import NAME
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Effort, Format, Reasoning, Tool, ToolChoice

_SAME: Final = (
    "temperature",
    "top_p",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
)
"""Members of the request that have the same name and values here."""
_ABOUT_TOOLS: Final = ("tool_choice", "parallel_tool_calls")
_MAX_USER: Final = 64
"""Characters of a ``user`` that OpenAI takes; names that Anthropic's agents give are longer."""
_KNOWN_OPTIONS: Final = frozenset(OPTIONS) | {"stream_options"}
_BUDGETS: Final[tuple[tuple[int, Effort], ...]] = ((5_000, "low"), (10_000, "medium"))
"""Efforts that stand for fewer tokens than that, as LiteLLM has them; more are ``high``."""
_ALIASES: Final = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "thinking": "reasoning_effort",
    "functions": "tools",
    "function_call": "tool_choice",
}
"""Other names of what is dropped."""


def write_request(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    """The body for a provider."""
    # What the operator wants dropped is left out here, and not missed.
    own = Terms(model=terms.model, allowed=terms.allowed)
    body: dict[str, Any] = {"model": terms.model, "messages": write_messages(request, own)}
    _write_members(body, request, own)
    if request.tools:
        _write_tools(body, request, own)
    if request.format is not None:
        body["response_format"] = _format(request.format)
    if request.reasoning is not None:
        _write_reasoning(body, request.reasoning, own)
    _write_options(body, request, own)
    if request.stream:
        options = body.get("stream_options") or {}
        body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
    for name in terms.drops:
        body.pop(name, None)
        body.pop(_ALIASES.get(name, name), None)
    if "tools" not in body:
        # What is said about tools is refused where there are none: they were lost, or are no more than an empty list.
        for name in _ABOUT_TOOLS:
            body.pop(name, None)
    for param in own.lost:
        if param not in terms.drops:
            terms.lose(param)
    return body


def _write_members(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop"] = request.stop
    if request.max_tokens is not None:
        is_new = takes_completion_limit(terms.model) or "max_completion_tokens" in terms.allowed
        body["max_completion_tokens" if is_new else "max_tokens"] = request.max_tokens
    if request.cache is not None:
        if "cache_control" in terms.allowed:
            ttl = {"ttl": request.cache.ttl} if request.cache.ttl else {}
            body["cache_control"] = {"type": "ephemeral"} | ttl
        else:
            terms.lose("cache_control")
    _write_doubtful(body, request, terms)


def _write_doubtful(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    """Members that not every server takes: what is possible, the caller who speaks this wire has to know."""
    is_own = request.dialect == NAME
    if request.user is not None:
        if is_own or len(request.user) <= _MAX_USER:
            body["user"] = request.user
        else:
            terms.lose("user")
    if request.top_k is not None:
        if is_own or "top_k" in terms.allowed:
            body["top_k"] = request.top_k
        else:
            terms.lose("topK" if request.dialect == "gemini" else "top_k")


def _write_options(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    for name, value in request.options.items():
        if name in _KNOWN_OPTIONS or name in terms.allowed:
            body[name] = value
        else:
            terms.lose(name)
    for name, value in request.extras.items():
        if request.dialect == NAME or name in terms.allowed:
            body[name] = value
        else:
            terms.lose(name)


def _write_tools(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    tools = []
    for index, tool in enumerate(request.tools):
        written = _tool(tool, terms.model)
        if written is None:
            terms.lose(f"tools[{index}]")
            continue
        if tool.cache is not None:
            if "cache_control" in terms.allowed:
                written = written | {"cache_control": {"type": "ephemeral"}}
            else:
                terms.lose("cache_control")
        tools.append(written)
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = _tool_choice(request, request.tool_choice, terms)


def _tool(tool: Tool, model: str) -> dict[str, Any] | None:
    if tool.kind == "custom":
        return _custom(tool) if takes_custom_tools(model) else as_function(tool)
    if tool.kind == "foreign":
        return tool.raw if tool.dialect == NAME else None
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    return {"type": "function", "function": function}


def _custom(tool: Tool) -> dict[str, Any]:
    custom: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        custom["description"] = tool.description
    form = custom_format(tool)
    if form is not None:
        custom["format"] = form
    return {"type": "custom", "custom": custom}


def _tool_choice(request: ChatRequest, choice: ToolChoice, terms: Terms) -> Any:
    customs = custom_names(request) if takes_custom_tools(terms.model) else frozenset()
    if choice.raw is not None:
        if request.dialect == NAME:
            return choice.raw
        terms.lose("tool_choice")
    if choice.allowed is not None:
        tools = [_reference(name, customs) for name in choice.allowed]
        mode = "auto" if choice.mode == "auto" else "required"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    if choice.mode == "tool" and choice.name is not None:
        return _reference(choice.name, customs)
    return choice.mode


def _reference(name: str, customs: frozenset[str]) -> dict[str, Any]:
    kind = "custom" if name in customs else "function"
    return {"type": kind, kind: {"name": name}}


def _format(wanted: Format) -> dict[str, Any]:
    if wanted.kind == "json":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema or {}}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.is_strict is not None:
        schema["strict"] = wanted.is_strict
    return {"type": "json_schema", "json_schema": schema}


def _write_reasoning(body: dict[str, Any], wanted: Reasoning, terms: Terms) -> None:
    """How much to think.

    1. An effort is written as it is.
    2. Off: by ``none`` where it is known to be understood, else by saying nothing.
    3. A number of tokens becomes the nearest effort.
    4. Left to the model: nothing is written.
    """
    if wanted.effort is not None:
        body["reasoning_effort"] = wanted.effort
    elif wanted.is_off:
        if takes_no_effort(terms.model):
            body["reasoning_effort"] = "none"
    elif wanted.budget_tokens is not None and wanted.budget_tokens >= 0 and not wanted.is_adaptive:
        budget = wanted.budget_tokens
        body["reasoning_effort"] = next((effort for limit, effort in _BUDGETS if budget < limit), "high")
    if "thinking" in terms.allowed:
        kind = "disabled" if wanted.is_off else "adaptive" if wanted.is_adaptive else "enabled"
        budget_tokens = {} if wanted.budget_tokens is None else {"budget_tokens": wanted.budget_tokens}
        body["thinking"] = {"type": kind} | budget_tokens
    if wanted.summary is not None:
        terms.lose("summary")
    if wanted.is_encrypted_wanted:
        terms.lose("include")
