"""A gateway and its upstreams in the loop of the test: quick, and nothing happens between two turns unseen."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from pointsman import app
from pointsman.config.loading import load
from pointsman.edge.server import Connection

HOST = "127.0.0.1"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
RESET = struct.pack("ii", 1, 0)


class Server:
    """What uvicorn gives to every connection."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.default_headers: list[tuple[bytes, bytes]] = []


@asynccontextmanager
async def serving(config: str, home: Path) -> AsyncIterator[int]:
    """The port of a gateway with that configuration."""
    file = home / "config.yaml"
    file.write_text(config)
    loaded = load(file, {})
    assert loaded.snapshot is not None, loaded.problems
    loop = asyncio.get_running_loop()
    state: Any = Server()
    unused: Any = None
    async with app.running(loaded.snapshot) as gateway:
        server = await loop.create_server(lambda: Connection(unused, state, {"gateway": gateway}, loop), HOST, 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        for connection in list(state.connections):
            connection.cut()
        while state.connections:
            await asyncio.sleep(0)


class Answering(asyncio.Protocol):
    """A connection of an upstream; calls back for each request and when it has gone."""

    def __init__(self, ask: Callable[[Answering, bytes], None], gone: Callable[[Answering], None]) -> None:
        self._ask = ask
        self._gone = gone
        self._received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        found = LENGTH.search(self._received, 0, head_end + 2)
        end = head_end + 4 + (int(found[1]) if found else 0)
        if len(self._received) >= end:
            request, self._received = self._received[:end], self._received[end:]
            self._ask(self, request)

    def reset(self) -> None:
        """Break the connection off."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


@asynccontextmanager
async def upstream(
    ask: Callable[[Answering, bytes], None], gone: Callable[[Answering], None] = lambda _: None
) -> AsyncIterator[int]:
    """The port of a server that leaves its answers to ``ask``."""
    server = await asyncio.get_running_loop().create_server(lambda: Answering(ask, gone), HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def post(port: int, path: str, body: bytes, key: str) -> tuple[int, bytes, bool]:
    """Status, body and whether that was whole, of a request on a connection of its own."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    data = await reader.read()
    writer.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head:
        return int(head[9:12]), *dechunk(rest)
    found = LENGTH.search(head + b"\r\n")
    return int(head[9:12]), rest, found is not None and len(rest) == int(found[1])


def dechunk(data: bytes) -> tuple[bytes, bool]:
    """What chunks hold, the last one as far as it goes, and whether the end has come."""
    out = bytearray()
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            return bytes(out), False
        size = int(line, 16)
        if not size:
            return bytes(out), data == b"\r\n"
        out += data[:size]
        data = data[size + 2 :]
