"""Log probabilities of tokens, in the shape of OpenAI's chat: ``token``, ``logprob``, ``bytes``, ``top_logprobs``."""

from __future__ import annotations

from typing import Any

import msgspec


class _Top(msgspec.Struct):
    token: str
    logprob: float | None = None


class _Token(_Top):
    top_logprobs: list[_Top] | None = None


def read_entries(value: Any) -> list[dict[str, Any]] | None:
    """The entries that ``value`` is a list of; ``None`` where there are none, or they are not what they should be."""
    if not value:
        return None
    try:
        msgspec.convert(value, list[_Token])
    except msgspec.ValidationError:
        return None
    entries: list[dict[str, Any]] = value
    return entries
