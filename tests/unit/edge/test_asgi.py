from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pointsman.edge.asgi import Lifespan


@pytest.mark.usefixtures("untuned")
async def test_the_gateway_lives_as_long_as_the_server_says() -> None:
    events: list[str] = []
    gateway: Any = object()

    @asynccontextmanager
    async def running() -> AsyncIterator[Any]:
        events.append("begun")
        yield gateway
        events.append("ended")

    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        message = next(messages)
        events.append(message["type"])
        return message

    async def send(message: Any) -> None:
        events.append(message["type"])

    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    await Lifespan(running)(scope, receive, send)

    assert scope["state"]["gateway"] is gateway
    assert events == [
        "lifespan.startup",
        "begun",
        "lifespan.startup.complete",
        "lifespan.shutdown",
        "ended",
        "lifespan.shutdown.complete",
    ]


async def test_requests_do_not_come_this_way() -> None:
    async def nothing(*_: Any) -> Any:
        return {}

    running: Any = None
    with pytest.raises(RuntimeError, match=r"edge\.server"):
        await Lifespan(running)({"type": "http"}, nothing, nothing)
