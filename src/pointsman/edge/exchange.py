"""One request and the reply to it.

Theory of operation: the connection feeds the request side (:meth:`Exchange.feed`, :meth:`Exchange.complete`); a handler
awaits :meth:`Exchange.body` or iterates :meth:`Exchange.pieces`, and writes either one :meth:`Exchange.reply`, or
:meth:`Exchange.start`, any number of :meth:`Exchange.write` and one :meth:`Exchange.finish`. Writes never wait: who
produces faster than the client reads is told so through :meth:`Exchange.flow_to`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import NoReturn, Protocol

from pointsman import __version__
from pointsman.access.caller import NOBODY
from pointsman.errors import BodyTooLarge
from pointsman.wire.replies import Flow

STATUS_LINES = {s.value: b"HTTP/1.1 %d %s\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}
UNNAMED_STATUS = b"HTTP/1.1 %d \r\n"
"""For a status that has no phrase, such as those of an upstream's content delivery network (520 and on)."""
NO_BODY_STATUSES = frozenset({204, 304})
VERSION_LINE = b"x-litellm-version: pointsman-%b\r\n" % __version__.encode()


class Wire(Protocol):
    """What an exchange needs of its connection."""

    is_write_paused: bool

    def is_leaving(self) -> bool: ...
    def date(self) -> bytes: ...
    def send(self, data: bytes) -> None: ...
    def resume_body(self) -> None: ...
    def send_continue(self) -> None: ...
    def end_exchange(self, exchange: Exchange) -> None: ...
    def cut(self) -> None: ...


