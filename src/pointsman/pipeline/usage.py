"""What a call has used, where the answer does not tell."""

from __future__ import annotations

import msgspec

from pointsman.pipeline.call import Call
from pointsman.wire.usage import Usage, count_images


class _Speech(msgspec.Struct):
    input: str = ""


_SPEECH = msgspec.json.Decoder(_Speech)


def given_text(body: bytes) -> str:
    """The text of a speech request, which is charged for by the character."""
    return _SPEECH.decode(body).input


def usage_of(call: Call, body: bytes) -> Usage | None:
    """Usage by counting: pictures in the answer's ``body``, characters of the text to be spoken."""
    if call.operation.mode == "image_generation":
        return Usage(images=count_images(body))
    if call.given_text:
        return Usage(characters=len(call.given_text))
    return None
