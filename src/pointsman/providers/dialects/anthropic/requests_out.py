"""Writing requests for providers.

What the caller has said in this dialect is written as it was said. Reasoning that was asked for in another is written
in the form that the model's generation takes: see :mod:`pointsman.providers.dialects.anthropic.facts`.
"""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.anthropic import facts
from pointsman.providers.dialects.anthropic.blocks import Writing, write_mark
from pointsman.providers.dialects.anthropic.conversations import Conversation
from pointsman.providers.dialects.anthropic.facts import NAME, Generation
from pointsman.providers.dialects.anthropic.reasoning import write_reasoning
from pointsman.providers.dialects.anthropic.schemas import constrained
from pointsman.providers.dialects.anthropic.tools import write_search, write_tool_choice, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest

_PLACES: Final = {"gemini": "contents", "responses": "input"}
"""Where dialects have their messages."""
_SAMPLING: Final = {"temperature": 1.0, "top_p": 0.99, "top_k": None}
"""Parameters, and from which value on later models take them: those say nothing."""
_SAMPLING_OF_THOUGHTS: Final = {"temperature": 1.0, "top_p": 0.95, "top_k": None}
"""The same for earlier ones that think."""
_UNKNOWN: Final = ("seed", "n", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty")
"""Parameters that the format does not have."""
_TIERS: Final = {"default": "standard_only", "auto": "auto", "priority": "auto"}
_TAKEN_OPTIONS: Final = frozenset({"service_tier", "web_search_options", "safety_identifier"})
_SAYS_NOTHING: Final[tuple[Any, ...]] = (None, False, 0, [], {}, ["text"])


def write_request(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    """The body for the provider.

    :raises InvalidRequest: the conversation as such cannot be expressed
    """
    generation = facts.generation_of(terms.model)
    is_own = request.dialect == NAME
    conversation = Conversation(
        Writing(
            lose=terms.lose,
            has_marks="cache_control" not in terms.drops,
            is_claude=generation != facts.OTHER,
        ),
        takes_system_within=is_own or generation >= facts.SYSTEM_WITHIN_SINCE,
    )
    place = _PLACES.get(request.dialect, "messages")
    for index, turn in enumerate(request.turns):
        conversation.add(turn, f"{place}[{index}]", is_own=is_own)
    body: dict[str, Any] = {"model": terms.model, "max_tokens": 0, "messages": conversation.messages()}
    if conversation.system:
        body["system"] = conversation.system
    if "tools" not in terms.drops:
        _write_tools(request, terms, body)
    write_reasoning(request, terms, generation, body)
    _write_sampling(request, terms, generation, body)
    _write_format(request, terms, generation, body)
    _write_others(request, terms, body)
    _leave_out(request, terms, body)
    _write_extras(request, terms, body)
    body["max_tokens"] = _limit(request, terms, body)
    return body


def _limit(request: ChatRequest, terms: Terms, body: dict[str, Any]) -> int:
    """The caller's, or the model's, or a default; a thinking budget is part of it and may not fill it."""
    if request.max_tokens is not None:
        return request.max_tokens
    budget = body.get("thinking", {}).get("budget_tokens") or 0
    return max(terms.max_output_tokens or facts.DEFAULT_MAX_TOKENS, budget + facts.DEFAULT_MAX_TOKENS if budget else 0)


def _write_sampling(request: ChatRequest, terms: Terms, generation: Generation, body: dict[str, Any]) -> None:
    is_later = generation > facts.SAMPLING_UNTIL
    is_thinking = generation != facts.OTHER and body.get("thinking", {}).get("type", "disabled") != "disabled"
    for name, neutral in (_SAMPLING if is_later else _SAMPLING_OF_THOUGHTS).items():
        value = getattr(request, name)
        if value is None or name in terms.drops:
            continue
        is_neutral = neutral is not None and neutral <= value <= 1
        is_taken = is_neutral or not (is_later or is_thinking)
        if is_taken or name in terms.allowed or request.dialect == NAME:
            body[name] = value
        else:
            terms.lose(name)


def _write_tools(request: ChatRequest, terms: Terms, body: dict[str, Any]) -> None:
    tools = write_tools(request, terms)
    if "web_search_options" not in terms.drops and "web_search_options" in request.options:
        tools.append(write_search(request.options["web_search_options"]))
    if not tools:
        return
    body["tools"] = tools
    choice = write_tool_choice(request, terms)
    if choice is not None:
        body["tool_choice"] = choice


def _write_format(request: ChatRequest, terms: Terms, generation: Generation, body: dict[str, Any]) -> None:
    wanted = request.format
    if wanted is None or "response_format" in terms.drops:
        return
    is_unknown = facts.OTHER < generation < facts.FORMATS_SINCE and request.dialect != NAME
    if is_unknown or wanted.kind != "schema" or wanted.schema is None:
        terms.lose("response_format")
        return
    schema = wanted.schema if request.dialect == NAME else constrained(wanted.schema)
    if wanted.description is not None:
        schema = {"description": wanted.description} | schema
    body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}


def _write_others(request: ChatRequest, terms: Terms, body: dict[str, Any]) -> None:
    if request.stream:
        body["stream"] = True
    if request.stop and "stop" not in terms.drops:
        stops = [stop for stop in request.stop if stop.strip()]
        if len(stops) < len(request.stop):
            terms.lose("stop")
        if stops:
            body["stop_sequences"] = stops
    user = request.user if request.user is not None else request.options.get("safety_identifier")
    if isinstance(user, str) and "user" not in terms.drops:
        body["metadata"] = {"user_id": user}
    if request.cache is not None and "cache_control" not in terms.drops:
        body["cache_control"] = write_mark(request.cache)
    tier = request.options.get("service_tier")
    if tier is not None and "service_tier" not in terms.drops:
        if isinstance(tier, str) and tier in _TIERS:
            body["service_tier"] = _TIERS[tier]
        else:
            terms.lose("service_tier")


def _leave_out(request: ChatRequest, terms: Terms, body: dict[str, Any]) -> None:
    asked = {name: getattr(request, name) for name in _UNKNOWN} | request.options
    for name, value in asked.items():
        says_nothing = value in _SAYS_NOTHING or (name == "n" and value == 1)
        if says_nothing or name in _TAKEN_OPTIONS or name in terms.drops:
            continue
        if name in terms.allowed:
            body[name] = value
        else:
            terms.lose(name)


def _write_extras(request: ChatRequest, terms: Terms, body: dict[str, Any]) -> None:
    is_understood = request.dialect in (NAME, "openai")
    for name, value in request.extras.items():
        if name in terms.drops:
            continue
        if not is_understood and name not in terms.allowed:
            terms.lose(name)
        elif isinstance(value, dict) and isinstance(body.get(name), dict):
            body[name] = value | body[name]
        else:
            body[name] = value
