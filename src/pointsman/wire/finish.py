"""Why an answer has ended. Its bytes are parsed only where something in them looks like a problem."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

_REASON: Final = re.compile(
    rb'"(?:finish_reason|stop_reason|finishReason|reason)"[ \t\r\n]*+:[ \t\r\n]*+"([A-Za-z_]{1,40})"', re.ASCII
)
_EVENT: Final = re.compile(rb"^data:(.*)$", re.MULTILINE)
_BETWEEN: Final = b"[], \t\r\n"
"""What stands around the objects of a stream that is one array."""
TRUNCATED: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"})
REFUSED: Final = frozenset(
    {"content_filter", "refusal", "safety", "recitation", "prohibited_content", "blocklist", "spii"}
)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def problem_of(data: bytes) -> str:
    """``truncated`` or ``refused`` where an answer, or whole events of one, say so in any dialect; else nothing."""
    if not any(_problem(word.decode()) for word in _REASON.findall(data)):
        return ""
    # The words can also be those of a tool's arguments, which are somebody's own.
    for said in _EVENT.findall(data) or [data]:
        try:
            answer = _decode(said.strip(_BETWEEN))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        for reason in _reasons(answer):
            if isinstance(reason, str) and (found := _problem(reason)):
                return found
    return ""


def _problem(reason: str) -> str:
    word = reason.lower()
    return "truncated" if word in TRUNCATED else "refused" if word in REFUSED else ""


def _reasons(answer: dict[str, Any]) -> Iterator[Any]:
    """What stands where the dialects have it."""
    for choice in _all(answer.get("choices")):
        yield _member(choice, "finish_reason")
    for candidate in _all(answer.get("candidates")):
        yield _member(candidate, "finishReason")
    for message in (answer, answer.get("delta"), answer.get("message")):
        yield _member(message, "stop_reason")
    for response in (answer, answer.get("response")):
        yield _member(_member(response, "incomplete_details"), "reason")


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
