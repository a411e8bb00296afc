"""A request for Google."""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.gemini.contents import write_contents
from pointsman.providers.dialects.gemini.reasoning import write_reasoning
from pointsman.providers.dialects.gemini.schemas import camel, write_schema
from pointsman.providers.dialects.gemini.seals import NAME
from pointsman.providers.dialects.gemini.tools import write_choice, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Format

_CONFIG: Final = "generationConfig"
_PLAIN: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("n", "candidateCount"),
    ("max_tokens", "maxOutputTokens"),
    ("seed", "seed"),
    ("logprobs", "responseLogprobs"),
    ("top_logprobs", "logprobs"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
"""Fields of the canonical request, which are OpenAI's names, and what Google calls them."""
_SYNONYMS: Final = {"max_tokens": "max_completion_tokens"}
_IN_CONFIG: Final = frozenset(
    {
        "stopSequences",
        "candidateCount",
        "maxOutputTokens",
        "topK",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "speechConfig",
        "thinkingConfig",
        "mediaResolution",
        "imageConfig",
        "audioTimestamp",
        "enableEnhancedCivicAnswers",
    }
)
"""Members that LiteLLM's users write beside OpenAI's and that stand in ``generationConfig``."""
_SAYS_NOTHING: Final[tuple[Any, ...]] = (None, False, {}, [])
_SAYS_MUCH: Final = frozenset({"web_search_options"})
"""Options of which even the empty value is a wish."""
_TIERS: Final = {"flex": "flex", "priority": "priority", "default": "standard"}


def write_request(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    """The body of generateContent or streamGenerateContent.

    :raises InvalidRequest: a part of the conversation cannot be expressed
    """
    instruction, contents = write_contents(request, terms)
    body: dict[str, Any] = {"contents": contents}
    if instruction is not None:
        body["systemInstruction"] = instruction
    config = _config(request, terms)
    _write_tools(body, request, terms)
    _write_options(body, config, request, terms)
    _write_extras(body, config, request, terms)
    if config:
        body[_CONFIG] = config
    return body


def _config(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, own in _PLAIN:
        value = getattr(request, name)
        if value is not None and name not in terms.drops and _SYNONYMS.get(name) not in terms.drops:
            config[own] = value
    if request.stop and "stop" not in terms.drops:
        config["stopSequences"] = request.stop
    if request.format is not None and "response_format" not in terms.drops:
        config |= _format(request.format)
    if request.reasoning is not None and terms.drops.isdisjoint({"reasoning_effort", "thinking", "reasoning"}):
        thinking = write_reasoning(request.reasoning, terms.model)
        if thinking:
            config["thinkingConfig"] = thinking
    return config


def _format(wanted: Format) -> dict[str, Any]:
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if wanted.schema is not None:
        schema = write_schema(wanted.schema)
        if wanted.description is not None:
            schema.setdefault("description", wanted.description)
        config["responseJsonSchema"] = schema
    return config


def _write_tools(body: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    if "tools" in terms.drops:
        return
    tools = write_tools(request, terms)
    if tools:
        body["tools"] = tools
    has_functions = any("functionDeclarations" in tool for tool in tools)
    if has_functions and "tool_choice" not in terms.drops:
        choice = write_choice(request, terms)
        if choice is not None:
            body["toolConfig"] = {"functionCallingConfig": choice}


def _write_options(body: dict[str, Any], config: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    options = dict(request.options)
    if request.user is not None:
        options["user"] = request.user
    if request.parallel_tool_calls is False and "parallel_tool_calls" not in terms.drops:
        terms.lose("parallel_tool_calls")
    if request.cache is not None:
        options["cache_control"] = {"type": "ephemeral"}
    for name, value in options.items():
        if (value in _SAYS_NOTHING and name not in _SAYS_MUCH) or name in terms.drops:
            continue
        if name in terms.allowed:
            body[name] = value
        elif not _is_written(name, value, body, config, request, terms):
            terms.lose(name)


def _is_written(  # noqa: PLR0911 - one branch for each option
    name: str, value: Any, body: dict[str, Any], config: dict[str, Any], request: ChatRequest, terms: Terms
) -> bool:
    match name, value:
        case "modalities", list():
            config["responseModalities"] = [str(each).upper() for each in value]
            return True
        case "audio", {"voice": str(voice)}:
            config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
            if value.get("format", "pcm16") != "pcm16":
                terms.lose("audio.format")
            return True
        case "web_search_options", dict():
            body.setdefault("tools", []).append({"googleSearch": {}})
            for member in value:
                terms.lose(f"web_search_options.{member}")
            return True
        case "service_tier", str() if value in _TIERS:
            body["serviceTier"] = _TIERS[value]
            return True
        case "service_tier", "auto":
            return True
        case "metadata", dict() if request.dialect == NAME:
            body["labels"] = value
            return True
    return False


def _write_extras(body: dict[str, Any], config: dict[str, Any], request: ChatRequest, terms: Terms) -> None:
    """What is not understood: Google's own, with its place where that is not the top, and what OpenAI's clients add."""
    for name, value in request.extras.items():
        if name in terms.drops:
            continue
        if name in terms.allowed:
            body[name] = value
        elif request.dialect == NAME:
            holder, dot, member = name.partition(".")
            if not dot:
                body[name] = value
            elif holder == _CONFIG:
                config[member] = value
            else:
                body.setdefault(holder, {})[member] = value
        elif request.dialect == "openai":
            is_config = camel(name) in _IN_CONFIG
            (config if is_config else body)[camel(name) if is_config else name] = value
        else:
            terms.lose(name)
