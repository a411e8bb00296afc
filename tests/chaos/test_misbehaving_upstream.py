"""An upstream that misbehaves in every way we know of, seen by the upstream client.

Each case is a script that the server plays on every connection, and what the caller must get. Whatever happens, the
client does not hang, raises one of our errors or gives a whole answer, and leaves no connection, place, task or socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop

from pointsman.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.settings import Timeouts, UpstreamSettings

Script = Callable[["Peer"], Awaitable[None]]

PATIENT = Timeouts(connect=10, first_byte=10, idle=10, total=20)
IMPATIENT = Timeouts(connect=10, first_byte=0.15, idle=0.15, total=1)
GUARD = 30
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Peer:
    """The server's end of one connection. ``number`` counts connections from 0."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b"content-length: 2\r\n" in head:
            await self.reader.readexactly(2)
        return head

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def silence(self) -> None:
        """Wait until the client leaves."""
        while await self.reader.read(65_536):
            pass

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def answers(*pieces: bytes, then: str = "close") -> Script:
    """Read the request, say the pieces, and then close, reset or be silent."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            await peer.say(piece)
            await asyncio.sleep(0)
        if then == "reset":
            peer.reset()
        elif then == "silence":
            await peer.silence()

    return script


async def close_at_once(peer: Peer) -> None:
    peer.writer.close()


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def speak_first(peer: Peer) -> None:
    await peer.say(b"220 mail.test ESMTP\r\n")
    await peer.silence()


async def never_read(peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.get_running_loop().create_future()


async def endless_interim(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.say(b"HTTP/1.1 102 Processing\r\n\r\n")


async def endless_head(peer: Peer) -> None:
    await peer.request()
    await peer.say(OK + b"X: ")
    while True:
        await peer.say(b"a" * 10_000)


async def endless_headers(peer: Peer) -> None:
    await peer.request()
    await peer.say(OK)
    while True:
        await peer.say(b"X: y\r\n" * 1000)


async def endless_trailer(peer: Peer) -> None:
    await peer.request()
    await peer.say(CHUNKED + b"0\r\n")
    while True:
        await peer.say(b"X: y\r\n" * 1000)


async def endless_extension(peer: Peer) -> None:
    await peer.request()
    await peer.say(CHUNKED + b"5;")
    while True:
        await peer.say(b"a" * 10_000)


async def endless_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(CHUNKED)
    while True:
        await peer.say(b"5\r\nhello\r\n" * 1000)


async def drip_head(peer: Peer) -> None:
    await peer.request()
    while True:
        for byte in OK + b"X-Slow: " + b"x" * 60_000:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0.01)


async def drip_answer(peer: Peer) -> None:
    await peer.request()
    for byte in CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n":
        await peer.say(bytes([byte]))
        await asyncio.sleep(0)


async def drip_body_forever(peer: Peer) -> None:
    await peer.request()
    await peer.say(OK + b"\r\n")
    while True:
        await peer.say(b"x")
        await asyncio.sleep(0.02)


async def extra_bytes(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
    await peer.silence()


async def garbage_while_idle(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO)
    await asyncio.sleep(0)
    await peer.say(HELLO)
    await peer.silence()


async def close_while_idle(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO)


async def close_on_second_request(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO)
    await peer.request()


async def reset_on_second_request(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO)
    await peer.request()
    peer.reset()


async def half_head_on_second_request(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO)
    await peer.request()
    await peer.say(b"HTTP/1.1 2")


async def refuse_early(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello")
    await peer.silence()


async def body_after_head(peer: Peer) -> None:
    await peer.request()
    await peer.say(HELLO)
    await peer.silence()


class Case(NamedTuple):
    script: Script
    expected: type[UpstreamError] | int
    """An error of ours, or the status of a good answer whose body is ``hello`` (``HEAD``, 204: empty)."""
    request: str = "POST"
    again: type[UpstreamError] | int | None = None
    """What a second request gets."""


BROKEN, TIMEOUT = UpstreamBroken, UpstreamTimeout

CASES: dict[str, Case] = {
    "closes at once": Case(close_at_once, BROKEN),
    "resets at once": Case(reset_at_once, BROKEN),
    "speaks first": Case(speak_first, BROKEN),
    "closes after the request": Case(answers(), BROKEN),
    "resets after the request": Case(answers(then="reset"), BROKEN),
    "is silent": Case(answers(then="silence"), TIMEOUT),
    "closes inside the status line": Case(answers(b"HTTP/1.1 2"), BROKEN),
    "closes inside a header": Case(answers(OK + b"Content-Le"), BROKEN),
    "resets inside the head": Case(answers(OK, then="reset"), BROKEN),
    "is silent inside the head": Case(answers(OK, then="silence"), TIMEOUT),
    "drips the head": Case(drip_head, TIMEOUT),
    "sends a head without end": Case(endless_head, BROKEN),
    "sends headers without end": Case(endless_headers, BROKEN),
    "sends a head that is too large": Case(answers(OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n"), BROKEN),
    "sends too many headers": Case(answers(OK + b"X: y\r\n" * 300 + b"Content-Length: 0\r\n\r\n"), BROKEN),
    "is silent after the head": Case(answers(HELLO[:-5], then="silence"), TIMEOUT),
    "closes after the head": Case(answers(HELLO[:-5]), BROKEN),
    "closes inside the body": Case(answers(HELLO[:-1]), BROKEN),
    "resets inside the body": Case(answers(HELLO[:-1], then="reset"), BROKEN),
    "is silent inside the body": Case(answers(HELLO[:-1], then="silence"), TIMEOUT),
    "drips a body for ever": Case(drip_body_forever, TIMEOUT),
    "sends a body without end": Case(endless_body, BROKEN),
    "closes inside a chunk size": Case(answers(CHUNKED + b"5"), BROKEN),
    "closes inside a chunk": Case(answers(CHUNKED + b"5\r\nhel"), BROKEN),
    "closes between chunks": Case(answers(CHUNKED + b"5\r\nhello\r\n"), BROKEN),
    "closes before the last line": Case(answers(CHUNKED + b"5\r\nhello\r\n0\r\n"), BROKEN),
    "resets inside a chunk": Case(answers(CHUNKED + b"5\r\nhel", then="reset"), BROKEN),
    "is silent inside a chunk": Case(answers(CHUNKED + b"5\r\nhel", then="silence"), TIMEOUT),
    "sends a bad chunk size": Case(answers(CHUNKED + b"g\r\nhello\r\n"), BROKEN),
    "sends a negative chunk size": Case(answers(CHUNKED + b"-5\r\nhello\r\n"), BROKEN),
    "sends a huge chunk size": Case(answers(CHUNKED + b"f" * 17 + b"\r\nhello\r\n"), BROKEN),
    "sends a chunk longer than it says": Case(answers(CHUNKED + b"2\r\nhello\r\n0\r\n\r\n"), BROKEN),
    "sends an extension without end": Case(endless_extension, BROKEN),
    "sends a trailer without end": Case(endless_trailer, BROKEN),
    "sends a bad status line": Case(answers(b"HELLO 200\r\n\r\n"), BROKEN),
    "sends a bad status": Case(answers(b"HTTP/1.1 abc OK\r\n\r\n"), BROKEN),
    "sends a status of four digits": Case(answers(b"HTTP/1.1 2000 OK\r\n\r\n"), BROKEN),
    "sends a bad length": Case(answers(OK + b"Content-Length: five\r\n\r\nhello"), BROKEN),
    "sends a negative length": Case(answers(OK + b"Content-Length: -5\r\n\r\nhello"), BROKEN),
    "sends a length too large to be": Case(answers(OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"), BROKEN),
    "sends two lengths": Case(answers(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), BROKEN),
    "sends length and chunks": Case(
        answers(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), BROKEN
    ),
    "sends a coding nobody asked for": Case(answers(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), BROKEN),
    "sends bare line feeds": Case(answers(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), BROKEN),
    "folds a header": Case(answers(OK + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"), BROKEN),
    "puts NUL into a header": Case(answers(OK + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello"), BROKEN),
    "speaks HTTP/2": Case(answers(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), BROKEN),
    "speaks TLS": Case(answers(b"\x15\x03\x03\x00\x02\x02\x46"), BROKEN),
    "switches protocols": Case(answers(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), BROKEN),
    "says continue and is silent": Case(answers(b"HTTP/1.1 100 Continue\r\n\r\n", then="silence"), TIMEOUT),
    "says continue and closes": Case(answers(b"HTTP/1.1 100 Continue\r\n\r\n"), BROKEN),
    "sends interim answers without end": Case(endless_interim, BROKEN),
    "sends an interim answer with a body": Case(
        answers(b"HTTP/1.1 103 X\r\nContent-Length: 1\r\n\r\nx" + HELLO), BROKEN
    ),
    "resets a body that lasts to the end": Case(answers(OK + b"\r\nhello", then="reset"), BROKEN),
    "does not read a request in pieces": Case(never_read, TIMEOUT, request="UPLOAD"),
    "does not read a long request": Case(never_read, TIMEOUT, request="LONG"),
    "resets an upload": Case(reset_at_once, BROKEN, request="UPLOAD"),
    # Strange, but a good answer.
    "sends single bytes": Case(drip_answer, 200),
    "sends interim answers first": Case(
        answers(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n", HELLO), 200
    ),
    "sends a trailer": Case(answers(CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"), 200),
    "ends the body with the connection": Case(answers(OK + b"\r\nhel", b"lo"), 200),
    "speaks HTTP/1.0": Case(answers(b"HTTP/1.0 200 OK\r\n\r\nhello"), 200, again=200),
    "says close and does not": Case(
        answers(OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", then="silence"), 200, again=200
    ),
    "sends more than it said": Case(extra_bytes, 200, again=200),
    "sends a body with 204": Case(answers(b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello"), 204, again=204),
    "sends a body to HEAD": Case(body_after_head, 200, request="HEAD", again=200),
    "refuses early": Case(refuse_early, 413, request="UPLOAD", again=413),
    "refuses a long request early": Case(refuse_early, 413, request="LONG"),
    "speaks while idle": Case(garbage_while_idle, 200, again=200),
    "closes while idle": Case(close_while_idle, 200, again=200),
    "closes on the second request": Case(close_on_second_request, 200, again=200),
    "resets on the second request": Case(reset_on_second_request, 200, again=200),
    "breaks off the second answer": Case(half_head_on_second_request, 200, again=BROKEN),
}


WHILE_IDLE = (garbage_while_idle, close_while_idle)


class Server:
    """Plays one script on every connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(self._play(Peer(reader, writer, self._count))))
        self._count += 1

    async def _play(self, peer: Peer) -> None:
        try:
            await self._script(peer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            peer.writer.close()
            if peer.writer.transport.get_write_buffer_size():
                peer.writer.transport.abort()


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65_536)
        await asyncio.sleep(0)


