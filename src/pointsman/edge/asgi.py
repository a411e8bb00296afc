"""The ASGI callable: start and stop of the gateway inside a server.

Requests do not come this way: the server hands connections to :class:`~pointsman.edge.server.Connection`, which finds
the gateway in the lifespan state that is filled here.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from pointsman.edge.gateway import Gateway

Message = MutableMapping[str, Any]
YOUNG_OBJECTS = 20_000
"""A request in flight is a few dozen objects that live for seconds: looking at them every 700 allocations finds
nothing and costs a tenth of the throughput."""


class Lifespan:
    """Runs a gateway for as long as its server runs."""

    def __init__(self, running: Callable[[], AbstractAsyncContextManager[Gateway]]) -> None:
        self._running = running

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve the ``lifespan`` scope of ASGI 3.0."""
        if scope["type"] != "lifespan":
            raise RuntimeError("requests are served by pointsman.edge.server, not through ASGI")
        await receive()
        async with self._running() as gateway:
            scope["state"]["gateway"] = gateway
            # What lives from here to the end need not be traversed again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG_OBJECTS, 50, 100)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
