from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from unit.upstream.credentials.scripted import Clock, TokenServer

from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.pool import Pool

Serve = Callable[..., Awaitable[int]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks(logging.getLogger("test"), 100)
    yield tasks
    await tasks.close(5)


@pytest.fixture
def calls(make_pool: Callable[..., Pool]) -> Calls:
    return Calls(make_pool(), make_pool())


@pytest.fixture
async def server(serve: Serve) -> TokenServer:
    server = TokenServer()
    server.url = f"http://127.0.0.1:{await serve(server.handle)}"
    return server
