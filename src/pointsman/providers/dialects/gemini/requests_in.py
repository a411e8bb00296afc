"""A client's request: generateContent, streamGenerateContent or countTokens."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.contents_in import read_contents, read_instruction
from pointsman.providers.dialects.gemini.members import read_object
from pointsman.providers.dialects.gemini.reasoning import read_reasoning
from pointsman.providers.dialects.gemini.schemas import read_schema
from pointsman.providers.dialects.gemini.seals import NAME
from pointsman.providers.dialects.gemini.tools import read_choice, read_tools
from pointsman.wire.chat import ChatRequest, Format

_CONFIG: Final = "generationConfig"
_JSON: Final = "application/json"
_NUMBERS: Final = (
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("presencePenalty", "presence_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
)
_WHOLE_NUMBERS: Final = (
    ("topK", "top_k"),
    ("candidateCount", "n"),
    ("maxOutputTokens", "max_tokens"),
    ("seed", "seed"),
    ("logprobs", "top_logprobs"),
)
_TIERS: Final = {"flex": "flex", "priority": "priority", "standard": "default"}


def read_request(body: bytes) -> ChatRequest:
    """A client's request. Its path says whether to stream, and mostly which model is meant.

    :raises InvalidRequest: it is not valid
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None
    members = read_object(value, "body")
    if "generateContentRequest" in members:  # of countTokens
        members = read_object(members["generateContentRequest"], "generateContentRequest")
    instruction = read_instruction(members.pop("systemInstruction", None))
    turns = read_contents(members.pop("contents", None))
    request = ChatRequest(dialect=NAME, turns=turns if instruction is None else [instruction, *turns])
    model = members.pop("model", None)
    request.model = model if isinstance(model, str) else None
    tool_config = _object(members, "toolConfig")
    request.tool_choice, is_strict = read_choice(
        tool_config.pop("functionCallingConfig", None), "toolConfig.functionCallingConfig"
    )
    request.tools = read_tools(members.pop("tools", None), is_strict=is_strict)
    _read_config(request, _object(members, _CONFIG))
    _read_top(request, members)
    request.extras |= {f"toolConfig.{name}": value for name, value in tool_config.items() if value is not None}
    return request


def _object(members: dict[str, Any], name: str) -> dict[str, Any]:
    value = members.pop(name, None)
    return {} if value is None else read_object(value, name)


def _read_top(request: ChatRequest, members: dict[str, Any]) -> None:
    for name, value in members.items():
        if value is None:
            continue
        if name == "labels" and isinstance(value, dict):
            request.options["metadata"] = value
        elif name == "serviceTier" and isinstance(value, str) and value.lower() in _TIERS:
            request.options["service_tier"] = _TIERS[value.lower()]
        else:
            request.extras[name] = value


def _read_config(request: ChatRequest, config: dict[str, Any]) -> None:
    for own, name in _NUMBERS:
        setattr(request, name, _number(config, own))
    for own, name in _WHOLE_NUMBERS:
        setattr(request, name, _whole(config, own))
    stop = config.pop("stopSequences", None)
    if stop is not None and not (isinstance(stop, list) and all(isinstance(each, str) for each in stop)):
        raise _wrong("stopSequences", "a list of texts")
    request.stop = stop or []
    logprobs = config.pop("responseLogprobs", None)
    if not isinstance(logprobs, bool | None):
        raise _wrong("responseLogprobs", "true or false")
    request.logprobs = logprobs
    thinking = config.pop("thinkingConfig", None)
    if thinking is not None:
        place = f"{_CONFIG}.thinkingConfig"
        request.reasoning = read_reasoning(read_object(thinking, place), place)
    _read_format(request, config)
    _read_output(request, config)
    request.extras |= {f"{_CONFIG}.{name}": value for name, value in config.items() if value is not None}


def _read_format(request: ChatRequest, config: dict[str, Any]) -> None:
    """JSON, with or without a schema. Other types of text (``text/x.enum``) stay in ``config``, with their schema."""
    mime = config.get("responseMimeType")
    own, schema = config.get("responseSchema"), config.get("responseJsonSchema")
    if mime == "text/plain":
        del config["responseMimeType"]
    if mime != _JSON:
        return
    for name, value in (("responseSchema", own), ("responseJsonSchema", schema)):
        if value is not None and not isinstance(value, dict):
            raise _wrong(name, "an object")
        config.pop(name, None)
    del config["responseMimeType"]
    if schema is None and own is not None:
        schema = read_schema(own)
    request.format = Format(kind="json") if schema is None else Format(kind="schema", schema=schema)


def _read_output(request: ChatRequest, config: dict[str, Any]) -> None:
    modalities = config.pop("responseModalities", None)
    if modalities is not None:
        if not (isinstance(modalities, list) and all(isinstance(each, str) for each in modalities)):
            raise _wrong("responseModalities", "a list of texts")
        request.options["modalities"] = [each.lower() for each in modalities]
    voice = _voice(config.get("speechConfig"))
    if voice is not None:
        del config["speechConfig"]
        request.options["audio"] = {"voice": voice, "format": "pcm16"}


def _voice(speech: Any) -> str | None:
    """The one voice, where nothing else is said."""
    found = speech
    for name in ("voiceConfig", "prebuiltVoiceConfig", "voiceName"):
        members = read_object(found, name) if isinstance(found, dict) else {}
        if set(members) != {name}:
            return None
        found = members[name]
    return found if isinstance(found, str) else None


def _number(config: dict[str, Any], name: str) -> float | None:
    value = config.pop(name, None)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise _wrong(name, "a number")
    return value


def _whole(config: dict[str, Any], name: str) -> int | None:
    value = config.pop(name, None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # topK is a floating-point number to Google
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise _wrong(name, "a whole number")
    return value


def _wrong(name: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"{name} must be {expected}", param=f"{_CONFIG}.{name}")
