"""What an answer says it used, and which model it says it came from.

An answer that passes through is never parsed: ``usage`` is found in its bytes and decoded alone. The
spellings of all OpenAI endpoints, Anthropic, Cohere, Jina and DeepSeek come out as one :class:`Usage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec

from pointsman.wire.members import find_member, find_string

BYTES_PER_TOKEN: Final = 3.6
"""Of English text with the tokenizers of the large vendors, for estimates only."""

_MAX_USAGE_BYTES: Final = 4096
_MAX_COUNT: Final = 2**53
# At most two levels of objects within; strings with braces do not occur, and if they do, decoding fails.
_OBJECT: Final = re.compile(
    rb"\{[^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+\}",
)
_USAGE: Final = re.compile(rb'"usage"[ \t\n\r]*+:[ \t\n\r]*+(?=\{)')
_BILLED: Final = re.compile(rb'"billed_units"[ \t\n\r]*+:[ \t\n\r]*+(?=\{)')
_SAID: Final = re.compile(
    rb'"(?:content|reasoning_content|reasoning|text|thinking|refusal|arguments)"[ \t\n\r]*+:[ \t\n\r]*+'
    rb'"((?:[^"\\]++|\\.)*+)"'
)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one request consumed, in the units that prices are given for."""

    input_tokens: int = 0
    """All of the input, what came out of the provider's cache included."""
    output_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int = 0
    """The part of ``input_tokens`` that the provider had cached."""
    reasoning_tokens: int = 0
    """The part of ``output_tokens`` that was spent on reasoning."""
    cache_write_tokens: int = 0
    """The part of ``input_tokens`` that the provider has put into its cache."""
    cache_write_1h_tokens: int = 0
    """The part of ``cache_write_tokens`` that it keeps for an hour."""
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    search_units: int = 0
    images: int = 0
    seconds: float = 0.0
    """Of audio."""
    characters: int = 0


