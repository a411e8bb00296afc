"""What a call has used, where the answer does not tell."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pointsman.pipeline.call import Call
from pointsman.wire import operations as op
from pointsman.wire.usage import Usage, count_images, estimate_tokens, said_bytes

DATA_URL = b";base64,"
BASE64 = re.compile(rb"[A-Za-z0-9+/=]{256,}")
MAX_SECONDS = 10**7
"""Of a sound that somebody can have heard."""


class _Speech(msgspec.Struct):
    input: str = ""


class _Heard(msgspec.Struct):
    duration: Any = None


_SPEECH = msgspec.json.Decoder(_Speech)
_HEARD = msgspec.json.Decoder(_Heard)


def given_text(body: bytes) -> str:
    """The text of a speech request, which is charged for by the character."""
    return _SPEECH.decode(body).input


def text_bytes(body: bytes) -> int:
    """Bytes of a request without the pictures, sounds and documents in it, which are not counted by their length."""
    return len(body) if DATA_URL not in body and b'"input_audio"' not in body else len(BASE64.sub(b"", body))


def usage_of(call: Call, body: bytes) -> Usage | None:
    """Usage by counting what the upstream's answer ``body`` holds, and what was given for it."""
    mode = call.operation.mode
    if mode == "image_generation":
        return Usage(images=count_images(body))
    if mode == "audio_transcription":
        return _heard(body)
    if call.given_text:
        return Usage(characters=len(call.given_text))
    if call.operation in op.CONVERSATIONS:
        return conversed(call, said_bytes(body))
    return None


def conversed(call: Call, said: int) -> Usage | None:
    """Usage of a conversation with so many bytes in its answer, as nearly as bytes can tell; ``None``: without any."""
    if not said:
        return None
    given, made = estimate_tokens(call.given_bytes), estimate_tokens(said)
    return Usage(input_tokens=given, output_tokens=made, total_tokens=given + made)


def _heard(body: bytes) -> Usage | None:
    try:
        seconds = _HEARD.decode(body).duration
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Usage(seconds=seconds) if type(seconds) in (int, float) and 0 < seconds < MAX_SECONDS else None
