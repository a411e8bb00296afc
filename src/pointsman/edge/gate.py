"""For replies that are read from somewhere piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pointsman.edge.exchange import Exchange


class Gate:
    """Holds back who writes while the client does not read."""

    def __init__(self) -> None:
        self._is_open = asyncio.Event()
        self._is_open.set()

    def pause(self) -> None:
        """The client does not read."""
        self._is_open.clear()

    def resume(self) -> None:
        """It reads again."""
        self._is_open.set()

    async def wait(self) -> None:
        """Come back when it reads."""
        await self._is_open.wait()


async def pour(
    pieces: AsyncGenerator[bytes], exchange: Exchange, status: int, head: bytes, length: int | None = None
) -> None:
    """Reply with pieces, none of them empty, each of which is asked for when the client has read the one before.

    What the first one raises can still be told.
    """
    gate = Gate()
    async with aclosing(pieces):
        piece = await anext(pieces, b"")
        exchange.start(status, head, length)
        exchange.flow_to(gate)
        while piece:
            exchange.write(piece)
            # Others in the event loop have their turn, however fast the client is.
            await asyncio.sleep(0)
            await gate.wait()
            piece = await anext(pieces, b"")
    exchange.finish()
