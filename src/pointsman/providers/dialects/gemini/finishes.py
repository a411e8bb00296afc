"""Why an answer ended, in both directions."""

from __future__ import annotations

from typing import Any, Final

from pointsman.wire.chat import Choice, Finish

_FINISHES: Final[dict[str, Finish]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
_REASONS: Final[dict[Finish, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "OTHER",
}
MALFORMED: Final = "MALFORMED_FUNCTION_CALL"
_FAILURES: Final = frozenset(
    {
        MALFORMED,
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "NO_IMAGE",
        "IMAGE_OTHER",
        "OTHER",
    }
)
"""Google's words for a model that has failed. They are answers, which cost: whether to ask again is for the client, as
Google's own clients do."""


def read_finish(reason: str | None, *, has_calls: bool) -> tuple[Finish, str | None]:
    """How a candidate has ended, with Google's own word where that says more."""
    finish = _FINISHES.get(reason or "STOP")
    if finish is None:
        return ("tool_calls" if has_calls else "stop"), reason
    if finish == "stop":
        return ("tool_calls" if has_calls else "stop"), None
    return finish, None if reason == "MAX_TOKENS" else reason


def write_finish(choice: Choice) -> dict[str, Any]:
    """``finishReason`` of a choice, with a message where there is more to say."""
    reason, detail = _REASONS[choice.finish], choice.detail
    if detail is not None and (_FINISHES.get(detail) == choice.finish or detail in _FAILURES):
        return {"finishReason": detail}
    said = detail or (choice.finish if choice.finish in {"refusal", "pause"} else None)
    return {"finishReason": reason} if said is None else {"finishReason": reason, "finishMessage": said}
