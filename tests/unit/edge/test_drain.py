from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn import Config

from pointsman.edge.asgi import Lifespan
from pointsman.edge.drain import READY, Drain, DrainingServer, DrainSettings, Phase
from pointsman.edge.line import Peers
from pointsman.edge.loop import eager_loop
from pointsman.edge.server import Connection
from pointsman.edge.settings import EdgeSettings
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
SETTINGS = DrainSettings(delay=5.0, timeout=100.0)


def advance(drain: Drain, *steps: tuple[float, bool]) -> list[Phase]:
    return [drain.advance(now, is_empty=is_empty) for now, is_empty in steps]


def test_a_server_serves_until_it_is_told_to_leave() -> None:
    assert advance(Drain(SETTINGS), (0, True), (1e9, True)) == [Phase.SERVING] * 2


def test_it_accepts_for_the_delay_and_ends_when_the_last_connection_has() -> None:
    drain = Drain(SETTINGS)
    drain.begin(10.0, has_delay=True)
    phases = advance(drain, (10, True), (14.9, True), (15, True), (20, False), (114.9, False), (114.9, True))
    assert phases == [Phase.NOTIFYING] * 2 + [Phase.FINISHING] * 3 + [Phase.ENDED]
    assert drain.is_clean


def test_the_delay_may_be_left_out() -> None:
    drain = Drain(SETTINGS)
    drain.begin(10.0, has_delay=False)
    assert advance(drain, (10, False), (10, True)) == [Phase.FINISHING, Phase.ENDED]


def test_what_goes_on_for_too_long_is_not_waited_for() -> None:
    drain = Drain(SETTINGS)
    drain.begin(0.0, has_delay=True)
    assert advance(drain, (5, False), (104.9, False), (105, False)) == [Phase.FINISHING, Phase.FINISHING, Phase.ENDED]
    assert not drain.is_clean


def test_it_begins_once() -> None:
    drain = Drain(SETTINGS)
    drain.begin(0.0, has_delay=True)
    drain.begin(4.0, has_delay=True)
    assert advance(drain, (5, True)) == [Phase.FINISHING]
    drain.begin(5.0, has_delay=True)
    assert advance(drain, (5, True)) == [Phase.ENDED]


def test_it_can_be_forced_to_end() -> None:
    drain = Drain(SETTINGS)
    drain.begin(0.0, has_delay=True)
    drain.force()
    assert (advance(drain, (0, True)), drain.is_clean) == ([Phase.ENDED], False)


