"""An answer that is kept while it is made, for any number of readers.

Theory of operation: the pipeline writes into a :class:`Recording` as into any downstream. Each reader is given the
answer from its beginning, at its own pace, and then each piece as it comes, in the callback that brought it: no task,
no queue. One buffer holds what was written, for all of them.

Rules
-----
* The quickest reader sets the pace: the producer is paused while even that one is ``PACE_BYTES`` behind. Where nobody
  reads any more, the call goes on unpaced.
* A slow reader holds up no other: it reads from what is kept.
* What is kept is bounded, for this answer by ``limit`` and for all answers by their :class:`Room`. Where one of them is
  reached, the answer's beginning is let go: readers that are present go on, new ones cannot join. If it is reached
  again because one reader is far behind the others, that one is cut.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.pipeline.downstream import Downstream
from pointsman.wire.outcome import tells_failure
from pointsman.wire.replies import Flow

MAX_RECORDED_BYTES = 4 * 1024 * 1024
PACE_BYTES = 65_536
COST = re.compile(rb"x-litellm-response-cost: [^\r\n]*")
REPLAYED = b"idempotent-replayed: true\r\n"


class Room(Protocol):
    """Memory that many recordings share."""

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes more can be kept; other answers may have gone for it."""

    def take(self, size: int) -> None:
        """Count ``size`` bytes as kept; a negative number gives them back."""


class Recording:
    """One answer, from the pipeline to its readers."""

    def __init__(self, identity: bytes, room: Room, limit: int = MAX_RECORDED_BYTES) -> None:
        """``identity`` is the header lines that name the request which is answered; its repetitions have their own."""
        self.is_settled = False
        self.is_whole = False
        self.is_success = False
        """Whether this is a whole answer that tells of no failure."""
        self.is_cut = False
        self.is_joinable = True
        """Whether a new reader can have the answer from its beginning."""
        self.failure: GatewayError | None = None
        """What the call ended in."""
        self.head: tuple[int, bytes, int | None] | None = None
        """Status, header lines and length in bytes of the answer, once it has begun."""
        self._identity = identity
        self._room = room
        self._limit = limit
        self._kept = bytearray()
        self._start = 0
        self._last = b""
        self._readers: list[Reader] = []
        self._flow: Flow | None = None
        self._is_flow_paused = False

    # The readers' side.

    async def read(self, downstream: Downstream, identity: bytes | None = None) -> None:
        """Give the answer to ``downstream``, as far as it goes.

        ``identity`` is the header lines that name a repeated request, ``None`` with the request that began the call.

        :raises GatewayError: the call failed before anything was sent
        """
        reader = Reader(self, downstream, identity)
        self._readers.append(reader)
        try:
            if self.is_over and not self.is_whole:
                reader.break_off()
            else:
                reader.pump()
            await reader.ended
        finally:
            self._readers = [other for other in self._readers if other is not reader]
            self.tend()
        if not downstream.is_started:
            raise self.failure or UpstreamBroken

    @property
    def end(self) -> int:
        """Bytes of the body so far."""
        return self._start + len(self._kept)

    def piece(self, at: int) -> bytes:
        """Some of the body, from its byte ``at`` on; empty at its end."""
        at -= self._start
        return bytes(self._kept[at : at + PACE_BYTES])

    def tend(self) -> None:
        """A reader has gone on: let go what nobody needs any more, and pause or resume the producer."""
        if not self.is_joinable:
            self._release(min((reader.at for reader in self._readers), default=self.end))
        self._steer()

    def forget(self) -> None:
        """Let the answer go, but for what present readers have still to get."""
        self.is_joinable = False
        self.tend()

    def lines(self, identity: bytes | None) -> bytes:
        """Header lines for the request that ``identity`` names."""
        assert self.head is not None
        lines = self.head[1]
        if identity is None:
            return lines
        # Told once, a cost can be added up.
        return COST.sub(b"x-litellm-response-cost: 0", lines.replace(self._identity, identity, 1)) + REPLAYED

    # The pipeline's side.

    @property
    def is_started(self) -> bool:
        """Whether the answer has begun."""
        return self.head is not None

    @property
    def is_over(self) -> bool:
        """Whether no more will come."""
        return self.is_whole or self.is_cut or self.failure is not None

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Take a whole answer."""
        self.start(status, headers, len(body))
        self.write(body)
        self.finish()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Take the head of an answer whose body follows piece by piece."""
        self.head = (status, headers, length)
        self._pump()

    def write(self, piece: bytes) -> None:
        """Take a piece of the body. Never waits; heed :meth:`flow_to`."""
        self._last = piece
        if not self.is_joinable and not self._readers:
            self._start += len(piece)
            return
        self._make_room(len(piece))
        self._kept += piece
        self._room.take(len(piece))
        self._pump()
        self.tend()

    def finish(self) -> None:
        """The answer is whole."""
        self.is_whole = True
        self._flow = None
        self.is_success = self._judge()
        self._last = b""
        self._pump()

    def cut(self) -> None:
        """The rest of the answer will never come."""
        self.is_cut = True
        self._break_off()

    def fail(self, error: GatewayError) -> None:
        """The call has ended in ``error``: that is what readers get which have got nothing yet; others are cut."""
        self.failure = error
        self._break_off()

    def flow_to(self, flow: Flow | None) -> None:
        """Name the producer that is paused while nobody reads quickly enough."""
        self._flow = flow
        self._is_flow_paused = False
        self._steer()

    # Inside.

    def _pump(self) -> None:
        for reader in tuple(self._readers):
            reader.pump()

    def _break_off(self) -> None:
        self._flow = None
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.break_off()

    def _judge(self) -> bool:
        if self.head is None or self.head[0] >= 400:
            return False
        is_stream = b"text/event-stream" in self.head[1]
        body = bytes(self._kept)
        if not self.is_joinable:
            # An error event is the last that is written. Other answers of this length have been looked at before.
            body = self._last if is_stream else b""
        return not tells_failure(body, is_stream=is_stream)

    def _steer(self) -> None:
        flow = self._flow
        is_ahead = bool(self._readers) and self.end - max(reader.at for reader in self._readers) > PACE_BYTES
        if flow is not None and is_ahead is not self._is_flow_paused:
            self._is_flow_paused = is_ahead
            if is_ahead:
                flow.pause()
            else:
                flow.resume()

    def _make_room(self, size: int) -> None:
        while len(self._kept) + size > self._limit or not self._room.has_room(size):
            if self.is_joinable:
                self.forget()
            elif not self._cut_slowest():
                return

    def _cut_slowest(self) -> bool:
        if not self._readers:
            return False
        slowest = min(self._readers, key=lambda reader: reader.at)
        quickest = max(reader.at for reader in self._readers)
        if slowest.at == quickest or self.end - slowest.at <= PACE_BYTES:
            return False
        self._readers.remove(slowest)
        slowest.break_off()
        self.tend()
        return True

    def _release(self, upto: int) -> None:
        size = upto - self._start
        if size > 0:
            del self._kept[:size]
            self._start = upto
            self._room.take(-size)


