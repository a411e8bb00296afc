"""One connection to an upstream: a protocol on an asyncio transport, one exchange at a time.

Phases: IDLE (in the pool, or on its way to a request) -> AWAITING (request written or being written, no
final head) -> BODY -> IDLE again when the answer is whole and both sides may go on, else CLOSED. CLOSED is
final, is entered once and gives the place in the pool back in the same step; the socket itself follows on
the loop's next turn.

Deadlines are looked at by the sweeper. Each piece received only notes the time, so a piece costs an
attribute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from pointsman.errors import UpstreamBroken, UpstreamTimeout
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.h1 import AnswerReader, BadAnswer, framed, streamed_head
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.upstream.tls import has_closed_properly

_IDLE, _AWAITING, _BODY, _CLOSED = range(4)


STALE_SECONDS = 1.0


class StaleConnection(Exception):
    """A reused connection died before any byte of an answer: its closing crossed the request."""


class Owner(Protocol):
    """The pool, as a connection sees it."""

    name: str
    """``host:port``, for the operator."""

    def on_free(self, connection: Connection) -> None:
        """``connection`` can take another request."""

    def on_closed(self, connection: Connection) -> None:
        """``connection`` will carry nothing more; its place is free. Once per connection that was made."""

    def on_lost(self, connection: Connection) -> None:
        """The socket of ``connection`` is closed. Once, after ``on_closed``."""


class Connection(asyncio.Protocol):
    """A connection in the pool. Made by the dialler; used by :class:`~pointsman.upstream.pool.Host` alone."""

    __slots__ = (
        "_allowance",
        "_begun",
        "_drained",
        "_idle_since",
        "_is_read_paused",
        "_is_upload_open",
        "_is_upload_slow",
        "_is_write_paused",
        "_keepalive",
        "_loop",
        "_on_first_answer",
        "_outbox",
        "_owner",
        "_phase",
        "_progress",
        "_reader",
        "_response",
        "_sweeper",
        "_timeouts",
        "_total",
        "_transport",
        "_unsent",
        "_waiter",
        "has_served",
    )

    def __init__(
        self,
        owner: Owner,
        sweeper: Sweeper,
        outbox: Outbox,
        *,
        keepalive: float,
        max_head_bytes: int,
        on_first_answer: Callable[[asyncio.Transport], None] | None = None,
    ) -> None:
        self._owner = owner
        self._sweeper = sweeper
        self._outbox = outbox
        self._loop = sweeper.loop
        self._keepalive = keepalive
        self._on_first_answer = on_first_answer
        self._reader = AnswerReader(self, self._deliver, max_head_bytes)
        self._transport = cast("asyncio.Transport", None)
        self._phase = _CLOSED
        self._response: Response | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._timeouts = Timeouts()
        self._allowance = self._total = self._begun = 0.0
        self._idle_since = self._progress = sweeper.now
        self._unsent = 0
        self._is_read_paused = self._is_write_paused = False
        self._is_upload_open = self._is_upload_slow = False
        self.has_served = False
        """Whether an answer came over it before: it may then be stale."""

    @property
    def is_usable(self) -> bool:
        """Whether a request can be begun on it, as far as this side knows."""
        return self._phase == _IDLE and not self._transport.is_closing()

    @property
    def is_uploading(self) -> bool:
        """Whether more of the request's body is wanted: it is not over, and there is no answer and no failure yet."""
        return self._is_upload_open and self._phase == _AWAITING

    def watch(self) -> None:
        """Begin to keep deadlines; for the pool, when the connection is its own.

        Not from ``connection_made``: uvloop forgets ``connection_lost`` when dialling is cancelled right after that.
        """
        self._sweeper.add(self)

    # Exchanges.

    def begin(self, head: bytes, body: bytes, timeouts: Timeouts, total: float) -> asyncio.Future[Response]:
        """Write a whole request; the future gives the response when its head is there."""
        waiter = self._expect(head, timeouts, total)
        buffers = framed(head, body)
        if len(buffers) == 1:
            self._outbox.send(self._transport, buffers[0])
        else:
            self._transport.writelines(buffers)
        return waiter

    def begin_upload(
        self, head: bytes, length: int | None, timeouts: Timeouts, total: float
    ) -> asyncio.Future[Response]:
        """Write a head whose body follows by ``write``, ``drain`` and ``end_upload``."""
        waiter = self._expect(head, timeouts, total)
        self._is_upload_open = True
        self._transport.write(streamed_head(head, length))
        return waiter

    def write(self, data: bytes) -> None:
        """Send a piece of the request's body, as framed; ignored once the exchange is over."""
        if self.is_uploading:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written, or the connection closed."""
        if self._is_write_paused and self._phase != _CLOSED:
            self._drained = self._loop.create_future()
            await self._drained

    def end_upload(self, data: bytes) -> None:
        """Send the end of the request's body."""
        self.write(data)
        if self._phase == _AWAITING:
            self._is_upload_open = False

    def cancel(self, waiter: asyncio.Future[Response]) -> None:
        """Give up the exchange that ``waiter`` belongs to, if it is still the one in progress."""
        if waiter is self._waiter and self._phase in (_AWAITING, _BODY):
            self.fail(UpstreamBroken(operator_detail="the gateway gave the request up"))

    def fail(self, error: BaseException) -> None:
        """End the exchange with ``error``, if there is one, and close."""
        waiter, response = self._waiter, self._response
        self._waiter = self._response = None
        self.abort()
        if response is not None:
            response.fail(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # Producer of the response.

    def pause_reading(self) -> None:
        """Stop reading from the socket."""
        if not self._is_read_paused and self._phase != _CLOSED and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on; the time of the pause does not count as the peer's."""
        if self._is_read_paused and self._phase != _CLOSED and not self._transport.is_closing():
            self._is_read_paused = False
            self._progress = self._sweeper.now
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once and free the place in the pool; no-op when closed."""
        if self._phase == _CLOSED:
            return
        self._phase = _CLOSED
        self._response = None
        self._transport.abort()
        self._sweeper.discard(self)
        self._on_drained()
        self._owner.on_closed(self)

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport: after TCP, proxy and TLS are through."""
        self._transport = cast("asyncio.Transport", transport)
        self._phase = _IDLE

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the socket."""
        self._on_end(exc)
        self._reader.close()
        self._owner.on_lost(self)

    def eof_received(self) -> None:
        """Take the peer's end of sending: the end of some bodies, and of the connection in any case."""
        if self._phase == _BODY and has_closed_properly(self._transport) and self._reader.end():
            self._response = None
        self._on_end(None)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the answer; without a request there is none, so they end the connection."""
        if self._phase in (_IDLE, _CLOSED):
            self.abort()
            return
        self._progress = self._sweeper.now
        reader = self._reader
        try:
            reader.feed(data)
        except BadAnswer as error:
            self.fail(UpstreamBroken(operator_detail=f"{self._owner.name}: {error}"))
            return
        if reader.is_complete:
            self._on_complete()

    def pause_writing(self) -> None:
        """Note that the peer takes the request slower than it is written."""
        self._is_write_paused = self._is_upload_slow = True

    def resume_writing(self) -> None:
        """Note that the peer has caught up."""
        self._is_write_paused = False
        self._on_drained()

    # Called by the sweeper.

    def sweep(self, now: float) -> None:
        """Give up what is overdue."""
        margin = self._sweeper.tick
        if self._phase == _IDLE:
            if now - self._idle_since > self._keepalive:
                self.abort()
        elif now > self._total + margin:
            self._time_out("the whole answer took longer than allowed")
        elif self._phase == _AWAITING and self._is_sending(now):
            if now - self._progress > self._timeouts.idle + margin:
                self._time_out("the request was not taken in time")
        elif self._is_read_paused:
            self._progress = now
        elif now - self._progress > self._allowance + margin:
            self._time_out(
                "no answer in time" if self._phase == _AWAITING else "the answer stopped for longer than allowed"
            )

    # Inside.

    def _expect(self, head: bytes, timeouts: Timeouts, total: float) -> asyncio.Future[Response]:
        self._phase = _AWAITING
        self._timeouts = timeouts
        self._allowance = timeouts.first_byte
        self._total = total
        self._begun = self._progress = self._sweeper.now
        self._is_upload_slow = self._is_write_paused
        self._reader.begin(is_head=head.startswith(b"HEAD "))
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _deliver(self, response: Response) -> None:
        self._phase = _BODY
        self._allowance = self._timeouts.idle
        self._response = response
        waiter = self._waiter
        # A cancelled waiter's task is about to call ``cancel``.
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def _on_complete(self) -> None:
        if self._phase == _CLOSED:
            return
        reader, transport = self._reader, self._transport
        self._response = None
        if not self.has_served:
            self._on_first()
        # An early answer: the rest of the request would be taken for the next one's beginning.
        is_sent = not self._is_upload_open and not (self._is_upload_slow and transport.get_write_buffer_size() > 0)
        if not reader.can_reuse or not is_sent or transport.is_closing():
            self.abort()
            return
        self._phase = _IDLE
        self._idle_since = self._sweeper.now
        if self._is_read_paused:
            self.resume_reading()
        self._owner.on_free(self)

    def _on_first(self) -> None:
        self.has_served = True
        announced = self._reader.keepalive
        if announced is not None:
            # A second less than the peer keeps it, so that a request does not cross its closing.
            self._keepalive = min(self._keepalive, announced - 1.0)
        if self._on_first_answer is not None:
            self._on_first_answer(self._transport)

    def _on_end(self, exc: BaseException | None) -> None:
        if self._phase == _CLOSED:
            return
        if self._phase == _IDLE:
            self.abort()
        elif self._phase == _AWAITING and self.has_served and not self._reader.has_begun and self._is_just_begun():
            self.fail(StaleConnection())
        elif self._response is None and self._phase == _BODY:
            self.abort()
        else:
            cause = type(exc).__name__ if exc is not None else "closed"
            where = "before the head" if self._phase == _AWAITING else "in the middle of the body"
            self.fail(UpstreamBroken(operator_detail=f"{self._owner.name}: {cause} {where} of the answer"))

    def _is_just_begun(self) -> bool:
        """Whether the peer's closing can have crossed the request. Later it has had the request, and may have acted."""
        return self._sweeper.now - self._begun < STALE_SECONDS

    def _is_sending(self, now: float) -> bool:
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent or (self._is_upload_open and not unsent):
            # The peer takes the request, or it is our caller who is slow with it.
            self._unsent = unsent
            self._progress = now
        return unsent > 0 or self._is_upload_open

    def _time_out(self, what: str) -> None:
        self.fail(UpstreamTimeout(operator_detail=f"{self._owner.name}: {what}"))

    def _on_drained(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
