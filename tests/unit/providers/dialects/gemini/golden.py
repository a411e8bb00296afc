"""The golden files of this dialect."""

from __future__ import annotations

from functools import partial
from typing import Any

from unit.providers.dialects import classes
from unit.providers.dialects.classes import built, plain

from pointsman.providers.translation import ReplyTerms
from pointsman.wire import chat

__all__ = ["built", "cases", "plain", "reply_terms"]

cases = partial(classes.cases, "gemini")


def reply_terms(case: dict[str, Any]) -> ReplyTerms:
    request = built(case["request"]) if "request" in case else chat.ChatRequest(dialect="gemini", turns=[])
    return ReplyTerms(model="public", unique="u1", created=1700000000, request=request)
