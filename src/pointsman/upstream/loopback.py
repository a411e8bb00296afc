"""An upstream inside this process: a pure responder decides the answer, which is then played in time.

For the built-in demo vendor and for tests: everything above sees the same ``send`` and the same
:class:`~pointsman.upstream.response.Response` as with a host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from pointsman.errors import BodyTooLarge
from pointsman.upstream.response import Headers, Response
from pointsman.upstream.settings import Timeouts

MAX_BODY_BYTES = 16 * 1024 * 1024


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a responder answers. ``pieces`` are the body, each with the seconds that pass before it."""

    status: int
    headers: Headers
    pieces: Sequence[tuple[float, bytes]] = ()


Responder = Callable[[bytes, bytes, bytes], Reply]
"""From method, target and body to the reply; it neither waits nor raises."""


class Loopback:
    """An upstream that is a function. It keeps the time that the reply asks for and no deadline of its own."""

    def __init__(self, responder: Responder, host_header: bytes = b"localhost") -> None:
        self.host_header = host_header
        self._responder = responder

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,  # noqa: ARG002  the body says itself how long it is
        timeouts: Timeouts,  # noqa: ARG002  nothing here can fail to come
        deadline: float | None = None,  # noqa: ARG002
    ) -> Response:
        """Answer one request; see :meth:`~pointsman.upstream.base.Upstream.send`.

        Raises :class:`~pointsman.errors.BodyTooLarge` when a body comes in pieces and exceeds ``MAX_BODY_BYTES``.
        """
        if not isinstance(body, bytes):
            body = await _gather(body)
        method, target, _ = head.split(b" ", 2)
        return _Playback(asyncio.get_running_loop(), self._responder(method, target, body)).start(method)


class _Playback:
    """Feeds a response with the pieces of a reply, at their times."""

    __slots__ = ("_handle", "_is_paused", "_loop", "_next", "_pieces", "_response")

    def __init__(self, loop: asyncio.AbstractEventLoop, reply: Reply) -> None:
        self._loop = loop
        self._pieces = reply.pieces
        self._next = 0
        self._handle: asyncio.Handle | None = None
        self._is_paused = False
        headers = [(name.lower(), value) for name, value in reply.headers]
        self._response = Response(reply.status, headers, self)

    def start(self, method: bytes) -> Response:
        """Play what has no delay at once, the rest later."""
        if method == b"HEAD":
            self._pieces = ()
        self._play()
        return self._response

    def pause_reading(self) -> None:
        """Hold the next piece back."""
        self._is_paused = True
        self._stop()

    def resume_reading(self) -> None:
        """Go on, with the whole delay of the next piece."""
        self._is_paused = False
        if self._handle is None:
            # Later and not now: the consumer is in the middle of a call.
            self._handle = self._loop.call_soon(self._play)

    def abort(self) -> None:
        """Play no more."""
        self._next = len(self._pieces)
        self._is_paused = True
        self._stop()

    def _play(self) -> None:
        self._handle = None
        while not self._is_paused:
            if self._next == len(self._pieces):
                self._response.finish()
                return
            delay, data = self._pieces[self._next]
            if delay > 0:
                self._handle = self._loop.call_later(delay, self._feed, data)
                return
            self._next += 1
            self._response.feed(data)

    def _feed(self, data: bytes) -> None:
        self._next += 1
        self._response.feed(data)
        self._play()

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


async def _gather(body: AsyncIterator[bytes]) -> bytes:
    whole = bytearray()
    async for piece in body:
        whole += piece
        if len(whole) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(whole)
