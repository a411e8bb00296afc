"""Asking an agent for an answer, however long it takes: for those who have no use for a task that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from pointsman.a2a.base import Call, Gateway
from pointsman.a2a.protocol.answers import Piece, Reading
from pointsman.a2a.protocol.operations import Operation

PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two looks at a task whose agent has answered before it has ended; the last one from then on."""


async def answered(
    gateway: Gateway, call: Call, deadline: float, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> tuple[Reading, list[Piece]]:
    """What an agent says to a message of version 1.0 when it is done, or waits for its client.

    At ``deadline``, in ``loop.time()``, it is given how far it is, if it has begun a task; else that is an end.

    :raises TimeoutError: it has said nothing until then
    :raises RpcError: it refuses
    :raises GatewayError: it may not be asked, or cannot be
    """
    loop, pauses = asyncio.get_running_loop(), iter(PAUSES)
    # Whatever the clock says, there are no more looks than the pauses between them leave room for.
    slept = loop.time()
    async with asyncio.timeout_at(deadline):
        reading = Reading()
        pieces = reading.read(await gateway.ask(call))
    while reading.goes_on and reading.task:
        pause = next(pauses, PAUSES[-1])
        if max(slept, loop.time()) + pause >= deadline:
            break
        await sleep(pause)
        slept += pause
        # The client has asked once: these questions are the gateway's.
        params = msgspec.json.encode({"id": reading.task})
        look = replace(call, operation=Operation.GET, params=params, is_own=True)
        async with asyncio.timeout_at(deadline):
            task = await gateway.ask(look)
        reading = Reading()
        pieces = reading.read(b'{"task":%b}' % task)
    return reading, pieces
