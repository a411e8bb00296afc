"""Requests, and the events that are told in reply.

Rules
-----
* A stream begins with its first event. What fails before that is told as if nothing had been streamed, unless it takes
  so long that somebody on the way might take the connection for a dead one.
* A client that does not read is not read for: the next event is asked for when it has caught up.
* A stream ends with its events, or with an event that tells why it does not. A client that leaves ends the stream and
  not the task, and can have it told again by subscribing to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import has_same_rights
from pointsman.errors import Forbidden, GatewayError, Overloaded
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.beats import Beats
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.replies import COMMENT, EVENTS, Reply

LOOK_BEATS: Final = 4
"""After so many it is looked whether the caller of a stream still is one."""
FAILED: Final = 500
RESTARTING: Final = "The gateway restarts: subscribe to the task to hear more of it"

Failure = RpcError | GatewayError


class Request(msgspec.Struct, kw_only=True):
    """One HTTP request of a client."""

    caller: Caller
    agent: str
    """Its id."""
    headers: Mapping[bytes, bytes]
    """With lower-cased names."""
    reply: Reply
    method: str = "POST"
    path: str = ""
    """Below that of the agent."""
    query: Mapping[str, str] = {}
    body: bytes = b""
    lines: bytes = b""
    """Header lines of every reply."""
    id: str = ""
    """As the reply tells it."""
    again: Callable[[], Awaitable[Caller]] | None = None
    """Who calls, asked once more; raises a :class:`GatewayError` where it is nobody any more. ``None``: it is somebody
    without a key."""


class Form(Protocol):
    """How a binding tells things in a version."""

    def result(self, data: bytes) -> tuple[bytes, bytes]:
        """The header lines and the body of a reply."""

    def failure(self, error: Failure) -> tuple[int, bytes, bytes]:
        """The status, the header lines and the body of a reply."""

    def event(self, data: bytes) -> bytes:
        """An event, as it goes out."""

    def last(self, error: Failure) -> bytes:
        """The event with which a stream fails."""


class Stream:
    """The reply to one request that is answered with events."""

    __slots__ = (
        "_can_read",
        "_ending",
        "_has_told",
        "_is_over",
        "_is_paused",
        "_is_quiet",
        "_request",
        "_scope",
        "_since_look",
        "_streams",
    )

    def __init__(self, request: Request, streams: Streams) -> None:
        self._request = request
        self._streams = streams
        self._is_paused = False
        self._is_quiet = False
        self._has_told = False
        self._is_over = False
        self._since_look = 0
        self._can_read: asyncio.Future[None] | None = None
        self._ending: GatewayError | None = None
        self._scope = asyncio.timeout(None)

    async def tell(
        self, events: AsyncGenerator[bytes, None], form: Form, lines: Callable[[], Awaitable[bytes]]
    ) -> None:
        """Tell the events; ``lines`` gives header lines that are known with the first of them.

        :raises RpcError: the agent refuses, and nothing was sent yet
        :raises GatewayError: the same for other failures
        """
        self._streams.add(self)
        try:
            async with self._scope:
                await self._relay(events, form, lines)
        except TimeoutError:
            if self._ending is None:
                raise
            self._fail(form, self._ending)
        except (RpcError, GatewayError) as error:
            self._fail(form, error)
        else:
            self._begin()
            self._request.reply.finish()
        finally:
            self._is_over = True
            self._streams.beats.discard(self)
            await events.aclose()

    def beat(self) -> None:
        """Say something if nothing was said since the last time, even if that means to begin."""
        if not self._is_quiet:
            self._is_quiet = True
        elif self._has_told and self._streams.is_draining:
            self.end(Overloaded(RESTARTING, retry_after=1))
        elif not self._is_paused:
            self._begin()
            self._request.reply.write(COMMENT)
            self._is_quiet = False
        self._since_look += 1
        if self._since_look >= LOOK_BEATS and self._request.again is not None:
            self._since_look = 0
            with suppress(Overloaded):
                self._streams.tasks.start(self._look(self._request.again), "look whether a caller still is one")

    def end(self, error: GatewayError) -> None:
        """Tell why there is no more; no-op when it has ended, or is about to."""
        if not (self._is_over or self._ending):
            self._ending = error
            self._scope.reschedule(asyncio.get_running_loop().time())

    def pause(self) -> None:
        """The client does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """It reads again."""
        self._is_paused = False
        if self._can_read is not None and not self._can_read.done():
            self._can_read.set_result(None)

    async def _relay(
        self, events: AsyncGenerator[bytes, None], form: Form, lines: Callable[[], Awaitable[bytes]]
    ) -> None:
        reply = self._request.reply
        async for event in events:
            if not reply.is_started:
                self._begin(await lines())
            self._is_quiet, self._has_told = False, True
            reply.write(form.event(event))
            while self._is_paused:
                self._can_read = asyncio.get_running_loop().create_future()
                await self._can_read

    def _begin(self, lines: bytes = b"") -> None:
        reply = self._request.reply
        if not reply.is_started:
            reply.start(200, EVENTS + self._request.lines + lines)
            reply.flow_to(self)

    def _fail(self, form: Form, error: Failure) -> None:
        reply = self._request.reply
        if not reply.is_started:
            raise error
        reply.write(form.last(error))
        reply.finish()

    async def _look(self, again: Callable[[], Awaitable[Caller]]) -> None:
        try:
            now = await again()
        except GatewayError as error:
            # While nobody can tell, it goes on.
            if error.status < FAILED:
                self.end(error)
        else:
            if not has_same_rights(now, self._request.caller):
                self.end(Forbidden("This key may not do any more what it did"))


class Streams:
    """All that go on."""

    def __init__(self, beats: Beats, tasks: Tasks, most: int) -> None:
        self.beats = beats
        self.tasks = tasks
        self.most = most
        self.is_draining = False
        """Whether those in which nothing happens are to end."""

    def __len__(self) -> int:
        return len(self.beats)

    def add(self, stream: Stream) -> None:
        """:raises Overloaded: there are too many"""
        if len(self) >= self.most:
            raise Overloaded("Too many streams are open; try again", retry_after=5)
        self.beats.add(stream)
