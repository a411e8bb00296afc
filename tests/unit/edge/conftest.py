from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pointsman.edge.exchange import Exchange
from pointsman.edge.loop import Acceptor
from pointsman.edge.reply import error_reply, json_reply
from pointsman.edge.server import Connection
from pointsman.edge.settings import EdgeSettings
from pointsman.errors import GatewayError
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

Answer = Callable[[Exchange], Awaitable[None]]


class State:
    """What uvicorn gives to every connection."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]


class ScriptedGateway:
    """Answers with whatever the test says, and keeps what it saw."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self.sweeper = Sweeper(asyncio.get_running_loop(), 0.02)
        self.sweeper.start()
        self.outbox = Outbox(asyncio.get_running_loop())
        self.seen: list[Exchange] = []
        self.bodies: list[bytes] = []
        self.cancelled = asyncio.Event()
        self.answer: Answer = self.echo

    async def echo(self, exchange: Exchange) -> None:
        body = await exchange.body(1 << 20)
        self.bodies.append(body)
        json_reply(exchange, {"method": exchange.method, "path": exchange.path, "length": len(body)})

    async def handle(self, exchange: Exchange) -> None:
        self.seen.append(exchange)
        exchange.request_id = f"req-{len(self.seen)}"
        try:
            await self.answer(exchange)
        except GatewayError as error:
            error_reply(exchange, error)
        except asyncio.CancelledError:
            self.cancelled.set()

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        error_reply(exchange, error)


class Peer:
    """A client that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> tuple[int, dict[str, str], bytes]:
        """One length-delimited or chunked reply."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            if headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int(await self.reader.readline(), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Wait until the server closes; false if it says anything more."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Edge:
    """A listening server and the way to reach it."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.gateway = ScriptedGateway(settings)
        self.state = State()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self.acceptor = Acceptor(loop, self.listener, self._connection)
        self.peers: list[Peer] = []

    def _connection(self) -> Connection:
        state: Any = self.state
        config: Any = None
        return Connection(config, state, {"gateway": self.gateway}, asyncio.get_running_loop())

    async def connect(self) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.peers.append(peer)
        return peer

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()
        self.acceptor.close()
        for connection in list(self.state.connections):
            connection.cut()
        self.gateway.sweeper.stop()


@pytest.fixture
async def make_edge() -> AsyncIterator[Callable[..., Edge]]:
    edges: list[Edge] = []

    def make(**settings: Any) -> Edge:
        edges.append(Edge(EdgeSettings(**settings)))
        return edges[-1]

    yield make
    for edge in edges:
        await edge.close()
