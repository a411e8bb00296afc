"""What a call has used, where the answer does not tell."""

from __future__ import annotations

import re

import msgspec

from pointsman.pipeline.call import Call
from pointsman.wire.usage import Usage, count_images

DATA_URL = b";base64,"
BASE64 = re.compile(rb"[A-Za-z0-9+/=]{256,}")


class _Speech(msgspec.Struct):
    input: str = ""


_SPEECH = msgspec.json.Decoder(_Speech)


def given_text(body: bytes) -> str:
    """The text of a speech request, which is charged for by the character."""
    return _SPEECH.decode(body).input


def text_bytes(body: bytes) -> int:
    """Bytes of a request without the pictures, sounds and documents in it, which are not counted by their length."""
    return len(body) if DATA_URL not in body and b'"input_audio"' not in body else len(BASE64.sub(b"", body))


def usage_of(call: Call, body: bytes) -> Usage | None:
    """Usage by counting: pictures in the answer's ``body``, characters of the text to be spoken."""
    if call.operation.mode == "image_generation":
        return Usage(images=count_images(body))
    if call.given_text:
        return Usage(characters=len(call.given_text))
    return None
