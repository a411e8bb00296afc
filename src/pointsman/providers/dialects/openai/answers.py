"""A provider's answer.

Vendors add to OpenAI's shape and leave out of it: what is unknown is carried or skipped, what is missing is ``None``,
and only what is no answer at all is refused.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.dialects.openai.finishes import BROKEN, read_finish
from pointsman.providers.dialects.openai.parts import split_data_url
from pointsman.providers.dialects.openai.reasoning import (
    NAME,
    PARTS,
    PLAIN_MEMBERS,
    SIGNED_MEMBERS,
    member_seal,
    signed_seal,
    signed_text,
)
from pointsman.providers.dialects.openai.turns import FIELDS, call_seal
from pointsman.providers.failures import classify, classify_inside
from pointsman.wire.chat import Answer, Audio, Choice, Image, Part, Refusal, Text, Thinking, ToolCall
from pointsman.wire.logprobs import read_entries
from pointsman.wire.usage import find_usage

_OPTIONS: Final = ("service_tier", "system_fingerprint")
_READ: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "error", *_OPTIONS})
_encode: Final = msgspec.json.Encoder().encode


def read_answer(body: bytes) -> Answer:
    """A provider's answer with status 200.

    :raises UpstreamBroken: it is none
    :raises UpstreamRejected: it is an error
    """
    try:
        return _answer(msgspec.json.decode(body), body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid JSON") from None


def _answer(value: Any, body: bytes) -> Answer:
    if type(value) is not dict:
        raise UpstreamBroken("The provider's answer is not an object")
    choices = value.get("choices")
    if value.get("error") or (type(choices) is not list and value.get("object") == "error"):
        raise failure_in(body)
    if type(choices) is not list or not choices:
        raise UpstreamBroken("The provider's answer has no choices")
    return Answer(
        choices=[_choice(choice, index) for index, choice in enumerate(choices)],
        id=_text(value, "id"),
        model=_text(value, "model"),
        created=_whole(value, "created"),
        usage=find_usage(body),
        dialect=NAME,
        options={name: value[name] for name in _OPTIONS if value.get(name) is not None},
        extras={name: member for name, member in value.items() if name not in _READ},
    )


def failure_in(data: bytes) -> GatewayError:
    """The error that an answer or an event with status 200 tells of."""
    found = classify_inside(data, secrets=(), address="")
    return found or classify(502, (), data, secrets=(), address="", now=0.0)


def _choice(value: Any, position: int) -> Choice:
    message = value.get("message") if type(value) is dict else None
    if type(message) is not dict:
        raise UpstreamBroken("The provider's answer has a choice without a message")
    word = _text(value, "finish_reason") or "stop"
    if word in BROKEN:
        raise UpstreamBroken(f"The provider did not finish its answer: {word}")
    parts = _parts(message)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    has_refusal = any(isinstance(part, Refusal) for part in parts)
    finish, detail = read_finish(word, has_calls=has_calls, has_refusal=has_refusal)
    index = _whole(value, "index")
    return Choice(
        parts=parts,
        finish=finish,
        index=position if index is None else index,
        stop_sequence=_text(value, "stop_reason"),
        detail=detail or _native(value, word),
        logprobs=read_logprobs(value.get("logprobs")),
    )


def _native(choice: dict[str, Any], word: str) -> str | None:
    """OpenRouter tells the word of the provider behind it."""
    native = _text(choice, "native_finish_reason")
    return native if native != word else None


def read_logprobs(value: Any) -> list[dict[str, Any]] | None:
    """The entries of a choice's ``logprobs``; ``None`` if they are not what they should be."""
    return read_entries(value.get("content")) if type(value) is dict else None


