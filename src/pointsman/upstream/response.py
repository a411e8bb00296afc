"""An answer in progress.

A producer (a connection, or something in this process) feeds it, one consumer takes the body: whole with
``read`` or piece by piece with ``relay``. There is no task and no queue between the two: a piece goes from
the socket's callback straight into the consumer's sink. Until somebody consumes it, at most ``HELD_BYTES``
wait here and then the producer is paused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from pointsman.errors import UpstreamBroken

Headers = list[tuple[bytes, bytes]]
Sink = Callable[[bytes], None]

HELD_BYTES = 65_536
"""How much of a body waits for its consumer; backpressure begins above."""


class Producer(Protocol):
    """Who feeds a response. None of these is called once the response is complete, failed or given up."""

    def pause_reading(self) -> None:
        """Stop feeding soon; what is already on its way may still come."""

    def resume_reading(self) -> None:
        """Go on feeding."""

    def abort(self) -> None:
        """Nobody wants the rest: free everything at once and feed no more."""


class Response:
    """Status, headers and the body to come.

    ``headers`` have lower-cased names and values as received. ``is_complete`` is true once the whole body
    arrived.
    """

    __slots__ = (
        "_cap",
        "_error",
        "_held",
        "_is_full",
        "_is_paused",
        "_is_taken",
        "_pieces",
        "_producer",
        "_sink",
        "_waiter",
        "headers",
        "is_complete",
        "status",
    )

    def __init__(self, status: int, headers: Headers, producer: Producer) -> None:
        self.status = status
        self.headers = headers
        self.is_complete = False
        self._producer: Producer | None = producer
        self._pieces: list[bytes] = []
        self._held = 0
        self._cap = HELD_BYTES
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._is_full = False
        self._is_paused = False
        self._is_taken = False

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of ``name`` (lower case), or ``None``."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    # The consumer's side.

    def whole(self, kind: bytes) -> bytes | None:
        """Return the body of the usual answer, else ``None``: ``read`` or ``relay`` it then.

        That is a 200 of the content type ``kind`` which is here already, whole.
        """
        if not self.is_complete or self._is_taken or self.status != 200:
            return None
        for name, value in self.headers:
            if name == b"content-type":
                if value != kind:
                    return None
                break
        else:
            return None
        self._is_taken = True
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self, limit: int) -> bytes:
        """Return the whole body, at most ``limit`` bytes.

        Raises :class:`~pointsman.errors.UpstreamBroken` when it is longer or was cut,
        :class:`~pointsman.errors.UpstreamTimeout` when it stopped coming. A cancelled read gives the answer
        up.
        """
        self._take()
        if self._held > limit:
            self._refuse_length()
        elif self._producer is not None:
            self._cap = limit
            self._flow()
            await self._end()
        if self._error is not None:
            raise self._error
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def relay(self, sink: Sink) -> asyncio.Future[None]:
        """Give each piece of the body to ``sink`` as it arrives, and first what is already here.

        The future is done at the end of the body, or fails with :class:`~pointsman.errors.UpstreamBroken`,
        :class:`~pointsman.errors.UpstreamTimeout` or what ``sink`` raised. Cancelling it gives the answer
        up. ``sink`` may call ``pause``, ``resume`` and ``abort``; after ``pause`` it can still get what was
        already read.
        """
        self._take()
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        pieces, self._pieces = self._pieces, []
        self._sink = sink
        for piece in pieces:
            self._push(sink, piece)
            if waiter.done():
                break
        if self._error is not None:
            self._end_with(self._error)
        elif self._producer is None:
            self._sink = None
            waiter.set_result(None)
        else:
            waiter.add_done_callback(self._on_relay_done)
            self._flow()
        return waiter

    def pause(self) -> None:
        """Ask the upstream to stop sending: the consumer cannot keep up."""
        if not self._is_paused:
            self._is_paused = True
            if self._producer is not None and not self._is_full:
                self._producer.pause_reading()

    def resume(self) -> None:
        """End a ``pause``."""
        if self._is_paused:
            self._is_paused = False
            if self._producer is not None and not self._is_full:
                self._producer.resume_reading()

    def abort(self) -> None:
        """Give up: the connection is closed and its place in the pool freed. No-op once the answer ended."""
        if self._producer is not None:
            self._give_up(UpstreamBroken(operator_detail="the gateway gave the answer up"))

    def give_up(self, error: BaseException) -> None:
        """The same, with ``error`` for whoever waits for the rest."""
        if self._producer is not None:
            self._give_up(error)

    # The producer's side.

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body; ignored once given up."""
        sink = self._sink
        if sink is not None:
            self._push(sink, data)
        elif self._producer is not None:
            self._pieces.append(data)
            self._held += len(data)
            if self._held > self._cap:
                self._on_full()

    def finish(self) -> None:
        """Say that the body is whole."""
        if self._producer is not None:
            self._producer = self._sink = None
            self.is_complete = True
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Say that the rest will not come, and why."""
        if self._producer is not None:
            self._end_with(error)

    # Inside.

    def _take(self) -> None:
        if self._is_taken:
            raise RuntimeError("the body of an answer can be taken once")
        self._is_taken = True

    def _push(self, sink: Sink, data: bytes) -> None:
        try:
            sink(data)
        except Exception as error:  # noqa: BLE001  the sink is foreign; the future tells what it raised
            if self._producer is None:
                self._end_with(error)
            else:
                self._give_up(error)

    def _flow(self) -> None:
        if self._is_full:
            self._is_full = False
            if not self._is_paused and self._producer is not None:
                self._producer.resume_reading()

    def _on_full(self) -> None:
        if self._is_taken:
            self._refuse_length()
        elif not self._is_full:
            self._is_full = True
            if not self._is_paused and self._producer is not None:
                self._producer.pause_reading()

    async def _end(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def _refuse_length(self) -> None:
        error = UpstreamBroken(operator_detail="the body of the answer is longer than what may be held in memory")
        if self._producer is None:
            self._end_with(error)
        else:
            self._give_up(error)

    def _on_relay_done(self, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled():
            self.abort()

    def _give_up(self, error: BaseException) -> None:
        producer = self._producer
        self._end_with(error)
        self._pieces = []
        if producer is not None:
            producer.abort()

    def _end_with(self, error: BaseException) -> None:
        self._producer = self._sink = None
        self._error = error
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
