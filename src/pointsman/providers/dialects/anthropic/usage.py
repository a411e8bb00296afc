"""Usage, which Anthropic counts without what was read from and written to its cache."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.wire.usage import Usage

_TIERS: Final = {"standard": "default", "priority": "priority"}
_TIERS_BACK: Final = {name: tier for tier, name in _TIERS.items()}


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """Usage as it stands on the wire. In a stream it comes twice, and each time some of it may be missing."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: str | None = None


def read_usage(raw: Any, before: Usage | None = None) -> Usage | None:
    """Give what a ``usage`` object says; ``None`` if it is none.

    ``before`` is what the same stream said earlier. Counts are running totals, and some vendors repeat them as
    zero, so the larger one holds.
    """
    try:
        wire = msgspec.convert(raw, WireUsage)
    except msgspec.ValidationError:
        return before
    cached, written = _count(wire.cache_read_input_tokens), _count(wire.cache_creation_input_tokens)
    past = before or Usage()
    cached, written = max(cached, past.cached_input_tokens), max(written, past.cache_write_tokens)
    fresh = past.input_tokens - past.cached_input_tokens - past.cache_write_tokens
    input_tokens = max(_count(wire.input_tokens), fresh) + cached + written
    output_tokens = max(_count(wire.output_tokens), past.output_tokens)
    thinking = (wire.output_tokens_details or _OutputDetails()).thinking_tokens
    written_1h = (wire.cache_creation or _CacheCreation()).ephemeral_1h_input_tokens
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=max(_count(written_1h), past.cache_write_1h_tokens),
        reasoning_tokens=max(_count(thinking), past.reasoning_tokens),
    )


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """A ``usage`` object; all zero where nothing is known, since clients insist on the counts."""
    known = usage or Usage()
    written = {
        "input_tokens": max(known.input_tokens - known.cached_input_tokens - known.cache_write_tokens, 0),
        "cache_creation_input_tokens": known.cache_write_tokens,
        "cache_read_input_tokens": known.cached_input_tokens,
        "output_tokens": known.output_tokens,
    }
    if not known.cache_write_1h_tokens and not known.reasoning_tokens:
        return written
    return written | {
        "cache_creation": {
            "ephemeral_5m_input_tokens": max(known.cache_write_tokens - known.cache_write_1h_tokens, 0),
            "ephemeral_1h_input_tokens": known.cache_write_1h_tokens,
        },
        "output_tokens_details": {"thinking_tokens": known.reasoning_tokens},
    }


def read_tier(raw: Any) -> str | None:
    """OpenAI's name of the service tier that a ``usage`` object tells."""
    tier = raw.get("service_tier") if isinstance(raw, dict) else None
    return _TIERS.get(tier) if isinstance(tier, str) else None


def write_tier(tier: Any) -> str | None:
    """Anthropic's name of a service tier that OpenAI names ``tier``."""
    return _TIERS_BACK.get(tier) if isinstance(tier, str) else None


def _count(value: int | None) -> int:
    return max(value or 0, 0)
