"""The fault proxy does what the tests that use it take for granted."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from chaos.faults import HOST, Fault, Proxy
from chaos.processes import FaultProxy, exchange

REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
STREAM_REQUEST = b'POST /x HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"stream": true}'
ANSWER = bytes(range(100))
GUARD = 10


@dataclass
class Stage:
    """An upstream that answers every request alike, and the proxy before it."""

    proxy: Proxy
    slept: list[float] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self.proxy.port)
        self.opened.append(writer)
        return reader, writer

    async def ask(self, fault: Fault, request: bytes = REQUEST) -> asyncio.StreamReader:
        """Send a request under a fault."""
        self.proxy.put(fault)
        reader, writer = await self.connect()
        writer.write(request)
        return reader

    async def until(self, claim: Callable[[], bool]) -> None:
        while not claim():
            await asyncio.sleep(0)


async def a_few_turns() -> None:
    """Let the loop take up and put away the connections that were just made and closed."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture(name="stage")
async def new_stage() -> AsyncIterator[Stage]:
    answering = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(task := asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                stage.requests.append(await reader.readexactly(len(REQUEST)))
                writer.write(ANSWER)
                await writer.drain()
        writer.close()
        answering.remove(task)

    async def sleep(seconds: float) -> None:
        stage.slept.append(seconds)
        await asyncio.sleep(0)

    upstream = await asyncio.start_server(answer, HOST, 0)
    async with asyncio.timeout(GUARD):
        stage = Stage(Proxy(upstream.sockets[0].getsockname()[1], sleep))
        yield stage
        for writer in stage.opened:
            writer.close()
        await stage.proxy.close()
        await a_few_turns()
        upstream.close()
        await stage.until(lambda: not answering)
        await a_few_turns()


async def test_without_a_fault_everything_passes_and_is_counted(stage: Stage) -> None:
    reader, writer = await stage.connect()
    for _ in range(2):
        writer.write(REQUEST[:20])
        writer.write(REQUEST[20:])
        assert await reader.readexactly(len(ANSWER)) == ANSWER
    assert stage.requests == [REQUEST, REQUEST]
    counts = stage.proxy.counts
    assert (counts.begun, counts.ended, counts.late, counts.open) == (2, 1, 0, 1)
    writer.close()
    await stage.until(lambda: counts.ended == 2 and not counts.open)


async def test_latency_jitter_and_bandwidth_are_waited_for_piece_by_piece(stage: Stage) -> None:
    fault = Fault(latency=1, jitter=0.5, bandwidth=100, slice=50, seed=7)
    for _ in range(2):
        reader = await stage.ask(fault)
        assert await reader.readexactly(len(ANSWER)) == ANSWER
    first, second, *again = stage.slept
    assert 1.5 <= first <= 2
    assert 1.5 <= second <= 2
    assert first != second
    assert again == [first, second]


async def test_an_answer_is_passed_on_in_slices(stage: Stage) -> None:
    reader = await stage.ask(Fault(slice=30))
    assert await reader.readexactly(len(ANSWER)) == ANSWER
    assert len(stage.slept) == 4


@pytest.mark.parametrize("size", [None, 7])
async def test_one_byte_of_an_answer_is_corrupted(stage: Stage, size: int | None) -> None:
    reader = await stage.ask(Fault(corrupt_at=40, slice=size))
    assert await reader.readexactly(len(ANSWER)) == ANSWER[:40] + bytes([40 ^ 0xFF]) + ANSWER[41:]


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("place", [0, 1, 42, 100])
async def test_an_answer_is_cut_by_closing(stage: Stage, place: int, size: int | None) -> None:
    reader = await stage.ask(Fault(stop_at=place, slice=size))
    assert await reader.read() == ANSWER[:place]
    await stage.until(lambda: stage.proxy.counts.ended == 1)


@pytest.mark.parametrize("place", [0, 42])
async def test_an_answer_is_cut_by_a_reset(stage: Stage, place: int) -> None:
    reader = await stage.ask(Fault(stop_at=place, stop_by="reset"))
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_a_half_closed_connection_is_read_on(stage: Stage) -> None:
    reader = await stage.ask(Fault(stop_at=42, stop_by="half_close"))
    assert await reader.read() == ANSWER[:42]
    stage.opened[0].write(REQUEST)
    await stage.until(lambda: len(stage.requests) == 2)
    assert stage.proxy.counts.open == 1


@pytest.mark.parametrize(("fault", "said"), [(Fault(stop_at=42, stop_by="stall"), 42), (Fault(is_silent=True), 0)])
async def test_a_stalled_connection_says_nothing_more_until_it_is_left(stage: Stage, fault: Fault, said: int) -> None:
    reader = await stage.ask(fault)
    assert await reader.readexactly(said) == ANSWER[:said]
    await stage.until(lambda: stage.proxy.counts.begun == 1)
    assert stage.proxy.counts.ended == 0
    stage.opened[0].write_eof()
    assert await reader.read() == b""
    await stage.until(lambda: stage.proxy.counts.ended == 1)


async def test_a_fault_holds_for_open_connections(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(REQUEST)
    await reader.readexactly(len(ANSWER))
    stage.proxy.put(Fault(stop_at=3))
    writer.write(REQUEST)
    assert await reader.read() == ANSWER[:3]


async def test_an_answer_is_said_in_the_upstreams_place(stage: Stage) -> None:
    fault = Fault(answer="whole \xff", stream_answer="stream", stop_at=6)
    assert await (await stage.ask(fault)).read() == b"whole "
    assert await (await stage.ask(fault, STREAM_REQUEST)).read() == b"stream"
    assert stage.requests == []


async def test_requests_that_begin_after_five_failures_are_late(stage: Stage) -> None:
    stage.proxy.put(Fault(answer="no"))
    reader, writer = await stage.connect()
    for _ in range(7):
        writer.write(REQUEST)
        await reader.readexactly(2)
    assert stage.proxy.counts.late == 2


async def test_a_closed_proxy_refuses_and_resets_and_can_open_again(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(REQUEST)
    await reader.readexactly(len(ANSWER))
    stage.proxy.put(Fault(is_closed=True))
    with pytest.raises(ConnectionResetError):
        await reader.read()
    with pytest.raises(ConnectionRefusedError):
        await stage.connect()
    assert await (await stage.ask(Fault())).readexactly(len(ANSWER)) == ANSWER


@pytest.mark.parametrize("is_deaf", [True, False])
async def test_a_deaf_proxy_lets_connecting_hang(stage: Stage, *, is_deaf: bool) -> None:
    stage.proxy.put(Fault(is_deaf=is_deaf))
    with socket.socket() as client:
        client.setblocking(False)
        # On loopback the handshake is made within the call, if anybody takes it.
        client.connect_ex((HOST, stage.proxy.port))
        assert bool(select.select([], [client], [], 0)[1]) == (not is_deaf)


async def test_the_process_takes_faults_and_tells_counts() -> None:
    def drive() -> Any:
        with FaultProxy(1) as proxy:
            proxy.put(is_silent=True)
            status, text = exchange(proxy.ports[1], "PUT", "/fault", b'{"latency": "x"}')
            assert (status, "latency" in text.decode()) == (400, True)
            assert exchange(proxy.ports[1], "GET", "/nothing")[0] == 404
            return proxy.counts()

    assert (await asyncio.to_thread(drive)).begun == 0
