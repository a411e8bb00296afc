"""Seals of reasoning that another provider has made, in bodies that could otherwise pass as they are."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final

from pointsman.wire.chat import SEALERS

_MARKS: Final = tuple(f"{origin}#".encode() for origin in sorted(SEALERS))
_QUOTED: Final = re.compile(rb'"(?:%b)' % b"|".join(_MARKS))
# Google's clients send seals as base64; whole groups of three bytes are the same wherever the rest ends.
_ENCODED: Final = re.compile(
    rb'"(?:%b)' % b"|".join(re.escape(b64encode(mark[: len(mark) // 3 * 3]).rstrip(b"=")) for mark in _MARKS)
)
_KEYS: Final = (b"signature", b"Signature", b"encrypted_content", b'"data"')


def has_foreign_seal(body: bytes) -> bool:
    """Whether ``body`` holds a seal that says of another provider that it is its own.

    A text that only looks like one costs a translation and does no harm.
    """
    if not any(body.find(key) >= 0 for key in _KEYS):
        return False
    return _QUOTED.search(body) is not None or _ENCODED.search(body) is not None
