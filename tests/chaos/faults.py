"""A proxy between gateway and upstream that does what bad networks and dying servers do.

A fault that is put in force holds from then on, for open connections as for new ones; one that was stopped stays so.
Requests have a ``Content-Length`` or no body, and are passed on when they are complete. An *answer* is everything that
is said between two requests of one connection; places in it count its bytes, head included, from 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

HOST = "127.0.0.1"
BACKLOG = 1024
FILLERS = 4
"""More connections than a backlog of 0 takes."""
ENOUGH_FAILURES = 5
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
STREAMED = re.compile(rb'"stream": ?true')
RESET = struct.pack("ii", 1, 0)

Sleep = Callable[[float], Awaitable[object]]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong; nothing by default. Times in seconds, sizes in bytes."""

    latency: float = 0.0
    """Waited before each piece of an answer."""
    jitter: float = 0.0
    """Up to that much more, drawn evenly."""
    seed: int = 0
    bandwidth: float | None = None
    """Bytes of answers per second and connection."""
    slice: int | None = None
    """The largest piece that is passed on at a time."""
    corrupt_at: int | None = None
    """Where in an answer a byte is turned into its complement."""
    stop_at: int | None = None
    """After how many bytes an answer stops; 0: as soon as the request has come, whether or not an answer would."""
    stop_by: Literal["close", "reset", "stall", "half_close"] = "close"
    """``stall`` says nothing more, ``half_close`` ends its own side only; both go on reading."""
    answer: str | None = None
    """The bytes, as latin-1, that are said to every request in the upstream's place."""
    stream_answer: str | None = None
    """The same for requests that ask for a stream; by default ``answer``."""
    is_silent: bool = False
    """Accept and read, and say nothing."""
    is_closed: bool = False
    """Refuse connections, and reset those that are open."""
    is_deaf: bool = False
    """Keep the backlog full, so that connecting hangs, and be silent on what is open."""


class Counts(msgspec.Struct):
    """Requests since the fault was put in force."""

    begun: int = 0
    ended: int = 0
    """Of these, those whose answer was said in full, was followed by a request, or whose connection has gone."""
    late: int = 0
    """Those that began when five had ended."""
    open: int = 0
    """Connections, those from before included."""


class Proxy:
    """The listening socket, and what holds for all connections."""

    def __init__(self, upstream_port: int, sleep: Sleep = asyncio.sleep) -> None:
        self.upstream_port = upstream_port
        self.sleep = sleep
        self.fault = Fault()
        self.counts = Counts()
        self.random = random.Random(0)
        self._loop = asyncio.get_running_loop()
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._fillers: list[socket.socket] = []
        # Keeps the port while nobody listens there.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._listen()

    def put(self, fault: Fault) -> None:
        """Put a fault in force."""
        self.fault = fault
        self.random = random.Random(fault.seed)
        self.counts = Counts(open=len(self._links))
        self._shut()
        if not fault.is_closed:
            self._listen()
        for link in self._links if fault.is_closed else ():
            link.reset()

    async def close(self) -> None:
        """Leave nothing open."""
        self._shut()
        self._holder.close()
        for task in self._links.values():
            task.cancel()
        await asyncio.gather(*self._links.values(), return_exceptions=True)

    def _listen(self) -> None:
        self._listener = _bound(self.port)
        if not self.fault.is_deaf:
            self._listener.listen(BACKLOG)
            self._loop.add_reader(self._listener.fileno(), self._accept)
            return
        self._listener.listen(0)
        for _ in range(FILLERS):
            self._fillers.append(socket.socket())
            self._fillers[-1].setblocking(False)
            self._fillers[-1].connect_ex((HOST, self.port))

    def _shut(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        while self._fillers:
            self._fillers.pop().close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            link = Link(self, self._listener.accept()[0])
            self._links[link] = task = self._loop.create_task(link.run())
            self.counts.open += 1
            task.add_done_callback(lambda _: self._forget(link))

    def _forget(self, link: Link) -> None:
        del self._links[link]
        self.counts.open -= 1


class Link:
    """A connection of the gateway and one to the upstream, each of which ends with the other."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._writer: asyncio.StreamWriter | None = None
        self._counts: Counts | None = None
        """Where the request at hand is counted, until it has ended."""
        self._said = 0
        self._is_stopped = False

    async def run(self) -> None:
        """Serve it to its end."""
        reader, writer = await asyncio.open_connection(sock=self._client)
        self._writer = writer
        try:
            answers, upstream = await asyncio.open_connection(HOST, self._proxy.upstream_port)
        except OSError:
            writer.close()
            return
        ends = [asyncio.ensure_future(one) for one in (self._requests(reader, upstream), self._answers(answers))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end()
            upstream.close()
            writer.close()
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    def reset(self) -> None:
        """Break it off."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if self._writer is not None:
            self._writer.transport.abort()

    async def _requests(self, client: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        rest = b""
        while data := await client.read(65_536):
            rest += data
            while end := request_end(rest):
                self._begin()
                await self._ask(rest[:end], upstream)
                rest = rest[end:]

    async def _ask(self, request: bytes, upstream: asyncio.StreamWriter) -> None:
        fault = self._proxy.fault
        is_streamed = fault.stream_answer is not None and STREAMED.search(request)
        canned = fault.stream_answer if is_streamed else fault.answer
        if fault.stop_at == 0:
            await self._pass(fault, b"")
        elif canned is not None:
            await self._say(canned.encode("latin-1"))
            if not self._is_stopped:
                self._end()
        elif not (fault.is_silent or fault.is_deaf):
            upstream.write(request)
            await upstream.drain()

    async def _answers(self, upstream: asyncio.StreamReader) -> None:
        while data := await upstream.read(65_536):
            await self._say(data)
        if self._is_stopped:
            # What has stopped is not ended by the upstream any more.
            await asyncio.Event().wait()

    async def _say(self, data: bytes) -> None:
        fault, chance = self._proxy.fault, self._proxy.random
        size = fault.slice or len(data)
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            seconds = fault.latency + fault.jitter * chance.random() + len(piece) / (fault.bandwidth or math.inf)
            await self._proxy.sleep(seconds)
            await self._pass(fault, piece)

    async def _pass(self, fault: Fault, piece: bytes) -> None:
        writer = self._writer
        if self._is_stopped or writer is None:
            return
        start, self._said = self._said, self._said + len(piece)
        if fault.corrupt_at is not None and start <= fault.corrupt_at < self._said:
            at = fault.corrupt_at - start
            piece = piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]
        if fault.stop_at is not None and self._said >= fault.stop_at:
            self._is_stopped = True
            piece = piece[: max(0, fault.stop_at - start)]
        writer.write(piece)
        await writer.drain()
        if not self._is_stopped:
            return
        if fault.stop_by == "half_close":
            writer.write_eof()
        elif fault.stop_by == "reset":
            self.reset()
        elif fault.stop_by == "close":
            writer.close()

    def _begin(self) -> None:
        self._end()
        self._counts = counts = self._proxy.counts
        self._said = 0
        counts.begun += 1
        counts.late += counts.ended >= ENOUGH_FAILURES

    def _end(self) -> None:
        if self._counts is not None:
            self._counts.ended += 1
            self._counts = None


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    sock.setblocking(False)
    return sock


def request_end(data: bytes) -> int:
    """Where the first request ends; 0 while it is not complete."""
    head_end = data.find(b"\r\n\r\n")
    found = LENGTH.search(data, 0, head_end + 2)
    end = head_end + 4 + (int(found[1]) if found else 0)
    return end if head_end >= 0 and end <= len(data) else 0
