"""Changes that one process hears of, told to the others that serve the same clients.

A server tells of a change in the session in which it was made, and the client that wants to hear of it may listen to
another process. What comes close together is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pointsman.wire.jsonrpc import Message, notification

PAUSE: Final = 0.05
"""Seconds in which changes are gathered."""
MOST: Final = 1_000
"""Told at a time; more are lost, as they are on any wire."""


class Told(msgspec.Struct, frozen=True):
    """One change."""

    server: str
    party: str
    """Of the connection over which it was heard."""
    method: str
    uri: str = ""
    """Of the resource, if it is one."""

    @property
    def message(self) -> Message:
        """As its server has said it."""
        return notification(self.method, {"uri": self.uri} if self.uri else None)


class Sharing:
    """Gathers them."""

    def __init__(self) -> None:
        self.tell: Callable[[list[dict[str, Any]]], None] | None = None
        """Has the other processes told; ``None``: there are none."""
        self._waiting: dict[Told, None] = {}

    def add(self, server: str, party: str, message: Message) -> None:
        """Tell of a change soon."""
        if self.tell is None or len(self._waiting) >= MOST:
            return
        uri = message.read().get("uri")
        if not self._waiting:
            asyncio.get_running_loop().call_later(PAUSE, self._flush)
        self._waiting[Told(server, party, message.method, uri if isinstance(uri, str) else "")] = None

    def _flush(self) -> None:
        told, self._waiting = self._waiting, {}
        if self.tell is not None:
            self.tell([msgspec.to_builtins(one) for one in told])