class Exchange:
    """A request with lower-cased header names, and the way to answer it."""

    __slots__ = (
        "_chunked",
        "_error",
        "_expects_continue",
        "_flow",
        "_limit",
        "_pieces",
        "_size",
        "_waiter",
        "_wire",
        "caller",
        "dialect",
        "headers",
        "is_finished",
        "is_request_complete",
        "is_settled",
        "is_started",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "received",
        "request_id",
        "status",
        "version",
        "version_line",
    )

    def __init__(
        self,
        wire: Wire,
        method: str,
        path: str,
        query: str,
        headers: dict[bytes, bytes],
        version: str,
        keep_alive: bool,
        received: float,
    ) -> None:
        self._wire = wire
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.version = version
        self.keep_alive = keep_alive
        self.received = received
        """When the head was complete, in ``time.monotonic()``."""
        self.request_id = ""
        self.version_line = VERSION_LINE
        """The header line, or lines, that tell who answers."""
        self.caller = NOBODY
        self.dialect = "openai"
        """The caller's, in which errors are told."""
        length = headers.get(b"content-length")
        self.length = int(length) if length is not None else None
        """``Content-Length`` in bytes, or ``None`` for a chunked or absent body."""
        self._expects_continue = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._flow: Flow | None = None
        self._chunked = False
        self.is_request_complete = False
        self.is_started = False
        self.status = 200
        """Of the reply, once it is started."""
        self.is_finished = False
        self.is_settled = False
        """Whether the outcome was counted with the deployment that served it."""

    # -- the request side, fed by the connection ------------------------------------------------------------------

    def feed(self, piece: bytes) -> int:
        """Take a piece of the body; gives the number of bytes that nobody has taken yet."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._waiter is not None:
            self._wake()
        return self._size

    def complete(self) -> None:
        """The body has ended."""
        self.is_request_complete = True
        if self._waiter is not None:
            self._wake()

    def fail(self, error: BaseException) -> None:
        """The body will never end."""
        self._error = error
        if self._waiter is not None:
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _more(self) -> None:
        if self._expects_continue:
            self._expects_continue = False
            self._wire.send_continue()
        self._wire.resume_body()
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def whole_body(self, limit: int) -> bytes | None:
        """The body if it has arrived whole and within ``limit``; else ask :meth:`body`."""
        if not self.is_request_complete or self._size > limit:
            return None
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def body(self, limit: int) -> bytes:
        """The whole body.

        :raises BodyTooLarge: it is longer than ``limit`` bytes, or says it will be
        :raises BodyTimeout: it stopped arriving
        """
        if self.length is not None and self.length > limit:
            raise BodyTooLarge(f"The request body is larger than the {limit} bytes that this path accepts")
        while not self.is_request_complete:
            if self._error is not None:
                raise self._error
            if self._size > limit:
                break
            await self._more()
        if self._size > limit:
            raise BodyTooLarge(f"The request body is larger than the {limit} bytes that this path accepts")
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it arrives; what is not taken holds the client back. Whoever is cancelled can go on later.

        Iterating raises :class:`BodyTooLarge` when the body is longer than ``limit`` bytes, or says it will be, and
        :class:`BodyTimeout` when it stopped arriving.
        """
        return _Pieces(self, limit)

    async def take(self) -> list[bytes]:
        """What has arrived of the body, at least one piece; nothing at its end.

        :raises BodyTimeout: it stopped arriving
        """
        while not self._pieces:
            if self.is_request_complete:
                return []
            if self._error is not None:
                raise self._error
            await self._more()
        taken, self._pieces, self._size = self._pieces, [], 0
        return taken

    # -- the reply side -------------------------------------------------------------------------------------------

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Send a whole reply. ``headers`` are complete lines, each ended by CRLF, without framing."""
        if self.is_started:
            raise RuntimeError("this exchange has been answered")
        self.is_started = True
        self.status = status
        self._settle_keep_alive()
        framing = b"" if status in NO_BODY_STATUSES else b"content-length: %d\r\n" % len(body)
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        if self.method == "HEAD":
            body = b""
        self._wire.send(
            b"".join((_status_line(status), self._wire.date(), headers, framing, b"\r\n", body)),
        )
        self._end()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Send the head of a reply whose body follows piece by piece."""
        if self.is_started:
            raise RuntimeError("this exchange has been answered")
        self.is_started = True
        self.status = status
        self._settle_keep_alive()
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self.version == "1.0":
            self.keep_alive = False
            framing = b""
        else:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        self._wire.send(b"".join((_status_line(status), self._wire.date(), headers, framing, b"\r\n")))

    def write(self, piece: bytes) -> None:
        """Send a piece of the body. Never waits; heed :meth:`flow_to`."""
        if not piece or self.method == "HEAD":
            return
        if self._chunked:
            self._wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self._wire.send(piece)

    def finish(self) -> None:
        """The reply's body has ended."""
        if self._chunked and self.method != "HEAD":
            self._wire.send(b"0\r\n\r\n")
        self._end()

    def cut(self) -> None:
        """Break the connection, so that the client cannot take a truncated reply for a whole one."""
        self.keep_alive = False
        self.is_finished = True
        # Who reads on for what the answer costs must not wait for a client that has left.
        self.resume()
        self._flow = None
        self._wire.cut()

    def flow_to(self, flow: Flow | None) -> None:
        """Name the producer that is paused while the client does not read."""
        self._flow = flow
        if flow is not None and self._wire.is_write_paused and not self.is_finished:
            flow.pause()

    def pause(self) -> None:
        """The client does not read."""
        if self._flow is not None:
            self._flow.pause()

    def resume(self) -> None:
        """The client reads again."""
        if self._flow is not None:
            self._flow.resume()

    def _settle_keep_alive(self) -> None:
        # The rest of the body would be read as the next request.
        if not self.is_request_complete or self._wire.is_leaving():
            self.keep_alive = False

    def _end(self) -> None:
        self.is_finished = True
        self._flow = None
        self._wire.end_exchange(self)


class _Pieces:
    """An iterator and not a generator, which would be over after a cancellation."""

    def __init__(self, exchange: Exchange, limit: int) -> None:
        self._exchange = exchange
        self._limit = limit
        self._total = 0
        self._taken: deque[bytes] = deque()

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        if exchange.length is not None and exchange.length > self._limit:
            self._refuse()
        if not self._taken:
            self._taken.extend(await exchange.take())
            if not self._taken:
                raise StopAsyncIteration
        piece = self._taken.popleft()
        self._total += len(piece)
        if self._total > self._limit:
            self._refuse()
        return piece

    def _refuse(self) -> NoReturn:
        raise BodyTooLarge(f"The request body is larger than the {self._limit} bytes that this path accepts")


def _status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or UNNAMED_STATUS % status
