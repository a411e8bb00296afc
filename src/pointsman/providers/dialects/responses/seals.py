"""Seals of reasoning as ``encrypted_content``, the one place where a client of this dialect keeps them.

A client gives a reasoning item back as it got it, but not always with its id, so all that has to be known again stands
in the text: the origin, as :func:`pointsman.wire.chat.shown` writes it, and for seals of other dialects one of two
marks. ``#`` says that the reasoning is redacted, ``@`` that the seal belongs to the part that follows: Gemini signs
calls and texts, and items of this dialect have no member for that.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pointsman.wire.chat import Seal, sealed, shown

NAME: Final = "responses"
_REDACTED: Final = "#"
_OF_NEXT: Final = "@"


class Sealed(msgspec.Struct, frozen=True):
    """A seal that came back."""

    seal: Seal
    is_redacted: bool = False
    is_of_next: bool = False
    """Whether it belongs to the text or call after it."""


def write_seal(seal: Seal, *, is_redacted: bool = False, is_of_next: bool = False) -> str:
    """The seal as ``encrypted_content``."""
    if seal.origin == NAME:
        return seal.text
    mark = _OF_NEXT if is_of_next else _REDACTED if is_redacted else ""
    return shown(Seal(seal.origin, mark + seal.text), NAME)


def read_seal(text: str) -> Sealed:
    """The reverse of :func:`write_seal`."""
    seal = sealed(text, NAME)
    if seal.origin == NAME or not seal.text.startswith((_REDACTED, _OF_NEXT)):
        return Sealed(seal)
    is_of_next = seal.text.startswith(_OF_NEXT)
    return Sealed(Seal(seal.origin, seal.text[1:]), is_redacted=not is_of_next, is_of_next=is_of_next)
