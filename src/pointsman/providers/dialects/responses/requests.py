"""A client's request, read.

What keeps its state at OpenAI (an earlier response, a conversation, a stored prompt, work in the background) cannot be
answered by anybody else and is refused with a text that says what to send instead.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import Inexpressible, InvalidRequest
from pointsman.providers.dialects.responses.fields import (
    UNREADABLE,
    Members,
    flag,
    members,
    missing,
    needed,
    number,
    objects,
    optional,
    text,
    texts,
    whole,
    wrong,
)
from pointsman.providers.dialects.responses.items import read_items
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.dialects.responses.tools import read_additional, read_choice, read_tools
from pointsman.wire.chat import ChatRequest, Format, Reasoning, Text, Tool, Turn

ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"

_HELD_ELSEWHERE: Final = {
    "previous_response_id": "send the whole conversation in 'input' and leave it out",
    "conversation": "send the whole conversation in 'input' and leave it out",
    "prompt": "send the prompt's text as 'instructions' and 'input'",
    "background": "leave it out; with 'stream' the answer arrives as it is made",
}
_OPTIONS: Final = (
    "store",
    "metadata",
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
)
"""Members that mean the same in chat completions and have the same name there."""
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_DEFAULTS: Final = {"truncation": "disabled", "context": "auto", "mode": "standard"}
"""Values that say what holds anyway."""


def read_request(body: bytes) -> ChatRequest:
    """The request in ``body``.

    :raises InvalidRequest: it is not valid
    """
    given = _decode(body)
    _refuse_state(given)
    if given.get("input") is None:
        raise missing("input")
    instructions = optional(given, "instructions", text)
    turns = [Turn("system", [Text(instructions)])] if instructions else []
    form = _take(given, "text")
    extras = _leftovers(given)
    request = ChatRequest(
        dialect=NAME,
        model=optional(given, "model", text),
        turns=turns + read_items(given["input"]),
        tools=_read_tools(given),
        tool_choice=optional(given, "tool_choice", read_choice),
        parallel_tool_calls=optional(given, "parallel_tool_calls", flag),
        format=_read_format(form),
        max_tokens=optional(given, "max_output_tokens", whole),
        temperature=optional(given, "temperature", number),
        top_p=optional(given, "top_p", number),
        stream=optional(given, "stream", flag) or False,
        user=optional(given, "user", text),
        options={name: given[name] for name in _OPTIONS if given.get(name) is not None},
        extras=extras,
    )
    request.include_usage = request.stream
    verbosity = optional(form, "verbosity", text, "text")
    if verbosity is not None:
        request.options["verbosity"] = verbosity
    _keep(extras, "text", form, "format", "verbosity")
    _read_reasoning(given, request)
    _read_include(given, request)
    return request


def _decode(body: bytes) -> Members:
    try:
        return members(msgspec.json.decode(body), "body")
    except UNREADABLE as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None


def _refuse_state(given: Members) -> None:
    for name, remedy in _HELD_ELSEWHERE.items():
        if given.get(name):
            raise Inexpressible(
                f"'{name}' refers to what is kept at the provider, which this model's provider does not do: {remedy}",
                param=name,
            )


_READ: Final = frozenset(
    {
        *_HELD_ELSEWHERE,
        *_OPTIONS,
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)


def _leftovers(given: Members) -> Members:
    return {
        name: value
        for name, value in given.items()
        if name not in _READ and value is not None and value != _DEFAULTS.get(name)
    }


def _read_tools(given: Members) -> list[Tool]:
    additional = read_additional(given["input"])
    names = {tool.name for tool in additional}
    declared = read_tools(optional(given, "tools", objects) or [])
    return [tool for tool in declared if tool.name not in names] + additional


def _take(given: Members, name: str) -> Members:
    return optional(given, name, members) or {}


def _keep(extras: Members, name: str, given: Members, *known: str) -> None:
    """Carry the members of the object ``name`` that are not known."""
    more = {
        key: value
        for key, value in given.items()
        if key not in known and value is not None and value != _DEFAULTS.get(key)
    }
    if more:
        extras[name] = more


def _read_format(form: Members) -> Format | None:
    given = optional(form, "format", members, "text")
    if given is None:
        return None
    place = "text.format"
    kind = needed(given, "type", text, place)
    if kind == "text":
        return None
    if kind == "json_object":
        return Format(kind="json")
    if kind != "json_schema":
        raise wrong(f"{place}.type", "'text', 'json_object' or 'json_schema'")
    return Format(
        kind="schema",
        schema=needed(given, "schema", members, place),
        name=optional(given, "name", text, place),
        description=optional(given, "description", text, place),
        is_strict=optional(given, "strict", flag, place),
    )


def _read_reasoning(given: Members, request: ChatRequest) -> None:
    wanted = _take(given, "reasoning")
    effort: Any = optional(wanted, "effort", text, "reasoning")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequest(
            f"Invalid 'reasoning.effort': '{effort}' is not one of {', '.join(_EFFORTS)}", param="reasoning.effort"
        )
    summary = optional(wanted, "summary", text, "reasoning") or optional(wanted, "generate_summary", text, "reasoning")
    _keep(request.extras, "reasoning", wanted, "effort", "summary", "generate_summary")
    if effort is not None or summary is not None:
        request.reasoning = Reasoning(effort=effort, is_off=effort == "none", summary=summary)


def _read_include(given: Members, request: ChatRequest) -> None:
    include = optional(given, "include", texts) or []
    if ENCRYPTED in include:
        request.reasoning = request.reasoning or Reasoning()
        request.reasoning.is_encrypted_wanted = True
    request.top_logprobs = optional(given, "top_logprobs", whole)
    if LOGPROBS in include or request.top_logprobs:
        request.logprobs = True
    more = [each for each in include if each not in (ENCRYPTED, LOGPROBS)]
    if more:
        request.extras["include"] = more