_Count = Annotated[int, msgspec.Meta(ge=0, le=_MAX_COUNT)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None


class OpenAiUsage(msgspec.Struct):
    """The usual shape, checked by the decoder; anything else is read by way of :class:`_Wire`."""

    prompt_tokens: _Count
    total_tokens: _Count
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_creation: Any = None
    prompt_cache_hit_tokens: Any = None
    cached_tokens: Any = None


class _Wire(msgspec.Struct, kw_only=True):
    """Every member is ``Any``: one odd member shall not cost the others."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: Any = None
    input_token_details: Any = None
    output_tokens_details: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_creation: Any = None
    prompt_cache_hit_tokens: Any = None
    cached_tokens: Any = None
    seconds: Any = None
    search_units: Any = None
    images: Any = None
    billed_units: Any = None


class _Answer(msgspec.Struct):
    usage: _Wire | None = None


_OPEN_AI: Final = msgspec.json.Decoder(OpenAiUsage)
_WIRE: Final = msgspec.json.Decoder(_Wire)
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_NO_DETAILS: Final = _Details()
_HOUR: Final = "ephemeral_1h_input_tokens"
_encode: Final = msgspec.json.Encoder().encode


def find_usage(body: bytes) -> Usage | None:
    """Give what the JSON answer ``body`` reports, or ``None``; whatever ``body`` is, nothing is raised."""
    member = find_member(body, b'"usage"', head=0)
    if member is not None:
        usage = _decode_at(body, member[1])
        return usage if usage is not None else _decode_whole(body)
    return last_usage(body, _BILLED) if b'"billed_units"' in body else None


def last_usage(text: bytes, member: re.Pattern[bytes] = _USAGE) -> Usage | None:
    """Give the last ``usage`` object in ``text``, at whatever depth: for the events of a stream."""
    usage = None
    for found in member.finditer(text):
        usage = _decode_at(text, found.end()) or usage
    return usage


def splice_answer_model(body: bytes, new: str) -> bytes:
    """Give the JSON answer ``body`` with its top-level ``model`` replaced; ``body`` itself if it has none.

    A ``model`` that is not a string stays. Nothing is raised.
    """
    member = find_member(body, b'"model"')
    end = find_string(body, member[1]) if member is not None else None
    if member is None or end is None:
        return body
    view = memoryview(body)
    return b"".join((view[: member[1]], _encode(new), view[end:]))


def count_images(body: bytes) -> int:
    """How many images the answer of an images endpoint holds."""
    return body.count(b'"b64_json"') or body.count(b'"url"')


def said_bytes(body: bytes) -> int:
    """How many bytes of text a whole answer holds, in whichever dialect."""
    return sum(len(found[1]) for found in _SAID.finditer(body))


def total(usages: Iterable[Usage]) -> Usage:
    """What several requests have consumed together."""
    counted = [msgspec.structs.asdict(usage) for usage in usages]
    return Usage(**{name: sum(one[name] for one in counted) for name in Usage.__struct_fields__})


def filled(usage: Usage, other: Usage) -> Usage:
    """``usage``, and of what it does not tell that of ``other``."""
    return Usage(**{name: getattr(usage, name) or getattr(other, name) for name in Usage.__struct_fields__})


def estimate_tokens(n_bytes: int) -> int:
    """About how many tokens ``n_bytes`` of text are; for streams that ended without saying."""
    return round(n_bytes / BYTES_PER_TOKEN)


def _decode_at(text: bytes, start: int) -> Usage | None:
    found = _OBJECT.match(text, start, start + _MAX_USAGE_BYTES)
    if found is None:
        return None
    try:
        return read_open_ai(_OPEN_AI.decode(found[0]))
    except msgspec.ValidationError:
        return _decode_unusual(found[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _decode_unusual(text: bytes) -> Usage | None:
    try:
        return _read(_WIRE.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _decode_whole(body: bytes) -> Usage | None:
    try:
        wire = _ANSWER.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if wire is None else _read(wire)


def read_open_ai(wire: OpenAiUsage) -> Usage:
    """Give the usual shape of ``usage`` in our own."""
    given, made = wire.prompt_tokens_details or _NO_DETAILS, wire.completion_tokens_details or _NO_DETAILS
    output_tokens, reasoning_tokens = wire.completion_tokens or 0, made.reasoning_tokens or 0
    if reasoning_tokens:
        output_tokens = _with_reasoning(wire.prompt_tokens, output_tokens, reasoning_tokens, wire.total_tokens)
    elsewhere = wire.cache_read_input_tokens or wire.prompt_cache_hit_tokens or wire.cached_tokens
    usage = Usage(
        input_tokens=wire.prompt_tokens,
        output_tokens=output_tokens,
        total_tokens=wire.total_tokens,
        cached_input_tokens=given.cached_tokens or (_count(elsewhere) if elsewhere else 0),
        reasoning_tokens=reasoning_tokens,
    )
    is_written = given.cache_write_tokens or wire.cache_creation_input_tokens
    if not (is_written or given.audio_tokens or given.image_tokens or made.audio_tokens or made.image_tokens):
        return usage
    return msgspec.structs.replace(
        usage,
        cache_write_tokens=given.cache_write_tokens or _count(wire.cache_creation_input_tokens),
        cache_write_1h_tokens=_detail(wire.cache_creation, _HOUR),
        audio_input_tokens=given.audio_tokens or 0,
        audio_output_tokens=made.audio_tokens or 0,
        image_input_tokens=given.image_tokens or 0,
        image_output_tokens=made.image_tokens or 0,
    )


def _with_reasoning(input_tokens: int, output_tokens: int, reasoning_tokens: int, total_tokens: int) -> int:
    """All output; xAI counts what was spent on reasoning in the total only, and bills it."""
    is_apart = reasoning_tokens > 0 and total_tokens == input_tokens + output_tokens + reasoning_tokens
    return output_tokens + reasoning_tokens if is_apart else output_tokens


def _read(wire: _Wire) -> Usage:
    billed = wire.billed_units if isinstance(wire.billed_units, dict) else {}
    given = wire.prompt_tokens_details or wire.input_tokens_details or wire.input_token_details
    made = wire.completion_tokens_details or wire.output_tokens_details
    output_tokens = _count(wire.completion_tokens or wire.output_tokens or billed.get("output_tokens"))
    if wire.prompt_tokens is not None:
        input_tokens = _count(wire.prompt_tokens)
    else:
        input_tokens = _count(wire.input_tokens or billed.get("input_tokens"))
        if given is None:
            # Anthropic counts what it read from and wrote to its cache apart from the input.
            input_tokens += _count(wire.cache_read_input_tokens) + _count(wire.cache_creation_input_tokens)
    total_tokens = _count(wire.total_tokens)
    if not input_tokens and not output_tokens:
        input_tokens = total_tokens  # Jina's rerank reports a total only, and generates nothing
    reasoning_tokens = _detail(made, "reasoning_tokens")
    output_tokens = _with_reasoning(input_tokens, output_tokens, reasoning_tokens, total_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=total_tokens or input_tokens + output_tokens,
        cached_input_tokens=_detail(given, "cached_tokens")
        or _count(wire.cache_read_input_tokens or wire.prompt_cache_hit_tokens or wire.cached_tokens),
        reasoning_tokens=reasoning_tokens,
        cache_write_tokens=_detail(given, "cache_write_tokens") or _count(wire.cache_creation_input_tokens),
        cache_write_1h_tokens=_detail(wire.cache_creation, _HOUR),
        audio_input_tokens=_detail(given, "audio_tokens"),
        audio_output_tokens=_detail(made, "audio_tokens"),
        image_input_tokens=_detail(given, "image_tokens"),
        image_output_tokens=_detail(made, "image_tokens"),
        search_units=_count(wire.search_units or billed.get("search_units")),
        images=_count(wire.images or billed.get("images")),
        seconds=_amount(wire.seconds),
    )


def _detail(details: Any, name: str) -> int:
    return _count(details.get(name)) if isinstance(details, dict) else 0


def _count(value: Any) -> int:
    return int(_amount(value))


def _amount(value: Any) -> float:
    # Upstreams are not trusted to count: nothing negative and nothing that a float cannot hold.
    if value is None or type(value) is bool or not isinstance(value, int | float):
        return 0
    return value if 0 < value < _MAX_COUNT else 0
