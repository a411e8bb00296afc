from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pointsman.errors import InternalError, UpstreamBroken
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.settings import Timeouts

MakePool = Callable[..., Pool]
Serve = Callable[..., Awaitable[int]]
TIMEOUTS = Timeouts(connect=5, first_byte=5, idle=5, total=20)
HEAD = b"POST /x HTTP/1.1\r\nhost: h\r\n"


class Pieces:
    """An iterator that tells whether it was closed."""

    def __init__(self, *pieces: bytes | BaseException, is_endless: bool = False) -> None:
        self._pieces = list(pieces)
        self._is_endless = is_endless
        self.taken = 0
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if self._is_endless:
            self.taken += 1
            return bytes(65_536)
        if self.taken == len(self._pieces):
            raise StopAsyncIteration
        piece = self._pieces[self.taken]
        self.taken += 1
        if isinstance(piece, BaseException):
            raise piece
        return piece

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.fixture
def connect(make_pool: MakePool, serve: Serve) -> Callable[[Any], Awaitable[Host]]:
    async def start(handler: Any) -> Host:
        return make_pool().host(f"http://127.0.0.1:{await serve(handler)}")

    return start


Connect = Callable[[Any], Awaitable[Host]]


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\n")
    writer.write(b"big")
    await swallow(reader, writer)


async def test_pieces_of_unknown_length_are_sent_in_chunks(connect: Connect, echo: Any) -> None:
    host = await connect(echo)
    for _ in range(2):
        body = Pieces(b"ab", b"", b"c" * 20)
        seen = await (await host.send(HEAD, body, timeouts=TIMEOUTS)).read(1000)
        assert seen == HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n14\r\n" + b"c" * 20 + b"\r\n0\r\n\r\n"
        assert body.is_closed
    assert host.connects_total == 1


async def test_pieces_of_known_length_are_sent_as_they_are(connect: Connect, echo: Any) -> None:
    host = await connect(echo)
    seen = await (await host.send(HEAD, Pieces(b"ab", b"", b"c"), length=3, timeouts=TIMEOUTS)).read(1000)
    assert seen == HEAD + b"content-length: 3\r\n\r\nabc"
    assert host.idle_connections == 1


@pytest.mark.parametrize("pieces", [(b"abcd",), (b"ab", b"cd"), (b"a",), ()])
async def test_pieces_that_do_not_add_up_are_our_error_and_end_the_connection(
    connect: Connect, pieces: tuple[bytes, ...]
) -> None:
    host = await connect(swallow)
    body = Pieces(*pieces)
    with pytest.raises(InternalError):
        await host.send(HEAD, body, length=3, timeouts=TIMEOUTS)
    assert host.open_connections == 0


async def test_what_the_iterator_raises_is_raised_and_ends_the_connection(connect: Connect) -> None:
    host = await connect(swallow)
    with pytest.raises(KeyError):
        await host.send(HEAD, Pieces(b"a", KeyError("mine")), timeouts=TIMEOUTS)
    assert host.open_connections == 0


async def test_an_early_answer_ends_the_upload_and_is_returned(connect: Connect) -> None:
    host = await connect(refuse_early)
    body = Pieces(is_endless=True)
    response = await host.send(HEAD, body, timeouts=TIMEOUTS)
    assert response.status == 413
    assert body.is_closed
    taken = body.taken
    assert await response.read(10) == b"big"
    assert body.taken == taken
    assert host.open_connections == 0


async def test_an_early_answer_does_not_wait_for_a_producer_that_hangs(connect: Connect) -> None:
    async def hang() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.get_running_loop().create_future()

    host = await connect(refuse_early)
    response = await host.send(HEAD, hang(), timeouts=TIMEOUTS)
    assert await response.read(10) == b"big"
    assert host.open_connections == 0


async def test_a_slow_reader_holds_the_producer_back(connect: Connect) -> None:
    may_read = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await may_read.wait()
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    produced: list[int] = []

    async def many() -> AsyncIterator[bytes]:
        for number in range(1000):
            produced.append(number)
            yield bytes(65_536)

    host = await connect(late)
    sending = asyncio.ensure_future(host.send(HEAD, many(), timeouts=Timeouts(idle=0.05)))
    with pytest.raises(Exception, match="in time"):
        await sending
    assert 0 < len(produced) < 500
    assert host.open_connections == 0


async def test_cancelling_an_upload_closes_the_connection_and_the_iterator(connect: Connect) -> None:
    host = await connect(swallow)
    body = Pieces(is_endless=True)
    sending = asyncio.ensure_future(host.send(HEAD, body, timeouts=TIMEOUTS))
    async with asyncio.timeout(5):
        while body.taken < 3:
            await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert host.open_connections == 0
    async with asyncio.timeout(5):
        while not body.is_closed:
            await asyncio.sleep(0)


async def test_a_connection_that_dies_during_an_upload_is_broken(connect: Connect) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    host = await connect(leave)
    body = Pieces(is_endless=True)
    with pytest.raises(UpstreamBroken):
        await host.send(HEAD, body, timeouts=TIMEOUTS)
    assert body.is_closed
    assert host.open_connections == 0
