"""How a server ends without losing a request.

Phases, one after the other::

    SERVING ──▶ NOTIFYING ──▶ FINISHING ──▶ ENDED

- *notifying*: readiness fails, so that load balancers look elsewhere; until they do, connections are still accepted.
- *finishing*: nothing is accepted any more; requests go on, and connections that rest are closed after a while.

In both, each reply says ``Connection: close``. Closing a connection between two requests of a client that uses it would
lose the one on its way; the client that is told closes it itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from typing import Any, cast

import msgspec
from uvicorn import Config, Server

from pointsman.edge.gateway import Gateway
from pointsman.edge.line import Peers
from pointsman.edge.server import Connection

log = logging.getLogger(__name__)

IDLE_SECONDS = 6.0
"""After so much rest a connection is closed: longer than client libraries keep one that they do not use (5 s in
Python's, 4 s in Node's), so that the client closes it and cannot be surprised."""
LAST_TICKS = 20
"""Twentieths of a second for the last bytes of what is ended before its time."""
READY = b"."
"""What a worker says to its parent when it serves."""


class DrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long an end may take; times in seconds."""

    delay: float = 5.0
    """How long load balancers have to notice."""
    timeout: float = 600.0
    """How long requests that run may go on after that."""


class Phase(Enum):
    """Where a server is on its way out."""

    SERVING = auto()
    NOTIFYING = auto()
    FINISHING = auto()
    ENDED = auto()


class Drain:
    """Says which phase it is. Times are seconds of one clock, the caller's."""

    def __init__(self, settings: DrainSettings) -> None:
        self._settings = settings
        self._until = math.inf
        self.phase = Phase.SERVING
        self.is_clean = True
        """Whether nothing was cut short."""

    def begin(self, now: float, *, has_delay: bool) -> None:
        """Leave; no-op when that has begun."""
        if self.phase is Phase.SERVING:
            self.phase = Phase.NOTIFYING
            self._until = now + self._settings.delay if has_delay else now

    def advance(self, now: float, *, is_empty: bool) -> Phase:
        """Move on when it is time; ``is_empty`` says that no connection is left. At most one phase at a time."""
        if self.phase is Phase.NOTIFYING and now >= self._until:
            self.phase = Phase.FINISHING
            self._until = now + self._settings.timeout
        elif self.phase is Phase.FINISHING and (is_empty or now >= self._until):
            self.phase = Phase.ENDED
            self.is_clean = is_empty
        return self.phase

    def force(self) -> None:
        """End at once."""
        self.phase = Phase.ENDED
        self.is_clean = False


class DrainingServer(Server):
    """uvicorn's server, which ends as :class:`Drain` says.

    SIGTERM drains, SIGINT drains without the delay, a second one ends at once; SIGHUP reads the configuration again. A
    worker (``peers`` leads to its parent) leaves the second to its parent, because some supervisors signal parent and
    workers alike. It is retired by the end of its line: a parent that has replaced it closes that, and one that was
    killed too.
    """

    def __init__(self, config: Config, settings: DrainSettings, peers: Peers | None = None) -> None:
        super().__init__(config)
        self._drain = Drain(settings)
        self._peers = peers

    @property
    def is_clean(self) -> bool:
        """Whether nothing was cut short."""
        return self._drain.is_clean

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator's, in uvicorn
        """Uvicorn would raise them once more at the end; ours are handled in :meth:`startup`."""
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_signal, True)
        loop.add_signal_handler(signal.SIGINT, self._on_signal, False)
        loop.add_signal_handler(signal.SIGHUP, self._gateway().reload, "SIGHUP")
        loop.add_signal_handler(
            signal.SIGUSR2, log.warning, "SIGUSR2 restarts the workers of --workers N; not this process"
        )
        if self._peers is not None:
            self._peers.on_end = self._retire
            self._peers.say(READY)
            self._peers.start()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether this is the end."""
        await super().on_tick(counter)
        before = self._drain.phase
        is_empty = not self.server_state.connections and not self._gateway().is_busy()
        phase = self._drain.advance(asyncio.get_running_loop().time(), is_empty=is_empty)
        if phase is Phase.FINISHING:
            if before is not phase:
                await self._stop_accepting()
            for connection in self._connections():
                connection.drain(IDLE_SECONDS)
        return phase is Phase.ENDED

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the gateway: what still runs fails, its client is told, and its connection ends."""
        del sockets
        await self._stop_accepting()
        if left := self._connections():
            log.warning("%d connections are ended before their time", len(left))
        for connection in left:
            connection.shutdown()
        await self.lifespan.shutdown()
        for _ in range(LAST_TICKS):
            if self.server_state.connections:
                await asyncio.sleep(0.05)
        for connection in self._connections():
            connection.cut()

    def _on_signal(self, has_delay: bool) -> None:
        if self._drain.phase is Phase.SERVING or self._peers is not None:
            self._begin(has_delay=has_delay, is_ready=False)
        else:
            self._drain.force()

    def _retire(self) -> None:
        # Others accept in its place: who asks this one for readiness shall not think that the address has none.
        if self._drain.phase is Phase.SERVING:
            self._begin(has_delay=False, is_ready=True)

    def _begin(self, *, has_delay: bool, is_ready: bool) -> None:
        self._drain.begin(asyncio.get_running_loop().time(), has_delay=has_delay)
        self._gateway().drain(is_ready=is_ready)

    def _gateway(self) -> Gateway:
        return cast("Gateway", self.lifespan.state["gateway"])

    async def _stop_accepting(self) -> None:
        for server in self.servers:
            server.close()
            # What was taken from the backlog is a connection afterwards.
            await server.wait_closed()

    def _connections(self) -> list[Connection]:
        return [cast("Any", connection) for connection in self.server_state.connections]