def _parts(message: dict[str, Any]) -> list[Part]:
    parts: list[Part] = []
    texts: list[Part] = []
    content = message.get("content")
    if type(content) is str and content:
        texts.append(Text(content))
    elif type(content) is list:
        for part in content:
            (parts if type(part) is dict and part.get("type") == "thinking" else texts).extend(read_content(part))
    thinking = _thinking(message)
    if thinking is not None:
        parts.append(thinking)
    parts += texts
    annotations = message.get("annotations")
    last = parts[-1] if texts else None
    if type(annotations) is list and isinstance(last, Text):
        last.annotations = [annotation for annotation in annotations if type(annotation) is dict]
    if refusal := _text(message, "refusal"):
        parts.append(Refusal(refusal))
    if type(message.get("audio")) is dict:
        parts.append(read_audio(message["audio"]))
    images = message.get("images")
    parts += [image for image in map(read_image, images if type(images) is list else ()) if image is not None]
    return parts + _calls(message)


def read_content(part: Any) -> list[Part]:
    """An element of a content that is an array: a text, Mistral's thinking, or what is skipped."""
    if type(part) is not dict:
        return []
    if part.get("type") == "thinking":
        inner = part.get("thinking")
        text = "".join(signed_text(piece) for piece in inner) if type(inner) is list else inner
        return [Thinking(text, member_seal(PARTS))] if type(text) is str else []
    text = part.get("text")
    return [Text(text)] if type(text) is str and text else []


def _thinking(message: dict[str, Any]) -> Thinking | None:
    member, text = next(
        ((name, message[name]) for name in PLAIN_MEMBERS if type(message.get(name)) is str), (PLAIN_MEMBERS[0], None)
    )
    signed = {name: message[name] for name in SIGNED_MEMBERS if type(message.get(name)) is list and message[name]}
    if signed:
        text = text or "".join(signed_text(entry) for entries in signed.values() for entry in entries)
        return Thinking(text, signed_seal(signed), is_redacted=not text)
    if text or (text is not None and message.get("tool_calls")):
        # DeepSeek wants it back beside tool calls even where it is empty.
        return Thinking(text, member_seal(member))
    return None


def read_audio(value: dict[str, Any]) -> Audio:
    """Sound that the model made, or a piece of it."""
    return Audio(
        id=_text(value, "id"),
        data=_text(value, "data"),
        transcript=_text(value, "transcript"),
        expires_at=_whole(value, "expires_at"),
    )


def read_image(value: Any) -> Image | None:
    """A picture that the model made, in the shape of OpenRouter and LiteLLM."""
    link = value.get("image_url") if type(value) is dict else None
    url = link.get("url") if type(link) is dict else link
    if type(url) is not str:
        return None
    found = split_data_url(url)
    return Image(url=url) if found is None else Image(data=found[1], media_type=found[0])


def _calls(message: dict[str, Any]) -> list[Part]:
    calls = message.get("tool_calls")
    parts: list[Part] = [_call(call) for call in calls] if type(calls) is list else []
    legacy = message.get("function_call")
    if not parts and type(legacy) is dict:
        parts.append(_call({"function": legacy}))
    return parts


def _call(value: Any) -> ToolCall:
    call = value if type(value) is dict else {}
    kind = "custom" if type(call.get("custom")) is dict else "function"
    inner = call.get(kind)
    name = inner.get("name") if type(inner) is dict else None
    if type(inner) is not dict or type(name) is not str or not name:
        raise UpstreamBroken("The provider's answer has a tool call without a name")
    return ToolCall(
        id=_text(call, "id") or "",
        name=name,
        arguments=read_arguments(inner.get("input" if kind == "custom" else "arguments")),
        kind="custom" if kind == "custom" else "function",
        seal=call_seal(call.get(FIELDS), call.get("extra_content")),
    )


def read_arguments(value: Any) -> str:
    """The arguments of a call; some servers send the object itself."""
    if type(value) is str:
        return value
    return "" if value is None else _encode(value).decode()


def _text(value: dict[str, Any], name: str) -> str | None:
    member = value.get(name)
    return member if type(member) is str else None


def _whole(value: dict[str, Any], name: str) -> int | None:
    member = value.get(name)
    return member if type(member) is int else None
