"""The ASGI callable: start and stop of the gateway inside a server.

Requests do not come this way: the server hands connections to :class:`~pointsman.edge.server.Connection`, which finds
the gateway in the lifespan state that is filled here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from pointsman.edge.gateway import Gateway
from pointsman.edge.tuning import tune_process

Message = MutableMapping[str, Any]


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
            tune_process()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
