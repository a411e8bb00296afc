"""Everything that the gateway wants of a whole JSON answer, in one look.

The usual answer is small, names its model once and reports usage in OpenAI's shape: one decode reads all of it and
checks the syntax on the way, since what says it is JSON and is not must not reach a client as a success. Anything
else takes the general functions of ``usage.py``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pointsman.wire.members import plain_value
from pointsman.wire.usage import OpenAiUsage, Usage, find_usage, read_open_ai, splice_answer_model

SMALL_BYTES: Final = 16_384
"""Larger answers (embeddings, images) are not decoded: of their syntax only the ends are looked at, as a cut one is
known by its framing."""

_KEY: Final = b'"model"'


class Answer(msgspec.Struct, frozen=True):
    """An answer as the caller shall see it, and what it told the gateway."""

    body: bytes
    usage: Usage | None
    may_hold_error: bool
    """Whether there is an ``error`` at the top level; whether it is one is for the dialect to say."""


class _Answer(msgspec.Struct):
    model: Any = UNSET
    usage: OpenAiUsage | None = None
    error: Raw | UnsetType = UNSET


class _Syntax(msgspec.Struct):
    """Decoding into this builds nothing."""


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_SYNTAX: Final = msgspec.json.Decoder(_Syntax)
_encode: Final = msgspec.json.Encoder().encode


def read_answer(body: bytes, model: str) -> Answer | None:
    """Give ``body`` with ``model`` in the place of the upstream's; ``None`` when it is not a JSON object."""
    if len(body) > SMALL_BYTES:
        if body.lstrip()[:1] != b"{" or body.rstrip()[-1:] != b"}":
            return None
        return _general(body, model)
    try:
        peeked = _ANSWER.decode(body)
    except msgspec.ValidationError:
        return _general(body, model) if _is_object(body) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    usage = peeked.usage
    return Answer(
        body if peeked.model is UNSET or peeked.model == model else _splice(body, peeked.model, model),
        read_open_ai(usage) if usage is not None else find_usage(body),
        peeked.error is not UNSET,
    )


def _general(body: bytes, model: str) -> Answer:
    return Answer(splice_answer_model(body, model), find_usage(body), b'"error"' in body)


def _is_object(body: bytes) -> bool:
    try:
        _SYNTAX.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _splice(body: bytes, old: Any, new: str) -> bytes:
    at = body.find(_KEY)
    if isinstance(old, str) and 0 <= at == body.rfind(_KEY):
        # The decoder saw a model at the top level, so this one is it.
        span = plain_value(body, at + len(_KEY), old)
        if span is not None:
            return b"".join((body[: span[0]], _encode(new), body[span[1] :]))
    return splice_answer_model(body, new)
