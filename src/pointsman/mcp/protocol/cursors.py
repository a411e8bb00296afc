"""Where a list of several servers goes on: a text for clients that holds each server's own cursor.

It is not sealed. Whoever makes one up gets what he may see anyway: the servers in it are looked up as those of any
other request, and what a server makes of its cursor is its own affair.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import msgspec

MAX_TEXT: Final = 16_384


def write(cursors: Mapping[str, str]) -> str | None:
    """By server, where its list goes on; ``None``: nowhere."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursors)).decode() if cursors else None


def read(text: object) -> dict[str, str]:
    """What :func:`write` has written.

    :raises ValueError: it has not
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise ValueError("this is no cursor")
    try:
        found = msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=dict[str, str])
    except (binascii.Error, msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError("this is no cursor of this gateway") from error
    if not found:
        raise ValueError("this cursor is empty")
    return found
