"""A request that a server is working on: what it says on the way reaches the client whose request it is.

Progress tokens are the client's. To the server each request has its own id for a token, so that two clients with the
same one can share a session; on the way back the client's is put in its place again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from pointsman.mcp.base import Asking
from pointsman.mcp.protocol.meta import PROGRESS, meta_of, with_members
from pointsman.wire.jsonrpc import Id, Message, RpcError, notification

PROGRESSED: Final = "notifications/progress"
MAX_ASKED: Final = 16
"""Questions of a server at a time, for one request."""
NOBODY: Final = ""
"""Clients that cannot be told apart."""
_QUOTED: Final = f'"{PROGRESS}"'.encode()


class Call:
    """One request."""

    __slots__ = ("asked", "asking", "number", "token")

    def __init__(self, number: int, asking: Asking, params: Raw) -> None:
        """:raises RpcError: the parameters are no object"""
        self.number = number
        """Its id, and its progress token."""
        self.asking = asking
        self.token = token_of(params)
        self.asked: dict[Id, asyncio.Task[None]] = {}
        """What the server wants of the client meanwhile, by the server's ids."""

    def tell(self, message: Message) -> None:
        """Pass a notification on. Progress is only for those who want it."""
        if message.method != PROGRESSED:
            self.asking.tell(message)
        elif self.token is not None:
            try:
                self.asking.tell(notification(PROGRESSED, with_members(message.params, {PROGRESS: self.token})))
            except RpcError:
                # A server's notification that is none.
                return

    def end(self) -> None:
        """Nothing is asked for it any more."""
        for task in self.asked.values():
            task.cancel()
        self.asked.clear()


class Parties:
    """Who has called in a session: all who may be meant by what names no call.

    What a server says so may be about a call that was given up long ago. So it is for nobody, unless one party has made
    all calls that there were.
    """

    __slots__ = ("_names",)

    def __init__(self, calls: Iterable[Call] = ()) -> None:
        """``calls`` go on already."""
        self._names: set[str] = set()
        for call in calls:
            self.enter(call)

    def enter(self, call: Call, method: str = "") -> None:
        """A call is made. Nothing is asked for a list, which the gateway reads for itself too."""
        party = _party_of(call)
        if len(self._names) < 2 and (party != NOBODY or not method.endswith("/list")):
            self._names.add(party)

    def only(self, calls: Iterable[Call]) -> Call | None:
        """The one of these that is meant; of several the last, if they are of one session of a client."""
        known = [call for call in calls if _party_of(call) != NOBODY]
        if not known or {_party_of(call) for call in known} != self._names:
            return None
        sessions = {call.asking.client.session for call in known}
        return known[-1] if len(known) == 1 or (len(sessions) == 1 and "" not in sessions) else None


def _party_of(call: Call) -> str:
    client = call.asking.client
    return client.caller.name or client.session


def token_of(params: Raw) -> Raw | None:
    """The client's progress token; ``None``: it wants to hear of no progress.

    :raises RpcError: the parameters are no object
    """
    return meta_of(params).get(PROGRESS) if _QUOTED in bytes(params) else None


def progressed(message: Message) -> Id:
    """Our own token in a notification of progress; ``None`` where it is none."""
    if message.method != PROGRESSED:
        return None
    try:
        return msgspec.json.decode(message.params, type=_Progress).token
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _Progress(msgspec.Struct):
    token: Id = msgspec.field(name=PROGRESS, default=None)
