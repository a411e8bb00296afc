"""One client connection: HTTP/1.1 in, :class:`~pointsman.edge.exchange.Exchange` out.

uvicorn owns processes, signals and sockets and calls this class where it would call its own protocol. httptools
(llhttp, strict) parses. What neither of them does is done here: a deadline for heads, limits on heads, a check of
``Host``, and backpressure in both directions.

States of a connection, one after the other for each request::

    head ──▶ body ──▶ (reply written) ──▶ head
      │        │
      └────────┴──▶ lingering: a reply went out early; what still arrives is thrown away until the client has read it

At most one request is worked on. What a client pipelines waits its turn: requests that came in the same read in
``_queue``, the bytes of later reads in ``_held`` while reading is paused.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Protocol, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from pointsman.edge.exchange import Exchange
from pointsman.edge.head import MAX_HEADERS, check_coding, check_host, check_size, join_repeated, split_target
from pointsman.edge.settings import EdgeSettings
from pointsman.errors import BodyTimeout, GatewayError, HeadTooLarge, InvalidRequest
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

MAX_PIPELINED = 64
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Server(Protocol):
    """Who answers exchanges."""

    settings: EdgeSettings
    sweeper: Sweeper
    outbox: Outbox
    is_draining: bool

    def handle(self, exchange: Exchange) -> Coroutine[Any, Any, None]: ...
    def refuse(self, exchange: Exchange, error: GatewayError) -> None: ...


class Connection(asyncio.Protocol):
    """Reads requests off one socket and runs them one at a time."""

    __slots__ = (
        "_date",
        "_dated",
        "_deadline",
        "_discarded",
        "_exchange",
        "_headers",
        "_held",
        "_host",
        "_idle",
        "_is_closing",
        "_is_fresh",
        "_is_in_head",
        "_is_lingering",
        "_is_muted",
        "_is_reading",
        "_is_releasing",
        "_is_upgrading",
        "_known_url",
        "_loop",
        "_on_deadline",
        "_outbox",
        "_parser",
        "_parsing",
        "_queue",
        "_quiet",
        "_refusal",
        "_repeats",
        "_server",
        "_settings",
        "_state",
        "_target",
        "_task",
        "_transport",
        "_unread",
        "_url",
        "is_write_paused",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        del config
        self._loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._server = cast("Server", app_state["gateway"])
        self._settings = self._server.settings
        self._outbox = self._server.outbox
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast("asyncio.Transport", None)
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._exchange: Exchange | None = None
        self._parsing: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._refusal: GatewayError | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeats = 0
        self._quiet = 0
        self._held = b""
        self._host: bytes | None = None
        self._known_url = b""
        self._target = ("", "")
        self._is_in_head = False
        self._is_closing = False
        self._is_fresh = True
        self._is_muted = False
        self._is_releasing = False
        self._is_upgrading = False
        self._is_lingering = False
        self._is_reading = True
        self._discarded = 0
        self._unread = 0
        self._dated: list[tuple[bytes, bytes]] | None = None
        self._date = b""
        self._deadline = 0.0
        # Functions, not bound methods: those would refer back to this object and make it garbage in a cycle.
        self._on_deadline: Callable[[Connection], None] = Connection.cut
        self.is_write_paused = False

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; it has ``head_timeout`` to say what it wants."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._settings.max_buffered_bytes)
        self._state.connections.add(cast("Any", self))
        self._server.sweeper.add(self)
        self._set_deadline(self._settings.head_timeout, Connection.cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or we closed: whatever still runs for it is cancelled."""
        del exc
        self._is_closing = True
        self._server.sweeper.discard(self)
        self._state.connections.discard(cast("Any", self))
        if self._task is not None:
            self._task.cancel()
        # All of these refer back to this object: without this every connection would be garbage in a cycle. The loop
        # keeps the task until it has ended.
        self._exchange = self._task = self._parsing = None
        del self._parser

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or of a request that has to wait."""
        if self._is_lingering:
            self._discard(data)
        elif self._is_releasing or (self._exchange is not None and self._parsing is None):
            self._hold(data)
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            # What a callback raised arrives as the context of the parser's own error.
            self._refuse(error.__context__ if isinstance(error.__context__, GatewayError) else _malformed(error))
            return
        # Heads, trailers and the extensions of chunks are bounded by what may arrive without a body coming out.
        if self._quiet > self._settings.max_head_bytes and (self._is_in_head or self._parsing is not None):
            self._refuse(HeadTooLarge())

    def _stay(self, rest: bytes) -> None:
        """Go on with a request that asked for another protocol, as HTTP/1.1 and with its body.

        Clients offer ``h2c`` with ordinary requests. The parser stops behind such a head, so another one is told how
        the body is framed, and nothing else, and reads the rest.
        """
        exchange = self._parsing
        if exchange is None:
            return
        lines = [
            b"%b: %b\r\n" % (name, exchange.headers[name])
            for name in (b"content-length", b"transfer-encoding")
            if name in exchange.headers
        ]
        self._is_upgrading = False
        self._parser = httptools.HttpRequestParser(self)
        self._is_muted = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n" % b"".join(lines))
        self._is_muted = False
        if rest:
            self._feed(rest)

    def eof_received(self) -> bool:
        """A client that closes its side has left: a half-closed one cannot be told from it."""
        return False

    def pause_writing(self) -> None:
        """The client reads more slowly than the reply arrives."""
        self.is_write_paused = True
        self._unread = self._transport.get_write_buffer_size()
        self._set_deadline(self._settings.stall, Connection.cut)
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_write_paused = False
        if self._exchange is not None:
            self._deadline = 0.0
            self._exchange.resume()
        else:
            self._set_deadline(self._settings.keepalive, Connection.cut)

    # -- httptools callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._is_muted:
            return
        self._is_in_head = True
        self._url = b""
        self._headers = {}
        self._repeats = 0
        if self._is_fresh:
            # The clock of the first head started with the connection.
            self._is_fresh = False
        elif self._exchange is None:
            self._set_deadline(self._settings.head_timeout, Connection.cut)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._parsing is not None:
            # A trailer, or the head of a request that is known already: nobody reads it.
            return
        headers = self._headers
        name = name.lower()
        if name not in headers:
            headers[name] = value
            if len(headers) > MAX_HEADERS:
                raise HeadTooLarge
        else:
            self._repeats += 1
            join_repeated(headers, name, value, self._repeats)

    def on_headers_complete(self) -> None:
        if self._is_muted:
            return
        self._is_in_head = False
        self._deadline = 0.0
        self._is_upgrading = self._parser.should_upgrade()
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        host = headers.get(b"host")
        if host is None or host != self._host:
            check_host(host, version)
            self._host = host
        if (coding := headers.get(b"transfer-encoding")) is not None:
            check_coding(coding, version)
        if self._quiet > self._settings.max_head_bytes:
            # Added up only where the bytes that arrived could exceed the limit.
            check_size(self._url, headers, self._settings.max_head_bytes)
        self._quiet = 0
        if self._url != self._known_url:
            # A client asks for the same again and again.
            self._known_url, self._target = self._url, split_target(self._url)
        path, query = self._target
        # By position: naming what an object is made of takes longer than making it.
        exchange = Exchange(
            self,
            parser.get_method().decode("ascii"),
            path,
            query,
            headers,
            version,
            # HTTP/1.0 would have to be told that the connection is kept; closing is what it expects.
            version != "1.0" and parser.should_keep_alive() and not self._is_closing,
            monotonic(),
        )
        if self._exchange is None:
            self._serve(exchange)
        elif len(self._queue) < MAX_PIPELINED:
            self._queue.append(exchange)
        else:
            raise InvalidRequest(f"More than {MAX_PIPELINED} requests were sent without waiting for a reply")
        self._parsing = exchange

    def on_body(self, body: bytes) -> None:
        exchange = self._parsing
        self._quiet = 0
        if exchange is None or exchange.is_finished:
            return
        if exchange.length != len(body):
            # More is to come.
            self._set_deadline(self._settings.body_idle, Connection._body_timed_out)
        if exchange.feed(body) > self._settings.max_buffered_bytes and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()
            # Held back by us: the client is not to blame for the silence.
            self._deadline = 0.0

    def on_message_complete(self) -> None:
        if self._is_upgrading:
            # Its body is still to come.
            return
        self._deadline = 0.0
        self._quiet = 0
        exchange, self._parsing = self._parsing, None
        if exchange is not None:
            exchange.complete()
        if not self._is_reading:
            # Nobody will ask for more of this body; without reading on, the client's leaving would go unseen.
            self._is_reading = True
            self._transport.resume_reading()

    # -- what an exchange needs -----------------------------------------------------------------------------------

    def date(self) -> bytes:
        """The ``Date`` line, refreshed by uvicorn once a second."""
        headers = self._state.default_headers
        if headers is not self._dated:
            self._dated = headers
            self._date = b"date: %b\r\n" % headers[0][1] if headers else b""
        return self._date

    def send(self, data: bytes) -> None:
        """Write to the client; nothing once it has left."""
        if not self._is_closing:
            self._outbox.send(self._transport, data)

    def resume_body(self) -> None:
        """A handler waits for more of the body."""
        self._set_deadline(self._settings.body_idle, Connection._body_timed_out)
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def send_continue(self) -> None:
        """Tell a client that asked first (``Expect: 100-continue``) to send its body."""
        self.send(CONTINUE)

    def is_leaving(self) -> bool:
        """Whether the connection closes with the reply at hand, because the server drains."""
        return self._server.is_draining and not self._queue and not self._held

    def end_exchange(self, exchange: Exchange) -> None:
        """The reply is written: read the next request, or close."""
        if exchange is not self._exchange or self._is_closing:
            return
        if not exchange.is_request_complete:
            self._linger()
        elif not exchange.keep_alive:
            self._close()
        else:
            self._next()

    def cut(self) -> None:
        """Break the connection at once."""
        self._is_closing = True
        self._transport.abort()

    # -- uvicorn and the sweeper ----------------------------------------------------------------------------------

    def drain(self, patience: float) -> None:
        """The server drains: leave when no request has come for ``patience`` seconds. May be called again and again.

        A client that uses the connection is told with its next reply; closing it before would lose a request that is
        on its way.
        """
        is_resting = self._exchange is None and not (self._is_in_head or self._is_lingering or self.is_write_paused)
        if is_resting and self._on_deadline is not Connection._leave:
            self._set_deadline(patience, Connection._leave)

    def shutdown(self) -> None:
        """The server ends: leave now, or with the end of the reply at hand."""
        if self._exchange is None or self._exchange.is_finished:
            self._close()
        else:
            self._exchange.keep_alive = False

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if self.is_write_paused and (unread := self._transport.get_write_buffer_size()) < self._unread:
            # It reads, if slowly.
            self._unread = unread
            self._set_deadline(self._settings.stall, Connection.cut)
        if 0.0 < self._deadline <= now:
            self._deadline = 0.0
            self._on_deadline(self)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _serve(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._task is None:
            self._task = self._loop.create_task(self._run())
        elif self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    async def _run(self) -> None:
        """Serve one request after the other: making a task for each would cost more than the rest of the dispatch."""
        while not self._is_closing:
            exchange = self._exchange
            if exchange is not None and not exchange.is_finished:
                await self._server.handle(exchange)
                if not exchange.is_finished:
                    self.cut()
            else:
                self._idle = self._loop.create_future()
                await self._idle

    def _next(self) -> None:
        self._exchange = None
        if self._queue:
            self._serve(self._queue.popleft())
        elif self._refusal is not None:
            self._refuse(self._refusal)
        else:
            rest = self._settings.head_timeout if self._is_in_head else self._settings.keepalive
            self._set_deadline(rest, Connection.cut)
            if self._held:
                self._release()

    def _set_deadline(self, seconds: float, action: Callable[[Connection], None]) -> None:
        self._deadline = self._server.sweeper.now + seconds
        self._on_deadline = action

    def _close(self) -> None:
        self._is_closing = True
        self._outbox.flush_one(self._transport)
        self._transport.close()

    def _leave(self) -> None:
        # Timers run before sockets are read: a request may be waiting, or its head be half here.
        if self._is_in_head or is_readable(self._transport):
            self._set_deadline(self._settings.head_timeout, Connection.cut)
        else:
            self._close()

    def _body_timed_out(self) -> None:
        if self._parsing is not None:
            self._parsing.fail(BodyTimeout())

    def _hold(self, data: bytes) -> None:
        self._held += data
        # As long as little is held, reading goes on: a client that leaves is seen by nothing else.
        if self._is_reading and len(self._held) > self._settings.max_buffered_bytes:
            self._is_reading = False
            self._transport.pause_reading()

    def _release(self) -> None:
        # Through the loop: a client that pipelines must not make the stack grow. What arrives until then lines up.
        self._is_releasing = True
        self._loop.call_soon(self._receive_held)

    def _receive_held(self) -> None:
        self._is_releasing = False
        held, self._held = self._held, b""
        if self._is_closing:
            return
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()
        self.data_received(held)

    def _linger(self) -> None:
        self._is_lingering = True
        self._exchange = None
        self._set_deadline(self._settings.linger, Connection.cut)
        self._outbox.flush_one(self._transport)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > MAX_DISCARDED_BYTES:
            self.cut()

    def _refuse(self, error: GatewayError) -> None:
        """Answer what never became an exchange, or stopped being one half-way, and close."""
        self._is_in_head = False
        if self._is_closing:
            return
        parsing = self._parsing
        if parsing is not None and not parsing.is_finished:
            parsing.keep_alive = False
            parsing.fail(error)
            if parsing.is_started:
                self.cut()
            return
        if self._exchange is not None:
            self._refusal = error
            return
        exchange = Exchange(
            self, method="", path="", query="", headers={}, version="1.1", keep_alive=False, received=0.0
        )
        self._exchange = exchange
        self._server.refuse(exchange, error)


def is_readable(transport: asyncio.Transport) -> bool:
    """Whether bytes, or the end of them, wait in the kernel."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _malformed(error: Exception) -> GatewayError:
    return InvalidRequest(f"The request is not valid HTTP/1.1: {error}")
