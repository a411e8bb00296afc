"""What a call has used, where the answer alone does not tell."""

from __future__ import annotations

import msgspec

from pointsman.wire import operations as op
from pointsman.wire.answer import Answer
from pointsman.wire.operations import Operation
from pointsman.wire.usage import Usage, count_images


class _Speech(msgspec.Struct):
    input: str = ""


_SPEECH = msgspec.json.Decoder(_Speech)


def given_text(operation: Operation, body: bytes) -> str:
    """The text that speech is charged for, by the character; empty for every other operation."""
    return _SPEECH.decode(body).input if operation is op.SPEECH else ""


def usage_of(operation: Operation, given: str, answer: Answer | None) -> Usage | None:
    """Usage as the answer reports it, else counted: images by their number, speech by the characters ``given``."""
    usage = answer.usage if answer is not None else None
    if usage is None and answer is not None and operation.mode == "image_generation":
        return Usage(images=count_images(answer.body))
    if usage is None and given:
        return Usage(characters=len(given))
    return usage
