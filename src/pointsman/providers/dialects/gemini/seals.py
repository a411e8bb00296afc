"""Thought signatures.

Google's are opaque base64, which clients hand back in either alphabet. SDKs decode the member, so a seal of another
origin is base64 as well: of its origin, a mark and its text.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Final

from pointsman.wire.chat import Seal, sealed, shown

NAME: Final = "gemini"
SKIP: Final = "skip_thought_signature_validator"
"""What Google documents as the signature of a call that none of its models has made."""
SKIP_ENCODED: Final = b64encode(SKIP.encode()).decode()
"""The same for clients: their SDKs decode what stands there, and not all of them take the alphabet of the plain one."""
_REDACTED: Final = "#"
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def write_seal(seal: Seal, *, is_redacted: bool = False) -> str:
    """A seal for a client. ``is_redacted`` is kept for seals of other origins."""
    if seal.origin == NAME:
        return seal.text
    text = Seal(seal.origin, _REDACTED + seal.text) if is_redacted else seal
    return b64encode(shown(text, NAME).encode()).decode()


def read_seal(text: str) -> tuple[Seal, bool]:
    """The seal that a client gave back, and whether it is of redacted reasoning."""
    seal = sealed(_decoded(text), NAME)
    if seal.origin == NAME:
        return Seal(NAME, text), False
    is_redacted = seal.text.startswith(_REDACTED)
    return (Seal(seal.origin, seal.text.removeprefix(_REDACTED)) if is_redacted else seal), is_redacted


def is_skip(text: str) -> bool:
    """Whether it is no signature, but stands for one that is missing."""
    return len(text) <= len(SKIP_ENCODED) and SKIP in (text, text.replace("/", "_"), _decoded(text))


def own(seal: Seal | None) -> str | None:
    """The signature, if it is one of Google's."""
    return seal.text if seal is not None and seal.origin == NAME else None


def _decoded(text: str) -> str:
    try:
        return b64decode(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
