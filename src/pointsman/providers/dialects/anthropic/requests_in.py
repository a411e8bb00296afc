"""Reading what clients send to ``/v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic.content import read_content, read_mark, read_texts
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.fields import need, number, objects, place, rest, take, texts, unfit
from pointsman.wire.chat import ChatRequest, Effort, Format, Reasoning, Role, Tool, ToolChoice, Turn

_KNOWN: Final = frozenset(
    {
        "model",
        "messages",
        "system",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "cache_control",
    }
)
_KNOWN_WITHIN: Final = {
    "thinking": ("type", "budget_tokens", "display"),
    "output_config": ("effort", "format"),
    "metadata": ("user_id",),
}
_THINKING: Final = ("enabled", "adaptive", "disabled")
_TOOL_MEMBERS: Final = ("type", "name", "description", "input_schema", "strict", "cache_control")
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_EFFORTS: Final[dict[str, Effort]] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_TIERS: Final = {"standard_only": "default", "auto": "auto"}
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])


def read_request(body: bytes) -> ChatRequest:
    """A client's request; ``max_tokens`` may be missing, as it is where tokens are counted.

    :raises InvalidRequest: it is not valid; ``param`` names the place
    """
    raw = _decode(body)
    chosen = take(raw, "tool_choice", dict)
    return ChatRequest(
        dialect=NAME,
        model=take(raw, "model", str),
        turns=[*_system(raw), *_turns(raw)],
        tools=[_tool(tool, at) for tool, at in objects(take(raw, "tools", list) or [], "tools")],
        tool_choice=None if chosen is None else _choice(chosen),
        parallel_tool_calls=None if chosen is None else _is_parallel(chosen),
        format=_format(raw),
        reasoning=_reasoning(raw),
        max_tokens=take(raw, "max_tokens", int),
        temperature=number(raw, "temperature"),
        top_p=number(raw, "top_p"),
        top_k=take(raw, "top_k", int),
        stop=texts(raw, "stop_sequences"),
        stream=take(raw, "stream", bool) or False,
        user=take(take(raw, "metadata", dict) or {}, "user_id", str, "metadata"),
        cache=read_mark(raw),
        options=_options(raw),
        extras=_extras(raw),
    )


def _decode(body: bytes) -> dict[str, Any]:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError:
        raise InvalidRequest("The body must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON") from None


def _system(raw: dict[str, Any]) -> list[Turn]:
    prompt = read_texts(raw, "system")
    return [Turn("system", [*prompt])] if prompt else []


def _turns(raw: dict[str, Any]) -> list[Turn]:
    messages = need(raw, "messages", list)
    if not messages:
        raise InvalidRequest("'messages' must hold at least one message", param="messages")
    return [_turn(message, at) for message, at in objects(messages, "messages")]


def _turn(raw: dict[str, Any], at: str) -> Turn:
    role = _ROLES.get(need(raw, "role", str, at))
    if role is None:
        raise unfit(place(at, "role"), "'user', 'assistant' or 'system'")
    parts = [*read_texts(raw, "content", at)] if role == "system" else read_content(raw, at)
    return Turn(role, [*parts], extras=rest(raw, ("role", "content")))


def _tool(raw: dict[str, Any], at: str) -> Tool:
    if take(raw, "type", str, at) not in (None, "custom"):
        name = raw.get("name")
        return Tool(name=name if isinstance(name, str) else raw["type"], kind="foreign", dialect=NAME, raw=raw)
    has_more = bool(rest(raw, _TOOL_MEMBERS))
    return Tool(
        name=need(raw, "name", str, at),
        description=take(raw, "description", str, at),
        schema=need(raw, "input_schema", dict, at),
        is_strict=take(raw, "strict", bool, at),
        dialect=NAME if has_more else None,
        raw=raw if has_more else None,
        cache=read_mark(raw, at),
    )


def _choice(raw: dict[str, Any]) -> ToolChoice:
    kind = need(raw, "type", str, "tool_choice")
    match kind:
        case "auto":
            return ToolChoice(mode="auto")
        case "any":
            return ToolChoice(mode="required")
        case "none":
            return ToolChoice(mode="none")
        case "tool":
            return ToolChoice(mode="tool", name=need(raw, "name", str, "tool_choice"))
    raise unfit("tool_choice.type", "'auto', 'any', 'tool' or 'none'")


def _is_parallel(raw: dict[str, Any]) -> bool | None:
    is_single = take(raw, "disable_parallel_tool_use", bool, "tool_choice")
    return None if is_single is None else not is_single


def _format(raw: dict[str, Any]) -> Format | None:
    config = take(raw, "output_config", dict) or {}
    wanted, at = take(config, "format", dict, "output_config"), "output_config.format"
    if wanted is None:
        wanted, at = take(raw, "output_format", dict), "output_format"
    if wanted is None:
        return None
    if need(wanted, "type", str, at) != "json_schema":
        raise unfit(place(at, "type"), "'json_schema'")
    return Format(kind="schema", schema=need(wanted, "schema", dict, at))


def _reasoning(raw: dict[str, Any]) -> Reasoning | None:
    thinking = take(raw, "thinking", dict) or {}
    effort = take(take(raw, "output_config", dict) or {}, "effort", str, "output_config")
    kind = need(thinking, "type", str, "thinking") if thinking else None
    if effort is None and kind not in _THINKING:
        return None
    if effort is not None and effort not in _EFFORTS:
        raise unfit("output_config.effort", "'low', 'medium', 'high', 'xhigh' or 'max'")
    display = take(thinking, "display", str, "thinking")
    return Reasoning(
        effort=None if effort is None else _EFFORTS[effort],
        budget_tokens=need(thinking, "budget_tokens", int, "thinking") if kind == "enabled" else None,
        is_adaptive=kind == "adaptive",
        is_off=kind == "disabled",
        is_shown=None if display is None else display != "omitted",
    )


def _options(raw: dict[str, Any]) -> dict[str, Any]:
    tier = take(raw, "service_tier", str)
    return {} if tier is None else {"service_tier": _TIERS.get(tier, tier)}


def _extras(raw: dict[str, Any]) -> dict[str, Any]:
    """What is not understood, also of the members that are objects themselves; ``null`` says nothing."""
    extras = {name: value for name, value in rest(raw, _KNOWN).items() if value is not None}
    for name, known in _KNOWN_WITHIN.items():
        inner = raw.get(name) or {}
        is_understood = name != "thinking" or inner.get("type") in _THINKING
        unknown = rest(inner, known) if is_understood else inner
        if unknown:
            extras[name] = unknown
    return extras
