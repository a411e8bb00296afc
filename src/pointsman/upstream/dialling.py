"""Dialling: from a name to a transport, through the proxy if there is one, with TLS if the scheme says so.

uvloop has no happy eyeballs of its own, so the race between addresses (RFC 8305) is run here, on both loops
alike.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import NoReturn

import msgspec

from pointsman.errors import CONNECT_TIMEOUT, GatewayError, Overloaded, UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream.connection import Connection
from pointsman.upstream.proxy import Proxy, ProxyRefused, open_tunnel
from pointsman.upstream.resolving import Address, Resolver

ATTEMPT_DELAY = 0.25
"""Seconds that one address has before the next is tried beside it (RFC 8305, section 5)."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How a host is reached."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None
    """With TLS to the host it opens a tunnel (``CONNECT``), without it reads each request itself."""
    proxy_tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """``host:port``, for the operator and for ``CONNECT``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def dial(resolver: Resolver, route: Route, make: Callable[[], Connection], seconds: float) -> Connection:
    """Return a connection that is ready for its first request.

    Raises :class:`~pointsman.errors.UpstreamUnreachable` (name, TCP, TLS, proxy),
    :class:`~pointsman.errors.UpstreamTimeout` after ``seconds``, and :class:`~pointsman.errors.Overloaded`
    when this machine has no socket left. Leaves nothing open when it fails.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _open(resolver, route, make)
    except (OSError, ssl.SSLError, ProxyRefused, UnicodeError) as error:
        _translate(route, error)


async def _open(resolver: Resolver, route: Route, make: Callable[[], Connection]) -> Connection:
    loop = resolver.loop
    proxy = route.proxy
    if proxy is None:
        sock = await connect(resolver, route.host, route.port)
        return await _attach(loop, sock, make, route.tls, route.host)
    sock = await connect(resolver, proxy.host, proxy.port)
    if route.tls is None:
        return await _attach(loop, sock, make, route.proxy_tls, proxy.host)
    return await open_tunnel(
        loop,
        sock,
        make,
        proxy=proxy,
        proxy_tls=route.proxy_tls,
        authority=route.name,
        tls=route.tls,
        server_name=route.host,
    )


async def _attach(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    make: Callable[[], Connection],
    tls: ssl.SSLContext | None,
    server_name: str,
) -> Connection:
    try:
        _, connection = await loop.create_connection(
            make, sock=sock, ssl=tls, server_hostname=server_name if tls is not None else None
        )
    except BaseException:
        sock.close()
        raise
    return connection


async def connect(resolver: Resolver, host: str, port: int) -> socket.socket:
    """Return a connected socket. Raises ``OSError`` when no address answers."""
    addresses = await resolver.addresses(host, port)
    if not addresses:
        raise OSError(errno.EADDRNOTAVAIL, "the name has no address")
    try:
        if len(addresses) == 1:
            return await _connect_to(resolver.loop, addresses[0])
        return await _race(resolver.loop, addresses)
    except OSError:
        resolver.forget(host, port)
        raise


async def _race(loop: asyncio.AbstractEventLoop, addresses: list[Address]) -> socket.socket:
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    won: list[socket.socket] = []
    error: BaseException | None = None
    try:
        while not won and (waiting or running):
            if waiting:
                running.add(loop.create_task(_connect_to(loop, waiting.pop())))
            done, running = await asyncio.wait(
                running, timeout=ATTEMPT_DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            won += [task.result() for task in done if task.exception() is None]
            error = next((task.exception() for task in done if task.exception() is not None), error)
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_late)
        for sock in won[1:]:
            sock.close()
    if won:
        return won[0]
    assert error is not None
    raise error


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect_to(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Small writes go out at once, and a peer that vanished is found although nobody sends.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await loop.sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock


def _translate(route: Route, error: Exception) -> NoReturn:
    via = f" by way of the proxy {route.proxy.name}" if route.proxy is not None else ""
    detail = f"{route.name}{via}: {type(error).__name__}: {error}"
    failure: GatewayError
    if isinstance(error, TimeoutError):
        detail = f"{route.name}{via}: could not be connected in time"
        failure = UpstreamTimeout(code=CONNECT_TIMEOUT, operator_detail=detail)
    elif isinstance(error, OSError) and error.errno in _EXHAUSTED:
        failure = Overloaded(operator_detail=detail)
    else:
        failure = UpstreamUnreachable(operator_detail=detail)
    raise failure from error