class Reader:
    """One downstream that a recording is given to, and how far it has come. The flow that its downstream steers."""

    __slots__ = ("_downstream", "_identity", "_is_begun", "_is_paused", "_recording", "at", "ended")

    def __init__(self, recording: Recording, downstream: Downstream, identity: bytes | None) -> None:
        self._recording = recording
        self._downstream = downstream
        self._identity = identity
        self._is_begun = False
        self._is_paused = False
        self.at = 0
        """The first byte of the body that it has not got."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is nothing more to give."""

    def pause(self) -> None:
        """The client does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """The client reads again."""
        self._is_paused = False
        self.pump()
        self._recording.tend()

    def pump(self) -> None:
        """Write what is there and has not been written, unless the client does not read."""
        recording = self._recording
        if recording.head is None or self.ended.done():
            return
        if not self._is_begun:
            self._begin(recording.head[0], recording.head[2])
        while not self._is_paused and (piece := recording.piece(self.at)):
            self.at += len(piece)
            self._downstream.write(piece)
        if recording.is_whole and self.at == recording.end:
            self._downstream.finish()
            self.ended.set_result(None)

    def break_off(self) -> None:
        """Nothing more will come for this reader."""
        if not self.ended.done():
            if self._is_begun:
                self._downstream.cut()
            self.ended.set_result(None)

    def _begin(self, status: int, length: int | None) -> None:
        self._is_begun = True
        self._downstream.start(status, self._recording.lines(self._identity), length)
        self._downstream.flow_to(self)
