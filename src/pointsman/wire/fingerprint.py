"""Telling whether two JSON requests ask for the same thing."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import msgspec

MAX_COMPARED_BYTES: Final = 1024 * 1024
"""Longer requests are compared as they are spelled: reading them would hold up everybody else."""
OWN_MEMBERS: Final = frozenset(
    {
        "cache",
        "caching",
        "fallbacks",
        "context_window_fallbacks",
        "content_policy_fallbacks",
        "disable_fallbacks",
        "num_retries",
        "timeout",
        "stream_timeout",
        "metadata",
        "tags",
        "user",
        "priority",
    }
)
"""Top-level members that say how to serve a request, or for whom, but not what is asked."""

PATIENCE_MEMBERS: Final = frozenset({"num_retries", "timeout", "stream_timeout"})
"""Members that a client may change when it asks once more for the same thing."""


def fingerprint(body: bytes, *scope: str, without: frozenset[str] = OWN_MEMBERS) -> str:
    """SHA-256 in hex of what the JSON request ``body`` asks within ``scope``.

    White space, the order of members, escapes and the members ``without`` make no difference; each word of ``scope``
    does.
    A body that cannot be read is compared as it is spelled.
    """
    # JSON, so that no two scopes are one text; the standard library's, as it writes any string.
    digest = hashlib.sha256(json.dumps(scope).encode())
    digest.update(_plain(body, without))
    return digest.hexdigest()


def _plain(body: bytes, without: frozenset[str]) -> bytes:
    if len(body) > MAX_COMPARED_BYTES:
        return body
    try:
        members = msgspec.json.decode(body)
        if not isinstance(members, dict):
            return body
        asked = {name: value for name, value in members.items() if name not in without}
        return msgspec.json.encode(asked, order="sorted")
    except (msgspec.DecodeError, RecursionError):
        return body
