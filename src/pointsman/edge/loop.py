"""An event loop that accepts every waiting connection at once.

libuv, and so uvloop, accepts one connection per turn of the loop. When the loop is saturated a turn takes many
milliseconds, and the last of two thousand clients waits seconds to be accepted while everything behind the accept
is quick. Here a readable listening socket is drained, at most ``BATCH`` connections at a time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvloop

log = logging.getLogger(__name__)

BATCH = 256
BACKLOG = 4096
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
RETRY_AFTER = 0.2
SILENCE = 60.0
"""Seconds between two complaints of the same."""


class Acceptor:
    """A listening socket, with as much of the interface of :class:`asyncio.Server` as uvicorn uses."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        ssl: Any = None,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._ssl = ssl
        self._pending: set[asyncio.Task[Any]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._is_open = True
        self._silent_until = 0.0
        listener.setblocking(False)
        loop.add_reader(listener.fileno(), self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket."""
        return (self._listener,)

    def _accept(self, most: int = BATCH) -> None:
        for _ in range(most):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_DESCRIPTORS:
                    raise
                # Without a rest the loop would spin on a socket that stays readable.
                self._complain(error)
                self._loop.remove_reader(self._listener.fileno())
                self._retry = self._loop.call_later(RETRY_AFTER, self._accept_again)
                return
            client.setblocking(False)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._connect(client), name="accept")
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    def _complain(self, error: OSError) -> None:
        now = self._loop.time()
        if now >= self._silent_until:
            self._silent_until = now + SILENCE
            log.warning("cannot accept connections: %s", error.strerror)

    async def _connect(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, client, ssl=self._ssl)
        except (OSError, ValueError) as error:
            # A client that left at once, or a failed TLS handshake: nobody is there to be told.
            log.debug("connection was not established: %s", type(error).__name__)
            client.close()

    def _accept_again(self) -> None:
        self._retry = None
        if self._is_open:
            self._loop.add_reader(self._listener.fileno(), self._accept)
            self._accept()

    def close(self) -> None:
        """Take what waits in the backlog, and stop accepting; connections live on."""
        if not self._is_open:
            return
        self._accept(BACKLOG)
        self._is_open = False
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    async def wait_closed(self) -> None:
        """Wait for connections that were being accepted."""
        if self._pending:
            await asyncio.wait(self._pending)


class EagerLoop(uvloop.Loop):
    """uvloop, with :class:`Acceptor` in place of its TCP server."""

    async def create_server(  # type: ignore[override]  # uvicorn's calls only
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        ssl: Any = None,
        backlog: int = 2048,
        **_: Any,
    ) -> Acceptor:
        """Listen on ``sock``, or on the first address of ``host`` and ``port``."""
        if sock is None:
            infos = await self.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, proto, _name, address = infos[0]
            sock = socket.socket(family, kind, proto)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        sock.listen(backlog)
        return Acceptor(self, sock, protocol_factory, ssl)


def eager_loop() -> asyncio.AbstractEventLoop:
    """Make a loop (uvicorn's ``loop`` setting names this function)."""
    return EagerLoop()
