"""A proxy for any protocol over TCP, which can be slow and can break off."""

from __future__ import annotations

import asyncio
import socket
import struct

HOST = "127.0.0.1"


class Wire:
    """Passes bytes on; what comes back ``delay`` seconds late."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.is_cut = False
        """Whether connections are reset as soon as they are made."""
        self.port = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset all connections, and those that follow."""
        self.is_cut = True
        for writer in self._open:
            reset(writer)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            reset(writer)
            return
        try:
            answers, questions = await asyncio.open_connection(HOST, self._target)
        except OSError:
            reset(writer)
            return
        pair = {writer, questions}
        self._open |= pair
        ways = [
            asyncio.ensure_future(way) for way in (self._pass(reader, questions, 0), self._pass(answers, writer, 1))
        ]
        self._running.update(ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= pair
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._running.difference_update(ways)
            for one in pair:
                one.close()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, share: int) -> None:
        while data := await source.read(65_536):
            await asyncio.sleep(self.delay * share)
            target.write(data)
            await target.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
