"""Seals of calls and texts, which blocks of this dialect have no member for.

Gemini signs the calls that its models make, and wants the signature back. A client keeps it as a block of redacted
reasoning before the block that it belongs to, since that is what clients give back as they got it; a mark after the
origin says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.wire.chat import Part, Seal, Text, Thinking, ToolCall, shown

_OF_NEXT: Final = "@"


def write_seal_of_next(seal: Seal) -> dict[str, Any]:
    """The block that goes before the one that ``seal`` belongs to."""
    return {"type": "redacted_thinking", "data": shown(Seal(seal.origin, _OF_NEXT + seal.text), NAME)}


def with_seals(parts: Iterable[Part]) -> list[Part]:
    """The parts that a client gives back, each seal with the call or text that it belongs to."""
    sealed: list[Part] = []
    waiting: Seal | None = None
    for part in parts:
        found = _of_next(part)
        if found is not None:
            waiting = found
            continue
        if waiting is not None and isinstance(part, Text | ToolCall):
            part = msgspec.structs.replace(part, seal=waiting)  # noqa: PLW2901
            waiting = None
        sealed.append(part)
    return sealed


def _of_next(part: Part) -> Seal | None:
    if not isinstance(part, Thinking) or not part.is_redacted or part.seal is None or part.seal.origin == NAME:
        return None
    text = part.seal.text
    return Seal(part.seal.origin, text.removeprefix(_OF_NEXT)) if text.startswith(_OF_NEXT) else None
