"""Writes of one turn of the loop, sent together at its end.

A write to a socket whose reader sleeps has to wake it, which costs several times the write itself where both run on
one machine. Sent one after the other, the first write wakes the reader and the rest find it awake; with a turn's
work between them, each would wake it again. What a turn writes to one socket becomes one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LARGE_BYTES = 65_536
"""Larger pieces are written by themselves: joining them would cost more than it saves."""


class Outbox:
    """Holds what is to be written until the turn ends. Order is kept for each transport."""

    __slots__ = ("_loop", "_pending", "first")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: dict[asyncio.Transport, bytes] = {}
        self.first: Callable[[], object] | None = None
        """What has to be done before anybody is told; never raises."""

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write ``data`` to ``transport`` when the turn ends."""
        pending = self._pending
        if not pending:
            self._loop.call_soon(self._flush)
        held = pending.get(transport)
        if held is not None and len(held) + len(data) > LARGE_BYTES:
            # A stream that is relayed in many pieces must meet the transport's limit, and not be joined over and over.
            self._write(transport)
            held = None
        pending[transport] = data if held is None else held + data

    def flush_one(self, transport: asyncio.Transport) -> None:
        """Write what is held for ``transport`` now; before closing it, or writing to it otherwise."""
        if transport in self._pending:
            if self.first is not None:
                self.first()
            self._write(transport)

    def _write(self, transport: asyncio.Transport) -> None:
        data = self._pending.pop(transport)
        if not transport.is_closing():
            transport.write(data)

    def _flush(self) -> None:
        if self.first is not None:
            self.first()
        pending, self._pending = self._pending, {}
        for transport, data in pending.items():
            if not transport.is_closing():
                transport.write(data)
