"""A request for Ollama's chat: everything but its messages."""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.ollama.answers import NAME
from pointsman.providers.dialects.ollama.messages import write_messages
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Reasoning, Tool

_SAMPLING: Final = (
    ("max_tokens", "num_predict"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("stop", "stop"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)
"""Fields of the canonical request, which are OpenAI's names, and what they are called under ``options``."""
_MEMBERS: Final = ("logprobs", "top_logprobs", "n", "parallel_tool_calls", "user")
_SAME: Final = ("logprobs", "top_logprobs")
_SYNONYMS: Final = {"max_tokens": "max_completion_tokens"}
_ANYWAY: Final = {"n": 1, "parallel_tool_calls": True}
"""Values that mean what Ollama does."""
_REASONING: Final = frozenset({"reasoning_effort", "thinking", "reasoning"})
_LEVELS: Final = {"minimal": "low", "xhigh": "max"}
"""Efforts that are levels of another name, as Ollama's own OpenAI wire has them."""
_RUNNER: Final = frozenset(
    {
        "draft_num_predict",
        "main_gpu",
        "min_p",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "num_batch",
        "num_ctx",
        "num_gpu",
        "num_keep",
        "num_predict",
        "num_thread",
        "repeat_last_n",
        "repeat_penalty",
        "tfs_z",
        "typical_p",
        "use_mmap",
    }
)
"""Parameters that LiteLLM's users write beside OpenAI's and that stand under ``options``."""


def write_request(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    """The body of chat.

    :raises InvalidRequest: the arguments of a tool call are not an object
    """
    messages = write_messages(request, terms)
    body: dict[str, Any] = {"model": terms.model, "messages": messages, "stream": request.stream}
    options: dict[str, Any] = {}
    for name, own in _SAMPLING:
        value = getattr(request, name)
        if value is None or value == [] or name in terms.drops or _SYNONYMS.get(name) in terms.drops:
            continue
        if name in terms.allowed:
            body[name] = value
        else:
            options[own] = value
    _write_members(body, request, terms)
    _write_tools(body, request, terms)
    if request.format is not None and "response_format" not in terms.drops:
        body["format"] = "json" if request.format.schema is None else request.format.schema
    if request.reasoning is not None and terms.drops.isdisjoint(_REASONING):
        _write_reasoning(body, request.reasoning, terms)
    _write_rest(body, options, request, terms)
    if options:
        body["options"] = options
    return body


def _write_members(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    for name in _MEMBERS:
        value = getattr(request, name)
        if value is None or name in terms.drops:
            continue
        if name in _SAME or name in terms.allowed:
            body[name] = value
        elif value != _ANYWAY.get(name):
            terms.lose(name)
    if request.cache is not None:
        terms.lose("cache_control")


def _write_tools(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    """Tools that may be called. That one has to be called cannot be said."""
    if "tools" in terms.drops:
        return
    choice = request.tool_choice if "tool_choice" not in terms.drops else None
    allowed = choice.allowed if choice is not None else None
    tools = []
    for index, tool in enumerate(request.tools):
        if tool.kind != "function":
            terms.lose(f"tools[{index}]")
        elif allowed is None or tool.name in allowed:
            tools.append(_tool(tool))
            if tool.is_strict:
                terms.lose(f"tools[{index}].strict")
        if tool.cache is not None:
            terms.lose("cache_control")
    if choice is not None and request.tools and (choice.mode in ("required", "tool") or choice.raw is not None):
        terms.lose("tool_choice")
    if tools and (choice is None or choice.mode != "none"):
        body["tools"] = tools


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _write_reasoning(body: dict[str, Any], wanted: Reasoning, terms: Terms) -> None:
    """Whether and how much to think; a number of tokens only says that it shall, and no wish leaves it to the model."""
    if wanted.is_off or wanted.effort == "none":
        body["think"] = False
    elif wanted.effort is not None:
        body["think"] = _LEVELS.get(wanted.effort, wanted.effort)
    elif wanted.budget_tokens is not None and not wanted.is_adaptive:
        body["think"] = wanted.budget_tokens != 0
    if wanted.summary is not None:
        terms.lose("summary")
    if wanted.is_encrypted_wanted:
        terms.lose("include")


def _write_rest(body: dict[str, Any], options: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    """Options of OpenAI's, of which Ollama has none, and what is not understood."""
    is_known = request.dialect in (NAME, "openai")
    for name, value in (*request.options.items(), *request.extras.items()):
        if value is None or name in terms.drops:
            continue
        is_extra = is_known and name in request.extras
        if is_extra and name in _RUNNER:
            options[name] = value
        elif is_extra and name == "options" and isinstance(value, dict):
            options |= value
        elif is_extra or name in terms.allowed:
            body[name] = value
        else:
            terms.lose(name)
