"""A client's request: everything but its messages."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, get_args

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.openai.fields import Fields, invalid, missing
from pointsman.providers.dialects.openai.parts import read_cache
from pointsman.providers.dialects.openai.reasoning import NAME
from pointsman.providers.dialects.openai.turns import read_turns
from pointsman.wire.chat import ChatRequest, Effort, Format, Reasoning, Tool, ToolChoice

OPTIONS: Final = (
    "audio",
    "logit_bias",
    "metadata",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
    "web_search_options",
)
"""Parameters of OpenAI's that are carried as they are. What is left of ``stream_options`` is one too."""
_EFFORTS: Final = get_args(Effort)
_OFF: Final = ("none", "disable", "disabled")
_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}
_ANTHROPICS_TOOL: Final = re.compile(r".+_\d{8}")
"""Tools on Anthropic's side have types that end in a date: ``web_search_20250305``."""


def read_request(body: bytes) -> ChatRequest:
    """A client's request.

    :raises InvalidRequest: it is not valid; ``param`` names the place
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None
    fields = Fields(value)
    if "messages" not in fields.rest:
        raise missing("messages")
    request = ChatRequest(
        dialect=NAME,
        model=fields.text("model"),
        turns=read_turns(fields.items("messages")),
        tools=_tools(fields),
        tool_choice=_tool_choice(fields),
        parallel_tool_calls=fields.flag("parallel_tool_calls"),
        reasoning=_reasoning(fields),
        cache=read_cache(fields),
        stream=fields.flag("stream") or False,
    )
    _read_sampling(request, fields)
    _read_format(request, fields)
    request.options = {name: fields.take(name) for name in OPTIONS if name in fields.rest}
    if (stream_options := fields.inner("stream_options")) is not None:
        request.include_usage = stream_options.flag("include_usage") or False
        if stream_options.rest:
            request.options["stream_options"] = stream_options.rest
    request.extras = fields.rest
    return request


def _read_sampling(request: ChatRequest, fields: Fields) -> None:
    limits = (fields.whole("max_completion_tokens"), fields.whole("max_tokens"))
    request.max_tokens = next((limit for limit in limits if limit is not None), None)
    request.temperature = fields.number("temperature")
    request.top_p = fields.number("top_p")
    request.top_k = fields.whole("top_k")
    request.seed = fields.whole("seed")
    request.n = fields.whole("n")
    request.logprobs = fields.flag("logprobs")
    request.top_logprobs = fields.whole("top_logprobs")
    request.presence_penalty = fields.number("presence_penalty")
    request.frequency_penalty = fields.number("frequency_penalty")
    request.user = fields.text("user")
    request.stop = _stop(fields)


def _stop(fields: Fields) -> list[str]:
    value = fields.take("stop")
    stops = [value] if type(value) is str else value or []
    if type(stops) is not list or not all(type(stop) is str for stop in stops):
        raise invalid("stop", "a string or an array of strings")
    return stops


def _tools(fields: Fields) -> list[Tool]:
    tools = [_tool(value, f"tools[{index}]") for index, value in enumerate(fields.items("tools"))]
    for index, value in enumerate(fields.items("functions")):
        tool = _function(Fields(value, f"functions[{index}]"))
        # A function with its source tells the reply's writer that the client knows no tool calls.
        tool.dialect, tool.raw = NAME, value
        tools.append(tool)
    return tools


def _tool(value: Any, place: str) -> Tool:
    fields = Fields(value, place)
    cache = read_cache(fields)
    kind = fields.text("type")
    if kind == "function" or (kind is None and "function" in fields.rest):
        tool = _function(fields.needed_inner("function"))
    elif kind == "custom":
        custom = fields.needed_inner("custom")
        name, text = custom.needed_text("name"), custom.text("description")
        tool = Tool(name=name, description=text, kind="custom", dialect=NAME, raw=value)
    else:
        # Tools of other dialects, as LiteLLM's clients send them.
        name = fields.text("name") or kind or next(iter(fields.rest), "")
        dialect = "gemini" if kind is None else "anthropic" if _ANTHROPICS_TOOL.fullmatch(kind) else NAME
        tool = Tool(name=name, kind="foreign", dialect=dialect, raw=value)
    tool.cache = tool.cache or cache
    return tool


def _function(fields: Fields) -> Tool:
    return Tool(
        name=fields.needed_text("name"),
        description=fields.text("description"),
        schema=fields.schema("parameters"),
        is_strict=fields.flag("strict"),
        cache=read_cache(fields),
    )


def _tool_choice(fields: Fields) -> ToolChoice | None:
    legacy, value = fields.take("function_call"), fields.take("tool_choice")
    if value is None and type(legacy) is dict:
        return ToolChoice(mode="tool", name=Fields(legacy, "function_call").needed_text("name"))
    place = "tool_choice" if value is not None else "function_call"
    value = legacy if value is None else value
    if value is None:
        return None
    if type(value) is str:
        return ToolChoice(mode=_mode(value, place))
    inner = Fields(value, place)
    kind = inner.needed_text("type")
    if kind in ("function", "custom"):
        return ToolChoice(mode="tool", name=inner.needed_inner(kind).needed_text("name"))
    if kind == "allowed_tools":
        return _allowed(inner.needed_inner("allowed_tools"))
    return ToolChoice(mode=_mode(kind, f"{place}.type"))


def _mode(value: str, place: str) -> Literal["auto", "none", "required"]:
    if value not in _MODES:
        raise invalid(place, "auto, none, required or a tool")
    return _MODES[value]


def _allowed(fields: Fields) -> ToolChoice:
    names = []
    place = fields.place("tools")
    for index, value in enumerate(fields.items("tools")):
        tool = Fields(value, f"{place}[{index}]")
        names.append(tool.needed_inner(tool.needed_text("type")).needed_text("name"))
    return ToolChoice(mode=_mode(fields.text("mode") or "auto", fields.place("mode")), allowed=names)


def _read_format(request: ChatRequest, fields: Fields) -> None:
    value = fields.take("response_format")
    if value is None:
        return
    wanted = Fields(value, "response_format")
    kind = wanted.needed_text("type")
    if kind == "json_schema":
        # Some clients leave out the level in between.
        inner = wanted.inner("json_schema") or wanted
        request.format = Format(
            kind="schema",
            schema=inner.schema("schema"),
            name=inner.text("name"),
            description=inner.text("description"),
            is_strict=inner.flag("strict"),
        )
    elif kind == "json_object":
        # LiteLLM's and Together's clients may add a schema to it.
        schema = wanted.schema("response_schema") or wanted.schema("schema")
        request.format = Format(kind="json") if schema is None else Format(kind="schema", schema=schema)
    elif kind != "text":
        fields.rest["response_format"] = value


def _reasoning(fields: Fields) -> Reasoning | None:
    """``reasoning_effort``, also as LiteLLM's object; OpenRouter's ``reasoning``; Anthropic's ``thinking``."""
    said = Reasoning()
    effort = fields.rest.get("reasoning_effort")
    if type(effort) is dict:
        _read_effort(said, fields.needed_inner("reasoning_effort"))
    elif effort is not None:
        _set_effort(said, fields.text("reasoning_effort"), "reasoning_effort")
    if (inner := fields.inner("reasoning")) is not None:
        _read_effort(said, inner)
    if (thinking := fields.inner("thinking")) is not None:
        kind = thinking.needed_text("type")
        if kind not in ("enabled", "disabled", "adaptive"):
            raise invalid("thinking.type", "enabled, disabled or adaptive")
        said.budget_tokens = thinking.whole("budget_tokens") or said.budget_tokens
        said.is_adaptive, said.is_off = kind == "adaptive", said.is_off or kind == "disabled"
        said.is_shown = _is_shown(thinking.text("display"))
    return said if said != Reasoning() else None


def _read_effort(said: Reasoning, fields: Fields) -> None:
    _set_effort(said, fields.text("effort"), fields.place("effort"))
    said.budget_tokens = fields.whole("max_tokens")
    said.summary = fields.text("summary") or fields.text("generate_summary")
    said.is_off = said.is_off or fields.flag("enabled") is False
    if (is_hidden := fields.flag("exclude")) is not None:
        said.is_shown = not is_hidden


def _set_effort(said: Reasoning, effort: Any, place: str) -> None:
    if effort in _OFF:
        said.effort, said.is_off = "none", True
    elif effort in _EFFORTS:
        said.effort = effort
    elif effort is not None and effort != "default":
        raise invalid(place, ", ".join(_EFFORTS))


def _is_shown(display: str | None) -> bool | None:
    return None if display is None else display != "omitted"
