"""Ids of requests for approval: all that has to be known of the call stands in them, so that nothing has to be kept.

Nothing is proved by such an id. A caller may call what it may call; who has to approve it is between it and its user.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

PREFIX: Final = "mcpr_"


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """A call that waits for the user."""

    call_id: str
    name: str
    """As the model calls it."""
    arguments: str


def id_of(pending: Pending) -> str:
    """The id of the request for its approval."""
    return PREFIX + urlsafe_b64encode(msgspec.json.encode(pending)).rstrip(b"=").decode()


def pending_of(request_id: str) -> Pending | None:
    """The call; ``None``: it is no id of ours."""
    if not request_id.startswith(PREFIX):
        return None
    text = request_id.removeprefix(PREFIX)
    try:
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Pending)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return None
