"""What a request asks of the model that answers it, for leaving out deployments that are known not to do.

An estimate that is too high would leave out a deployment that can answer, so tokens are counted from below: no
tokenizer in use makes one token of two words, or of more than four Chinese, Japanese or Korean characters on average.
Pictures, sounds, documents and the definitions of tools are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from pointsman.wire.operations import Operation

_CONVERSATIONS: Final = ("chat", "responses")
_PROMPTS: Final = ("completion", "embedding")
_IMAGE_TYPES: Final = ("image_url", "input_image", "image")
_JSON_TYPES: Final = ("json_object", "json_schema")
_PLACES: Final = ("content", "output", "text")
"""Where messages and their parts hold text, or more parts."""
_WIDE_PER_TOKEN: Final = 4
_WORDS: Final = bytes(b" x"[byte not in b" \t\n\r\v\f"] for byte in range(256))
"""Makes a space of white space and an x of everything else."""
_NOT_WIDE: Final = bytes(range(0xE3))
"""Bytes that begin no character from U+3000 on in UTF-8."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a model must take to answer a request."""

    tools: bool = False
    images: bool = False
    json: bool = False
    """Being held to JSON by ``response_format``."""
    tokens: int = 0
    """At least so many the input has; of several inputs that are answered one by one, the longest."""


class _Request(msgspec.Struct, kw_only=True):
    """Every member is ``Any``: one odd member shall not hide the others."""

    messages: Any = None
    instructions: Any = None
    input: Any = None
    prompt: Any = None
    tools: Any = None
    functions: Any = None
    response_format: Any = None
    text: Any = None


_REQUEST: Final = msgspec.json.Decoder(_Request)


def needs_of(operation: Operation, body: bytes) -> Needs:
    """Read what the JSON request ``body`` needs; what cannot be read, and every other operation, needs nothing."""
    try:
        if operation.mode in _CONVERSATIONS:
            return _conversation_needs(_REQUEST.decode(body))
        if operation.mode in _PROMPTS:
            request = _REQUEST.decode(body)
            return Needs(tokens=_longest(request.prompt if operation.mode == "completion" else request.input))
    except (msgspec.DecodeError, RecursionError):
        pass
    return Needs()


def _conversation_needs(request: _Request) -> Needs:
    parts = list(_parts([request.instructions, request.messages, request.input]))
    answer = request.response_format or _member(request.text, "format")
    return Needs(
        tools=_is_filled(request.tools) or _is_filled(request.functions),
        images=any(_member(part, "type") in _IMAGE_TYPES for part in parts),
        json=_member(answer, "type") in _JSON_TYPES,
        tokens=sum(least_tokens(part) for part in parts if isinstance(part, str)),
    )


def _parts(value: Any) -> Iterator[Any]:
    """Objects and texts of a conversation, from the outside in."""
    if isinstance(value, list):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield value
        for place in _PLACES:
            yield from _parts(value.get(place))


def _longest(value: Any) -> int:
    """Tokens of a text, of a list of token ids, or of the longest of several."""
    if isinstance(value, str):
        return least_tokens(value)
    if not isinstance(value, list):
        return 0
    return len(value) if value and isinstance(value[0], int) else max(map(_longest, value), default=0)


def least_tokens(text: str) -> int:
    """How many tokens a text has at least."""
    coded = text.encode("utf-8", "replace")
    marks = coded.translate(_WORDS)
    words = marks.count(b" x") + marks.startswith(b"x")
    return max(words, len(coded.translate(None, _NOT_WIDE)) // _WIDE_PER_TOKEN)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _is_filled(value: Any) -> bool:
    return isinstance(value, list) and bool(value)
