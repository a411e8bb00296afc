"""Having a user open a link, where his client can show it to him."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, Final

import msgspec

from pointsman.errors import SignInNeeded
from pointsman.mcp.base import Asking
from pointsman.mcp.protocol.revisions import missing
from pointsman.wire.here import base_of
from pointsman.wire.jsonrpc import RpcError, raw

ASK: Final = "elicitation/create"
PATIENCE: Final = 300.0
"""Seconds that a user has after he has said that he goes."""


@contextmanager
def opened_by(public_url: str, headers: Mapping[bytes, bytes]) -> Iterator[None]:
    """Links lead to where the gateway is for the client whose headers these are; where that is not told, to a path.

    It is said for each request anew: others with the same key may have found the gateway somewhere else.
    """
    try:
        yield
    except SignInNeeded as error:
        is_path = error.link.startswith("/") and (public_url or b"host" in headers)
        raise (error.at(base_of(public_url, headers)) if is_path else error) from None


class _Answer(msgspec.Struct):
    action: str = ""


async def is_signed_in(needed: SignInNeeded, asking: Asking) -> bool:
    """Ask the client to have its user sign in; whether he has done it, so that the call is worth another try."""
    params: dict[str, Any] = {"mode": "url", "message": "Sign in to go on.", "url": needed.link}
    if needed.arrived is None or missing(ASK, params, asking.client.capabilities) is not None:
        return False
    if asking.client.era == "legacy":
        params["elicitationId"] = token_hex(16)
    try:
        answer = msgspec.json.decode(await asking.ask(ASK, raw(params)), type=_Answer)
    except (RpcError, msgspec.MsgspecError):
        return False
    return answer.action == "accept" and await needed.arrived(PATIENCE)