class FakeGateway:
    """Answers when it is let, and keeps how it was told to drain."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.settings = EdgeSettings()
        self.sweeper = Sweeper(loop, 0.01)
        self.outbox = Outbox(loop)
        self.is_draining = False
        self.has_calls = False
        """Whether calls go on whose clients have left."""
        self.told: list[bool] = []
        self.asked: list[str] = []
        """Who has asked for the configuration to be read again."""
        self.seen = 0
        self.released = asyncio.Event()
        self.failed = asyncio.Event()
        """Set when the gateway is stopped under a stream."""

    def is_busy(self) -> bool:
        return self.has_calls

    def reload(self, who: str) -> None:
        self.asked.append(who)

    def drain(self, *, is_ready: bool) -> None:
        self.is_draining = True
        self.told.append(is_ready)

    async def handle(self, exchange: Any) -> None:
        self.seen += 1
        if exchange.path == "/stream":
            exchange.start(200, b"")
            await self.failed.wait()
            exchange.write(b"an error")
            exchange.finish()
        else:
            await self.released.wait()
            exchange.reply(200, b"", b"ok")


class Running:
    """A server on a socket of its own."""

    def __init__(self, settings: DrainSettings, line: socket.socket | None = None) -> None:
        self.gateway = FakeGateway()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        config = Config(Lifespan(self._running), http=Connection, ws="none", lifespan="on", log_config=None)
        self.server = DrainingServer(config, settings, None if line is None else Peers(line))

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Any]:
        self.gateway.sweeper.start()
        yield self.gateway
        self.gateway.sweeper.stop()
        self.gateway.failed.set()

    async def started(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        await until(lambda: self.server.started)
        return task

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def is_refused(running: Running) -> bool:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await running.connect()
            except ConnectionError:
                return True
            writer.close()
            await asyncio.sleep(0.01)


@pytest.fixture
def runner(untuned: None) -> Iterator[asyncio.Runner]:
    """The loop that servers run on."""
    with asyncio.Runner(loop_factory=eager_loop) as runner:
        yield runner


def test_a_request_that_runs_is_finished_and_its_reply_is_the_last_one(runner: asyncio.Runner) -> None:
    async def run() -> None:
        running = Running(DrainSettings(delay=0.0))
        serving = await running.started()
        reader, writer = await running.connect()
        writer.write(GET)
        await until(lambda: running.gateway.seen == 1)
        running.server._on_signal(has_delay=True)
        assert running.gateway.told == [False]
        assert await is_refused(running)
        running.gateway.released.set()
        reply = await reader.read()
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in reply
        writer.close()
        await serving
        assert running.server.is_clean

    runner.run(run())


def test_a_connection_that_waits_in_the_backlog_when_accepting_ends_is_served(runner: asyncio.Runner) -> None:
    async def run() -> None:
        running = Running(DrainSettings(delay=0.0))
        running.gateway.released.set()
        serving = await running.started()
        # No turn of the loop lies between the connection and the end of accepting.
        with socket.create_connection(running.address) as client:
            client.sendall(GET)
            running.server._on_signal(has_delay=False)
            await running.server._stop_accepting()
            assert running.gateway.seen or running.server.server_state.connections
            await serving
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")

    runner.run(run())


def test_during_the_delay_it_accepts_and_says_that_each_connection_ends(runner: asyncio.Runner) -> None:
    async def run() -> None:
        running = Running(DrainSettings(delay=3600.0))
        running.gateway.released.set()
        serving = await running.started()
        running.server._on_signal(has_delay=True)
        reader, writer = await running.connect()
        writer.write(GET)
        assert b"connection: close" in await reader.read()
        writer.close()
        running.server._on_signal(has_delay=True)
        await serving
        assert not running.server.is_clean

    runner.run(run())


def test_what_is_left_when_it_ends_is_cut(runner: asyncio.Runner) -> None:
    async def run() -> None:
        running = Running(DrainSettings(delay=0.0, timeout=0.0))
        serving = await running.started()
        reader, writer = await running.connect()
        writer.write(GET)
        await until(lambda: running.gateway.seen == 1)
        running.server._on_signal(has_delay=False)
        assert await reader.read() == b""
        writer.close()
        await serving
        assert not running.server.is_clean

    runner.run(run())


def test_a_stream_is_told_that_it_ends_before_its_time_and_nobody_waits_for_connections_that_rest(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointsman.edge.drain.LAST_TICKS", 1_000_000)

    async def run() -> None:
        running = Running(DrainSettings(delay=3600.0))
        serving = await running.started()
        (reader, writer), (_, resting) = await running.connect(), await running.connect()
        writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: running.gateway.seen == 1 and len(running.server.server_state.connections) == 2)
        running.server._on_signal(has_delay=True)
        running.server._on_signal(has_delay=True)
        try:
            async with asyncio.timeout(5):
                assert (await reader.read()).endswith(b"8\r\nan error\r\n0\r\n\r\n")
                await serving
        finally:
            # A loop does not close over what is open.
            for connection in running.server._connections():
                connection.cut()
            writer.close()
            resting.close()
            await asyncio.sleep(0)

    runner.run(run())


def test_a_hangup_has_the_config_read_again(runner: asyncio.Runner) -> None:
    async def run() -> None:
        running = Running(DrainSettings(delay=0.0))
        serving = await running.started()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: running.gateway.asked == ["SIGHUP"])
        running.server._on_signal(has_delay=False)
        await serving

    runner.run(run())


def test_a_worker_says_that_it_serves_and_is_retired_by_the_end_of_its_line(runner: asyncio.Runner) -> None:
    async def run() -> None:
        parent, line = socket.socketpair()
        with line:
            running = Running(SETTINGS, line)
            serving = await running.started()
            await until(lambda: parent.recv(10, socket.MSG_DONTWAIT) == READY)
            parent.close()
            await serving
            # Others serve in its place.
            assert running.gateway.told == [True]
            assert running.server.is_clean

    runner.run(run())


def test_a_worker_leaves_a_second_signal_to_its_parent(runner: asyncio.Runner) -> None:
    async def run() -> None:
        parent, line = socket.socketpair()
        with line, parent:
            running = Running(DrainSettings(delay=0.0), line)
            serving = await running.started()
            reader, writer = await running.connect()
            writer.write(GET)
            await until(lambda: running.gateway.seen == 1)
            for _ in range(3):
                running.server._on_signal(has_delay=True)
            assert await is_refused(running)
            running.gateway.released.set()
            assert b"200" in await reader.read()
            writer.close()
            await serving
            assert running.server.is_clean

    runner.run(run())


def test_a_worker_whose_parent_is_gone_before_it_serves_ends(runner: asyncio.Runner) -> None:
    async def run() -> None:
        parent, line = socket.socketpair()
        parent.close()
        with line:
            running = Running(SETTINGS, line)
            await (await running.started())
            assert running.server.is_clean

    runner.run(run())


def test_calls_that_go_on_without_their_clients_are_waited_for(runner: asyncio.Runner) -> None:
    async def run() -> None:
        running = Running(DrainSettings(delay=0.0))
        running.gateway.has_calls = True
        serving = await running.started()
        running.server._on_signal(has_delay=False)
        assert await is_refused(running)
        assert not serving.done()
        running.gateway.has_calls = False
        await serving
        assert running.server.is_clean

    runner.run(run())
