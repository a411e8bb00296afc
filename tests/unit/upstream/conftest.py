from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from pointsman.upstream.connection import Connection
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import UpstreamSettings

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., Awaitable[int]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Producer:
    """Remembers what a response asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")


class Transport(asyncio.Transport):
    """A socket that never sends: what was written stays in ``written``, ``unsent`` is what the peer has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.is_aborted = False
        self.calls: list[str] = []

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.written += b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class Owner:
    """A pool that only remembers."""

    name = "upstream.test:80"

    def __init__(self) -> None:
        self.free: list[Connection] = []
        self.closed: list[Connection] = []
        self.lost: list[Connection] = []

    def on_free(self, connection: Connection) -> None:
        self.free.append(connection)

    def on_closed(self, connection: Connection) -> None:
        self.closed.append(connection)

    def on_lost(self, connection: Connection) -> None:
        self.lost.append(connection)


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def sweeper() -> AsyncIterator[Sweeper]:
    sweeper = Sweeper(asyncio.get_running_loop(), tick=0.01)
    sweeper.start()
    yield sweeper
    sweeper.stop()


@pytest.fixture
async def make_pool(sweeper: Sweeper) -> AsyncIterator[Callable[..., Pool]]:
    pools: list[Pool] = []

    def make(**settings: Any) -> Pool:
        pools.append(Pool(UpstreamSettings(**settings), sweeper))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
        assert all(host.open_connections == 0 for host in pool.hosts())


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(handler: Handler, *, ssl: Any = None, host: str = "127.0.0.1") -> int:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(run(reader, writer))
            tasks.add(task)

        server = await asyncio.start_server(accept, host, 0, ssl=ssl)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await asyncio.sleep(0)


async def _read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    body = b""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            body = await reader.readexactly(int(line[15:]))
        elif line == b"transfer-encoding: chunked":
            body = await reader.readuntil(b"0\r\n\r\n")
    return head, body


@pytest.fixture
def read_request() -> Callable[[asyncio.StreamReader], Awaitable[tuple[bytes, bytes]]]:
    return _read_request


@pytest.fixture
def echo() -> Handler:
    """Answers each request of a connection with its head and body, for as long as the peer likes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await _read_request(reader)
            whole = head + body
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(whole), whole))

    return handle
