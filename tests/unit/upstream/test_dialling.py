from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pointsman.errors import CONNECT_TIMEOUT, Overloaded, UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream import dialling
from pointsman.upstream.dialling import Route, connect, dial
from pointsman.upstream.pool import Pool
from pointsman.upstream.resolving import Resolver
from pointsman.upstream.settings import Timeouts

MakePool = Callable[..., Pool]
Serve = Callable[..., Awaitable[int]]
V4 = socket.AF_INET


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_socket_sends_at_once_and_probes_its_peer(serve: Serve) -> None:
    sock = await connect(Resolver(asyncio.get_running_loop()), "127.0.0.1", await serve(nothing))
    with sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not sock.getblocking()


class Loop:
    """A loop whose resolver and connections are the test's."""

    def __init__(self, addresses: list[str], answers: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._addresses = addresses
        self._answers = answers
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []

    def time(self) -> float:
        return self._loop.time()

    def create_future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        return [(V4, socket.SOCK_STREAM, 6, "", (address, port)) for address in self._addresses]

    async def sock_connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        self.tried.append(address[0])
        self.sockets.append(sock)
        answer = self._answers[address[0]]
        if isinstance(answer, Exception):
            raise answer
        await answer

    def create_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return self._loop.create_task(coroutine)


async def at_once() -> None:
    pass


async def race(loop: Loop) -> str:
    sock = await connect(Resolver(loop), "name.test", 80)  # type: ignore[arg-type]
    index = loop.sockets.index(sock)
    sock.close()
    return loop.tried[index]


async def test_an_address_that_refuses_gives_way_to_the_next_at_once() -> None:
    loop = Loop(["10.0.0.1", "10.0.0.2"], {"10.0.0.1": ConnectionRefusedError(), "10.0.0.2": at_once()})
    assert await race(loop) == "10.0.0.2"
    assert all(sock.fileno() == -1 for sock in loop.sockets)


async def test_an_address_that_is_silent_is_raced_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "ATTEMPT_DELAY", 0.01)
    silence = asyncio.get_running_loop().create_future()
    loop = Loop(["10.0.0.1", "10.0.0.2"], {"10.0.0.1": silence, "10.0.0.2": at_once()})
    assert await race(loop) == "10.0.0.2"
    for _ in range(3):
        await asyncio.sleep(0)
    assert silence.cancelled()
    assert all(sock.fileno() == -1 for sock in loop.sockets)


async def test_when_every_address_refuses_the_last_refusal_is_told() -> None:
    errors = {"10.0.0.1": ConnectionRefusedError("first"), "10.0.0.2": ConnectionRefusedError("second")}
    loop = Loop(["10.0.0.1", "10.0.0.2"], errors)
    with pytest.raises(ConnectionRefusedError, match="second"):
        await race(loop)
    assert all(sock.fileno() == -1 for sock in loop.sockets)


async def test_a_cancelled_race_closes_every_socket() -> None:
    waiting = [asyncio.get_running_loop().create_future() for _ in range(2)]
    loop = Loop(["10.0.0.1", "10.0.0.2"], dict(zip(["10.0.0.1", "10.0.0.2"], waiting, strict=True)))
    task = asyncio.ensure_future(race(loop))
    while not loop.tried:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    for _ in range(3):
        await asyncio.sleep(0)
    assert all(sock.fileno() == -1 for sock in loop.sockets)


async def test_a_name_without_addresses_cannot_be_connected() -> None:
    with pytest.raises(OSError, match="no address"):
        await race(Loop([], {}))


def never() -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), UpstreamUnreachable),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), UpstreamUnreachable),
        (OSError(errno.ENETUNREACH, "no"), UpstreamUnreachable),
        (TimeoutError(errno.ETIMEDOUT, "slow"), UpstreamTimeout),
        (OSError(errno.EMFILE, "full"), Overloaded),
    ],
)
async def test_causes_become_our_errors_and_the_address_is_for_the_operator_only(
    cause: OSError, expected: type[Exception]
) -> None:
    loop: Any = Loop(["10.0.0.1"], {"10.0.0.1": cause})
    with pytest.raises(expected) as caught:
        await dial(Resolver(loop), Route(host="name.test", port=81), never, 5)
    assert "name.test:81" in str(caught.value.operator_detail)  # type: ignore[attr-defined]
    assert "name.test" not in str(caught.value)


async def test_the_time_to_connect_is_bounded() -> None:
    loop: Any = Loop(["10.0.0.1"], {"10.0.0.1": asyncio.get_running_loop().create_future()})
    with pytest.raises(UpstreamTimeout) as caught:
        await dial(Resolver(loop), Route(host="name.test", port=81), never, 0.01)
    assert caught.value.code == CONNECT_TIMEOUT
    assert loop.sockets[0].fileno() == -1


async def test_a_name_that_nobody_knows_is_unreachable(make_pool: MakePool) -> None:
    host = make_pool().host("http://unknown.invalid")
    with pytest.raises(UpstreamUnreachable):
        await host.send(b"GET / HTTP/1.1\r\n", b"", timeouts=Timeouts(connect=20))
    assert host.open_connections == 0


async def test_ipv6_is_called_like_anything_else(make_pool: MakePool, serve: Serve, echo: Any) -> None:
    try:
        port = await serve(echo, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    host = make_pool().host(f"http://[::1]:{port}/v1")
    head = b"GET / HTTP/1.1\r\nhost: %b\r\n" % host.host_header
    seen = await (await host.send(head, b"", timeouts=Timeouts())).read(1000)
    assert seen == b"GET / HTTP/1.1\r\nhost: [::1]:%d\r\n\r\n" % port
