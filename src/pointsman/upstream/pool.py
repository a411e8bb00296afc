"""The pool: hosts, their connections, and who waits for one.

A request takes the connection that became idle last; the oldest ones can then expire. Without an idle one
it dials, up to the host's cap; at the cap it waits in line. A *place* is the right to have one connection:
it is taken before dialling and given back when dialling fails or the connection closes, to the first in
line if there is one.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from functools import partial
from weakref import WeakSet

import msgspec

from pointsman.errors import CONNECT_TIMEOUT, Overloaded, UpstreamBroken, UpstreamTimeout
from pointsman.upstream.connection import Connection, StaleConnection
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.dialling import Route, dial
from pointsman.upstream.guard import Guard, GuardedResolver
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.resolving import Resolver
from pointsman.upstream.response import Response
from pointsman.upstream.routes import Origin, parse_origin, route_to
from pointsman.upstream.settings import Proxies, Timeouts, UpstreamSettings
from pointsman.upstream.tls import SessionContext, client_context
from pointsman.upstream.uploads import upload

CLOSE_TIMEOUT = 5.0
"""Seconds that ``close`` waits for sockets that were told to close."""


class Host:
    """One scheme, name and port, and all connections to it. Made by :meth:`Pool.host`."""

    def __init__(
        self,
        origin: Origin,
        route: Route,
        settings: UpstreamSettings,
        sweeper: Sweeper,
        resolver: Resolver,
        outbox: Outbox,
    ) -> None:
        self.name = route.name
        self.host_header = origin.host_header
        self.connects_total = 0
        self.reuses_total = 0
        self.stale_retries_total = 0
        self._sweeper = sweeper
        self._loop = sweeper.loop
        self._route = route
        self._resolver = resolver
        self._most = settings.max_connections_per_host
        self._most_waiting = settings.max_waiting_per_host
        # A proxy that reads requests itself wants the whole address in the request line (RFC 9112, section
        # 3.2.2).
        self._absolute: tuple[bytes, bytes] | None = None
        if route.proxy is not None and route.tls is None:
            self._absolute = (b"http://" + origin.host_header, route.proxy.lines)
        self._make = partial(
            Connection,
            self,
            sweeper,
            outbox,
            keepalive=settings.keepalive,
            max_head_bytes=settings.max_head_bytes,
            on_first_answer=route.tls.remember if isinstance(route.tls, SessionContext) else None,
        )
        self._places = 0
        self._idle: dict[Connection, None] = {}
        self._placed: set[Connection] = set()
        self._closing: set[Connection] = set()
        self._waiters: OrderedDict[asyncio.Future[Connection | None], float] = OrderedDict()
        self._emptied: asyncio.Future[None] | None = None
        self._is_closed = False
        self._is_retired = False

    @property
    def open_connections(self) -> int:
        """Connections, idle or not, and those being dialled."""
        return self._places

    @property
    def idle_connections(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return len(self._waiters)

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        timeouts: Timeouts,
        deadline: float | None = None,
        is_repeatable: bool = True,
    ) -> Response:
        """Send one request; see :meth:`~pointsman.upstream.base.Upstream.send`.

        One that must not be acted on twice is not ``is_repeatable``: it fails with
        :class:`~pointsman.errors.UpstreamBroken` where a kept connection closes before any byte of an answer, which
        any other is sent again after.
        """
        total = self._sweeper.now + timeouts.total if deadline is None else deadline
        if self._absolute is not None:
            head = self._through_proxy(head, self._absolute)
        connection = self._take_idle() or await self._obtain(timeouts, total)
        if not isinstance(body, bytes):
            return await upload(connection, head, body, length, timeouts, total)
        waiter = connection.begin(head, body, timeouts, total)
        try:
            return await waiter
        except asyncio.CancelledError:
            connection.cancel(waiter)
            raise
        except StaleConnection as error:
            if not is_repeatable:
                raise self._unanswered() from error
        return await self._send_again(head, body, timeouts, total)

    def retire(self) -> None:
        """Keep no connection any more that has no request: nobody new will come. What is in progress goes on."""
        self._is_retired = True
        for connection in tuple(self._idle):
            connection.abort()

    async def close(self) -> None:
        """Close everything; requests in progress and in line fail with ``Overloaded``."""
        self._is_closed = True
        waiters, self._waiters = self._waiters, OrderedDict()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(_shutting_down())
        for connection in tuple(self._placed):
            connection.fail(_shutting_down())
        self._sweeper.discard(self)
        if self._closing:
            self._emptied = self._loop.create_future()
            await asyncio.wait((self._emptied,), timeout=CLOSE_TIMEOUT)

    # Called by connections.

    def on_free(self, connection: Connection) -> None:
        """Hand ``connection`` to the first in line, or keep it."""
        waiter = self._first_in_line()
        if waiter is not None:
            waiter.set_result(connection)
        elif self._is_closed or self._is_retired:
            connection.abort()
        else:
            self._idle[connection] = None

    def on_closed(self, connection: Connection) -> None:
        """Forget ``connection`` and pass its place on, if it has one already."""
        self._idle.pop(connection, None)
        if connection in self._placed:
            self._placed.discard(connection)
            self._closing.add(connection)
            self._give_place_back()

    def on_lost(self, connection: Connection) -> None:
        """Count the socket as closed."""
        self._closing.discard(connection)
        if self._emptied is not None and not self._closing and not self._emptied.done():
            self._emptied.set_result(None)

    def sweep(self, now: float) -> None:
        """Give up waiting where the time is over."""
        overdue = [waiter for waiter, due in self._waiters.items() if now > due + self._sweeper.tick]
        for waiter in overdue:
            del self._waiters[waiter]
            if not waiter.done():
                detail = f"{self.name}: no connection became free in time"
                waiter.set_exception(UpstreamTimeout(code=CONNECT_TIMEOUT, operator_detail=detail))
        if not self._waiters:
            self._sweeper.discard(self)

    # Inside.

    def _take_idle(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.popitem()[0]
            if connection.is_usable:
                self.reuses_total += 1
                return connection
            connection.abort()
        return None

    async def _obtain(self, timeouts: Timeouts, total: float, *, is_again: bool = False) -> Connection:
        """Return a connection that was not idle: a fresh one, or at the cap the next that becomes free.

        A request that is sent again gets a fresh one in any case, and goes to the head of the line.
        """
        while not self._is_closed:
            if self._places >= self._most and self._idle:
                next(iter(self._idle)).abort()
            if self._places < self._most:
                self._places += 1
                return await self._dial(timeouts, total)
            connection = await self._wait(timeouts, total, is_again=is_again)
            if connection is not None and connection.is_usable and is_again:
                # Dial in its place: without being placed it does not give that back.
                self._placed.discard(connection)
                self._closing.add(connection)
                connection.abort()
                connection = None
            if connection is None:
                return await self._dial(timeouts, total)
            if connection.is_usable:
                self.reuses_total += 1
                return connection
            # It died on the way here.
            connection.abort()
        raise _shutting_down()

    async def _wait(self, timeouts: Timeouts, total: float, *, is_again: bool) -> Connection | None:
        """Wait in line for a free connection, or for a place to dial with (``None``)."""
        if len(self._waiters) >= self._most_waiting:
            raise Overloaded(operator_detail=f"{self.name}: too many requests wait for a connection")
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters[waiter] = min(self._sweeper.now + timeouts.first_byte, total)
        if is_again:
            self._waiters.move_to_end(waiter, last=False)
        self._sweeper.add(self)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._return(waiter.result())
            raise

    def _return(self, given: Connection | None) -> None:
        if given is None:
            self._give_place_back()
        elif given.is_usable:
            self.on_free(given)
        else:
            given.abort()

    async def _dial(self, timeouts: Timeouts, total: float) -> Connection:
        """Dial with a place that is already taken."""
        timeout = min(timeouts.connect, total - self._loop.time())
        try:
            connection = await dial(self._resolver, self._route, self._make, timeout)
        except BaseException:
            self._give_place_back()
            raise
        if self._is_closed or not connection.is_usable:
            connection.abort()
            self._give_place_back()
            if self._is_closed:
                raise _shutting_down()
            raise UpstreamBroken(operator_detail=f"{self.name}: closed as soon as it was connected")
        self._placed.add(connection)
        connection.watch()
        self.connects_total += 1
        return connection

    async def _send_again(self, head: bytes, body: bytes, timeouts: Timeouts, total: float) -> Response:
        self.stale_retries_total += 1
        connection = await self._obtain(timeouts, total, is_again=True)
        waiter = connection.begin(head, body, timeouts, total)
        try:
            return await waiter
        except asyncio.CancelledError:
            connection.cancel(waiter)
            raise
        except StaleConnection as error:
            raise self._unanswered() from error

    def _unanswered(self) -> UpstreamBroken:
        return UpstreamBroken(operator_detail=f"{self.name}: closed before any byte of an answer")

    def _first_in_line(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popitem(last=False)[0]
            if not waiter.done():
                return waiter
        return None

    def _give_place_back(self) -> None:
        waiter = self._first_in_line()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._places -= 1

    @staticmethod
    def _through_proxy(head: bytes, absolute: tuple[bytes, bytes]) -> bytes:
        prefix, lines = absolute
        method, rest = head.split(b" ", 1)
        return b"%b %b%b%b" % (method, prefix, rest, lines)


class Pool:
    """All upstream hosts of one event loop, with their settings and TLS.

    With a ``guard`` only such addresses are called as it admits, and no proxy, which would resolve names itself.
    """

    def __init__(
        self, settings: UpstreamSettings, sweeper: Sweeper, outbox: Outbox | None = None, *, guard: Guard | None = None
    ) -> None:
        self._settings = settings if guard is None else msgspec.structs.replace(settings, proxies=Proxies())
        self._outbox = outbox or Outbox(sweeper.loop)
        self._sweeper = sweeper
        self._resolver = Resolver(sweeper.loop) if guard is None else GuardedResolver(sweeper.loop, guard)
        self._hosts: dict[Origin, Host] = {}
        self._retired: WeakSet[Host] = WeakSet()
        self._making = threading.Lock()
        self._context: SessionContext | None = None

    def host(self, base_url: str) -> Host:
        """Return the host of ``base_url``, the same one for equal scheme, name and port.

        Raises ``ValueError`` on an address or proxy that cannot be called, ``OSError`` on a CA file that
        cannot be read. For when deployments are built, in whatever thread, not for each request: hosts are
        kept until they are given up or the pool closes.
        """
        origin = parse_origin(base_url)
        with self._making:
            found = self._hosts.get(origin)
            if found is None:
                route = route_to(origin, self._settings.proxies, self._tls)
                found = self._hosts[origin] = Host(
                    origin, route, self._settings, self._sweeper, self._resolver, self._outbox
                )
            return found

    def give_up(self, origins: Iterable[Origin]) -> None:
        """Forget hosts that nobody names any more; whoever holds one can go on with it."""
        with self._making:
            for origin in origins:
                host = self._hosts.pop(origin, None)
                if host is not None:
                    self._retired.add(host)
                    host.retire()

    def retire(self) -> None:
        """Give up all hosts, because another pool has taken this one's place."""
        self.give_up(tuple(self._hosts))

    def hosts(self) -> Iterable[Host]:
        """Return every host that somebody names or has a request with, for metrics."""
        return (*self._hosts.values(), *self._retired)

    async def close(self) -> None:
        """Close every connection and return when the sockets are closed."""
        await asyncio.gather(*(host.close() for host in self.hosts()))

    def _tls(self) -> SessionContext:
        # Loading the CAs takes tens of milliseconds, which a gateway without an https upstream need not
        # spend.
        if self._context is None:
            self._context = client_context(ca_file=self._settings.ca_file, is_verified=self._settings.verify_tls)
        return self._context


def _shutting_down() -> Overloaded:
    return Overloaded(operator_detail="the gateway is shutting down")
