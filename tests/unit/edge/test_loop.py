from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pointsman.edge.loop import Acceptor, eager_loop


class Counting(asyncio.Protocol):
    """Counts connections."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).made += 1


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    Counting.made = 0
    with asyncio.Runner(loop_factory=eager_loop) as runner:
        yield runner


def test_all_waiting_connections_are_accepted_in_a_few_turns(runner: asyncio.Runner) -> None:
    async def run() -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(200)]
        loop = asyncio.get_running_loop()
        server: Any = await loop.create_server(Counting, sock=listener)
        turns = 0
        async with asyncio.timeout(5):
            while Counting.made < len(clients):
                turns += 1
                await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        for client in clients:
            client.close()
        return turns

    assert runner.run(run()) < 50


def test_what_waits_when_accepting_ends_is_accepted_and_nothing_after_it(runner: asyncio.Runner) -> None:
    async def run() -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        address = listener.getsockname()
        server: Any = await asyncio.get_running_loop().create_server(Counting, sock=listener)
        # No turn of the loop lies between the connections and the end.
        clients = [socket.create_connection(address) for _ in range(300)]
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for client in clients:
            client.close()
        return Counting.made

    assert runner.run(run()) == 300


def test_a_server_is_made_from_host_and_port_too(runner: asyncio.Runner) -> None:
    async def run() -> None:
        server: Any = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            async with asyncio.timeout(5):
                while not Counting.made:
                    await asyncio.sleep(0)
        server.close()
        server.close()
        await server.wait_closed()

    runner.run(run())


def test_running_out_of_descriptors_is_a_rest_and_not_an_end(runner: asyncio.Runner) -> None:
    class Listener:
        """Fails once as the kernel does when a process has too many files open."""

        def __init__(self, real: socket.socket) -> None:
            self.real = real
            self.failures = 1

        def accept(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self.real.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    async def run() -> None:
        listener: Any = Listener(socket.create_server(("127.0.0.1", 0)))
        acceptor = Acceptor(asyncio.get_running_loop(), listener, Counting)
        with socket.create_connection(listener.real.getsockname()):
            async with asyncio.timeout(5):
                while not Counting.made:
                    await asyncio.sleep(0.01)
        acceptor.close()
        await acceptor.wait_closed()

    runner.run(run())
