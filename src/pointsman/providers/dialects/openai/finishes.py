"""Why an answer ended: the wire's words, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pointsman.wire.chat import Finish

_FINISHES: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "function_call": "tool_calls",
        "content_filter": "content_filter",
        # Vendors have words of their own.
        "eos": "stop",
        "eos_token": "stop",
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_length": "length",
        "tool_use": "tool_calls",
        "tool_call": "tool_calls",
        "safety": "content_filter",
        "sensitive": "content_filter",
        "refusal": "refusal",
    }
)
BROKEN: Final = frozenset({"error", "abort", "network_error", "insufficient_system_resource"})
"""Words of vendors that could not finish the answer."""


def read_finish(word: str, *, has_calls: bool, has_refusal: bool) -> tuple[Finish, str | None]:
    """Our word and, where that does not say it all, the provider's.

    With a forced tool OpenAI says ``stop``, and of a refusal too: what is in the answer decides.
    """
    finish = _FINISHES.get(word.lower())
    detail = None if finish is not None else word
    if finish is None or finish == "stop":
        finish = "tool_calls" if has_calls else "refusal" if has_refusal else "stop"
    return finish, detail


def write_finish(finish: Finish, *, has_refusal: bool, is_legacy: bool) -> str:
    """The wire's word; ``is_legacy``: the client knows ``function_call`` only."""
    if finish == "tool_calls":
        return "function_call" if is_legacy else "tool_calls"
    if finish == "refusal":
        return "stop" if has_refusal else "content_filter"
    return "stop" if finish == "pause" else finish
