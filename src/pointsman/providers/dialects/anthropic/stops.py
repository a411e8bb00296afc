"""Why an answer ended."""

from __future__ import annotations

from typing import Any, Final

from pointsman.wire.chat import Choice, Finish, Finished, Refusal

_FINISHES: Final[dict[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
}
_REASONS: Final[dict[Finish, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_CATEGORIES: Final = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})
"""Of refusals, as the SDK's types have them; words of other providers are none."""
_DETAILED: Final = frozenset({"model_context_window_exceeded", "compaction"})
"""Reasons that are kept as the detail of the nearest one."""


def read_stop(reason: Any, details: Any) -> tuple[Finish, str | None]:
    """Give what a ``stop_reason`` means, and its detail: the reason itself, or the category of a refusal.

    A reason that is not known is taken for the end of the answer.
    """
    finish = _FINISHES.get(reason) if isinstance(reason, str) else None
    if finish is None:
        return "stop", reason if isinstance(reason, str) else None
    if reason in _DETAILED:
        return finish, reason
    category = details.get("category") if isinstance(details, dict) else None
    return finish, category if isinstance(category, str) else None


def read_refusal(details: Any) -> list[Refusal]:
    """What ``stop_details`` say to the user, if they do."""
    words = details.get("explanation") if isinstance(details, dict) else None
    return [Refusal(words)] if isinstance(words, str) and words else []


def write_stop(end: Choice | Finished, *, has_refusal: bool) -> dict[str, Any]:
    """``stop_reason``, ``stop_sequence`` and, if there are any, ``stop_details`` of an answer.

    An answer that holds the words of a refusal is one.
    """
    reason = "refusal" if has_refusal else _REASONS[end.finish]
    if end.detail is not None and end.detail in _DETAILED:
        reason = end.detail
    if reason == "end_turn" and end.stop_sequence is not None:
        reason = "stop_sequence"
    written: dict[str, Any] = {"stop_reason": reason, "stop_sequence": end.stop_sequence}
    if reason == "refusal":
        category = end.detail if end.detail in _CATEGORIES else None
        written["stop_details"] = {"type": "refusal", "category": category, "explanation": None}
    return written