async def ask(host: Host, kind: str, timeouts: Timeouts = PATIENT) -> tuple[int, bytes]:
    method = b"HEAD" if kind == "HEAD" else b"POST"
    head = b"%b /v1/x HTTP/1.1\r\nhost: %b\r\n" % (method, host.host_header)
    body: bytes | AsyncIterator[bytes] = {"POST": b"hi", "HEAD": b"", "LONG": bytes(16 << 20)}.get(kind) or b""
    if kind == "UPLOAD":
        body = endless()
    response = await host.send(head, body, timeouts=timeouts)
    return response.status, await response.read(1_000_000)


async def expect(host: Host, kind: str, expected: type[UpstreamError] | int) -> None:
    async with asyncio.timeout(GUARD):
        if isinstance(expected, int):
            body = b"" if kind == "HEAD" or expected == 204 else b"hello"
            assert await ask(host, kind) == (expected, body)
        else:
            with pytest.raises(expected) as caught:
                await ask(host, kind, IMPATIENT if expected is TIMEOUT else PATIENT)
            assert type(caught.value) is expected
            assert caught.value.operator_detail
            assert "127.0.0.1" not in caught.value.message


async def play(case: Case) -> None:
    sweeper = Sweeper(asyncio.get_running_loop(), tick=0.02)
    sweeper.start()
    pool = Pool(UpstreamSettings(), sweeper)
    async with Server(case.script) as port:
        host = pool.host(f"http://127.0.0.1:{port}/v1")
        await expect(host, case.request, case.expected)
        if case.again is not None:
            while case.script in WHILE_IDLE and host.open_connections:
                await asyncio.sleep(0)
            await expect(host, case.request, case.again)
        assert host.open_connections == host.idle_connections
        assert host.waiting == 0
        await pool.close()
    assert host.open_connections == 0
    assert not sweeper._members
    sweeper.stop()
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(scope="module", autouse=True)
def _warm_loops() -> None:
    """Make each loop once: libuv keeps two files for the life of the process."""
    for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.sleep(0))


def open_files() -> int:
    listing = Path("/proc/self/fd")
    return sum(1 for _ in listing.iterdir()) if listing.exists() else 0


loops = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@loops
@pytest.mark.parametrize("name", CASES)
def test_an_upstream_that(name: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    before = open_files()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(play(CASES[name]))
    assert open_files() == before


@loops
def test_nobody_listening_is_unreachable(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def refused() -> None:
        pool = Pool(UpstreamSettings(), Sweeper(asyncio.get_running_loop()))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        host = pool.host(f"http://127.0.0.1:{port}")
        with pytest.raises(UpstreamError) as caught:
            await ask(host, "POST")
        assert caught.value.code == "upstream_unreachable"
        assert caught.value.is_retryable
        assert host.open_connections == 0

    before = open_files()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(refused())
    assert open_files() == before


def test_there_are_enough_ways_to_misbehave() -> None:
    assert len(CASES) >= 25
