"""Reading a stream of events: within bounds, and no faster than somebody takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from pointsman.upstream.response import Response
from pointsman.wire.events import Event, Events
from pointsman.wire.jsonrpc import RpcError

HELD_BYTES: Final = 65_536
"""Of events that wait to be taken; above that nothing is read."""


class Budget:
    """How much may come by all answers that one stream is made of."""

    def __init__(self, max_bytes: int, max_event_bytes: int, idle_seconds: float, deadline: float) -> None:
        """``deadline`` is in ``loop.time()``."""
        self.max_event_bytes = max_event_bytes
        self.idle_seconds = idle_seconds
        self.deadline = deadline
        self._left = max_bytes

    def take(self, size: int) -> None:
        """:raises UpstreamBroken: it is too much"""
        self._left -= size
        if self._left < 0:
            raise UpstreamBroken("The agent's stream is longer than is allowed")


class Reader:
    """Reads one answer."""

    def __init__(self, response: Response, budget: Budget) -> None:
        self.is_spent = False
        """Whether it has ended because a bound was reached: another answer would end in the same way."""
        self.torn: Event | None = None
        """The last event, if it was not brought to its end: it may be half of one."""
        self._response = response
        self._budget = budget
        self._events = Events(budget.max_event_bytes)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._ready: deque[Event] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self._relay = response.relay(self._feed)
        self._relay.add_done_callback(self._on_end)

    def ready(self) -> Iterator[Event]:
        """Take those that are there, one by one."""
        while self._ready:
            yield self._take()

    async def next(self) -> Event | None:
        """The next event; ``None``: the stream has come to its end.

        :raises GatewayError: it was cut, or is too long, or silent for too long
        """
        while not self._ready:
            if self._error is not None:
                raise self._error
            if self._is_over:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._take()

    def fail(self, error: GatewayError) -> None:
        """End it; whoever takes events gets ``error`` after those that are there."""
        self.is_spent = True
        self._finish(error)
        self._relay.cancel()

    def close(self) -> None:
        """Nobody wants the rest."""
        self._finish(None)
        self._relay.cancel()

    def _take(self) -> Event:
        event = self._ready.popleft()
        held = self._held
        self._held = held - len(event.data)
        if held > HELD_BYTES >= self._held:
            self._response.resume()
        return event

    def _feed(self, piece: bytes) -> None:
        try:
            self._budget.take(len(piece))
            found = self._events.feed(piece)
        except UpstreamBroken:
            self.is_spent = True
            raise
        now = self._loop.time()
        if found:
            self._heard = now
            self._add(found)
        elif now - self._heard > self._budget.idle_seconds:
            # There are only comments, which keep connections alive.
            raise UpstreamTimeout("The agent's stream was silent for too long")

    def _add(self, found: list[Event]) -> None:
        held = self._held
        self._ready.extend(found)
        for event in found:
            self._held += len(event.data)
        if held <= HELD_BYTES < self._held:
            self._response.pause()
        self._wake()

    def _on_end(self, relay: asyncio.Future[None]) -> None:
        error = UpstreamBroken() if relay.cancelled() else relay.exception()
        if error is None and not self._is_over:
            try:
                # Some agents forget the empty line after their last event.
                found = self._events.feed(b"\n\n")
                self.torn = found[-1] if found else None
                self._add(found)
            except UpstreamBroken as too_long:
                error = too_long
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        if not self._is_over:
            self._is_over, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Leg:
    """What one answer brings to a client: each event as JSON in one line, in the form that ``read`` gives it."""

    def __init__(
        self,
        reader: Reader | None,
        read: Callable[[Event], bytes | None],
        only: bytes | None = None,
        *,
        gives_snapshot: bool = False,
    ) -> None:
        """Without a ``reader`` it brings ``only`` this."""
        self.gives_snapshot = gives_snapshot
        """Whether one that goes on where another was cut begins with the task as it is."""
        self.translate: Callable[[bytes], bytes] | None = None
        """Makes an event one of the client's version."""
        self.on_close: Callable[[Leg], None] = lambda _: None
        self._reader = reader
        self._read = read
        self._only = only
        self._first: deque[bytes | RpcError] = deque()

    @property
    def is_spent(self) -> bool:
        """See :class:`Reader`."""
        return self._reader is not None and self._reader.is_spent

    def unread(self, event: bytes) -> None:
        """Give this one before all others."""
        self._first.appendleft(event)

    async def next(self) -> bytes | None:
        """The next event; ``None``: there is none any more.

        :raises RpcError: the agent ends the stream with that
        :raises GatewayError: see :meth:`Reader.next`
        """
        if self._first:
            found = self._first.popleft()
            if isinstance(found, RpcError):
                raise found
            return found
        reader = self._reader
        if reader is None:
            only, self._only = self._only, None
            return None if only is None else self._given(only)
        while (event := await reader.next()) is not None:
            data = self._read(event)
            if data is not None:
                return self._given(data)
            # What is no event of an agent does not end a stream; half of one shows where it was cut.
            if event is reader.torn:
                raise UpstreamBroken
        return None

    def buffered(self) -> list[bytes]:
        """Those that have come already. An error among them is raised when it is its turn."""
        found: list[bytes] = []
        try:
            for event in () if self._reader is None else self._reader.ready():
                data = self._read(event)
                if data is not None:
                    found.append(self._given(data))
        except RpcError as error:
            self._first.append(error)
        return found

    def fail(self, error: GatewayError) -> None:
        """See :meth:`Reader.fail`."""
        if self._reader is not None:
            self._reader.fail(error)

    def close(self) -> None:
        """Nobody wants the rest."""
        self.on_close(self)
        if self._reader is not None:
            self._reader.close()

    def _given(self, data: bytes) -> bytes:
        return in_one_line(data if self.translate is None else self.translate(data))


def in_one_line(data: bytes) -> bytes:
    """The same JSON without line ends, which would end a line of an event."""
    if data.find(b"\n") < 0 and data.find(b"\r") < 0:
        return data
    return msgspec.json.format(data, indent=-1)
