"""Usage, as clients of the OpenAI wire read it."""

from __future__ import annotations

from typing import Any

from pointsman.wire.usage import Usage


def write_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object of an answer, with LiteLLM's members for what was read from and written to a cache."""
    given = {
        "cached_tokens": usage.cached_input_tokens,
        "audio_tokens": usage.audio_input_tokens,
        "image_tokens": usage.image_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }
    made = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.audio_output_tokens,
        "image_tokens": usage.image_output_tokens,
    }
    written: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens or usage.input_tokens + usage.output_tokens,
        # The first of each is what clients look for without asking whether it is there.
        "prompt_tokens_details": _without_zeros(given, "cached_tokens"),
        "completion_tokens_details": _without_zeros(made, "reasoning_tokens"),
    }
    if usage.cached_input_tokens:
        written["cache_read_input_tokens"] = usage.cached_input_tokens
    if usage.cache_write_tokens:
        written["cache_creation_input_tokens"] = usage.cache_write_tokens
    return written


def _without_zeros(counts: dict[str, int], kept: str) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count or name == kept}
