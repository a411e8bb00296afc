"""Replies: one JSON object, or a stream of events (WHATWG HTML, section 9.2) when there is more to say.

Rules
-----
* Nothing is sent before the answer unless something has to be: then the reply becomes a stream, and its status is 200.
* Writing never waits. A client that does not read is held back up to a bound; then notifications to it are dropped, and
  only what it has asked for, or has to answer, is kept.
* A comment goes out now and then, so that nobody on the way takes a quiet stream for a dead one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import has_same_rights
from pointsman.errors import GatewayError
from pointsman.upstream.beats import Beats
from pointsman.wire.jsonrpc import Id, Message, RpcError, failure, of_gateway
from pointsman.wire.replies import COMMENT, EVENTS, Reply, event, header_lines

JSON: Final = b"content-type: application/json\r\n"
OK: Final = 200
BEAT_SECONDS: Final = 15.0
_REFUSES: Final = re.compile(rb"\s*q\s*=\s*0(\.0*)?\s*")
"""What follows a media type that somebody does not take (RFC 9110, section 12.4.2)."""
LOOK_SECONDS: Final = 10.0
"""After which it is looked whether the caller of a stream still is one."""
FAILED: Final = 500
MAX_HELD_BYTES: Final = 262_144
"""Of notifications for a client that does not read."""


class Request(msgspec.Struct, kw_only=True):
    """One HTTP request of a client."""

    caller: Caller
    headers: Mapping[bytes, bytes]
    """With lower-cased names."""
    reply: Reply
    lines: bytes = b""
    """Header lines of every reply."""
    body: bytes = b""
    server: str | None = None
    """That the path names, or several with commas between; ``None``: it names none."""
    path: str = ""
    query: Mapping[str, str] = {}
    id: str = ""
    """As the reply tells it."""
    again: Callable[[], Awaitable[Caller]] | None = None
    """Who calls, asked once more; raises a :class:`GatewayError` where it is nobody any more. ``None``: it is somebody
    without a key."""


class Answer(msgspec.Struct, frozen=True):
    """A message, and how it goes out where nothing was sent before."""

    body: bytes
    status: int = OK
    lines: bytes = b""
    """Header lines."""


class Answering:
    """The reply to one request: JSON, or a stream from the first thing on that is sent before the answer."""

    __slots__ = (
        "_again",
        "_beats",
        "_caller",
        "_held",
        "_held_bytes",
        "_is_bound_to_stream",
        "_is_paused",
        "_is_quiet",
        "_is_released",
        "_lines",
        "_reply",
        "_waiter",
        "can_stream",
        "is_over",
    )

    def __init__(self, request: Request, beats: Beats) -> None:
        takes_json, self.can_stream = accepts(request.headers)
        self._reply = request.reply
        self._lines = request.lines
        self._beats = beats
        self._held: dict[bytes, None] = {}
        self._held_bytes = 0
        self._is_paused = False
        self._is_quiet = False
        self._is_bound_to_stream = not takes_json
        self._waiter: asyncio.Future[None] | None = None
        self._is_released = False
        self._again = request.again
        self._caller = request.caller
        self.is_over = False
        beats.add(self)

    @property
    def is_started(self) -> bool:
        """Whether it has become a stream."""
        return self._reply.is_started

    def open(self, lines: bytes = b"") -> None:
        """Make it a stream, if it is none yet."""
        if not self._reply.is_started:
            self._reply.start(200, EVENTS + self._lines + lines)
            self._reply.flow_to(self)

    def tell(self, message: Message) -> None:
        """Send a notification, which a client that does not read may miss."""
        if self.is_over or not self.can_stream:
            return
        self.open()
        event = event_of(message.encode())
        if not self._is_paused:
            self._write(event)
        elif event not in self._held and self._held_bytes + len(event) <= MAX_HELD_BYTES:
            # Of two that are the same, one is enough for whoever was not there to read the first.
            self._held[event] = None
            self._held_bytes += len(event)

    def send(self, message: Message) -> None:
        """Send what must not be missed."""
        if not self.is_over and self.can_stream:
            self.open()
            self._flush()
            self._write(event_of(message.encode()))

    def say(self, event: bytes) -> None:
        """Send an event of another kind."""
        self.open()
        self._write(event)

    def beat(self) -> None:
        """Say something, if nothing was said since the last time. What goes on for so long becomes a stream."""
        if self._is_quiet and self.can_stream and not self.is_over and not self._is_paused:
            self.open()
            self._write(COMMENT)
        self._is_quiet = True

    def answer(self, answer: Answer) -> None:
        """Give the answer, and end."""
        if self.is_over:
            return
        if self._reply.is_started or (self._is_bound_to_stream and answer.status == OK):
            self.open(answer.lines)
            self._flush()
            self._write(event_of(answer.body))
            self._reply.finish()
        else:
            self._reply.reply(answer.status, JSON + self._lines + answer.lines, answer.body)
        self.leave()

    def end(self) -> None:
        """End without an answer."""
        if self.is_over:
            return
        if self._reply.is_started:
            self._flush()
            self._reply.finish()
        else:
            self._reply.reply(202, self._lines, b"")
        self.leave()

    def leave(self) -> None:
        """Nobody is there any more."""
        self.is_over = True
        self._beats.discard(self)
        self.release()

    async def last(self) -> None:
        """Wait until somebody releases or ends it, or its caller is not any more who he was when it began."""
        while not (self.is_over or self._is_released):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(None if self._again is None else LOOK_SECONDS):
                    await self._waiter
            except TimeoutError:
                if not await self._is_his():
                    return

    def release(self) -> None:
        """Let whoever waits for its end go on to that."""
        self._is_released = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _is_his(self) -> bool:
        assert self._again is not None
        try:
            return has_same_rights(await self._again(), self._caller)
        except GatewayError as error:
            # While nobody can tell, it goes on.
            return error.status >= FAILED

    def pause(self) -> None:
        """The client does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """It reads again."""
        self._is_paused = False
        self._flush()

    def _flush(self) -> None:
        if self._held and not self.is_over:
            held, self._held, self._held_bytes = self._held, {}, 0
            self._write(b"".join(held))

    def _write(self, data: bytes) -> None:
        self._is_quiet = False
        self._reply.write(data)


async def respond(
    request: Request,
    beats: Beats,
    name: Id,
    work: Callable[[Answering], Awaitable[Answer]],
    status_of: Callable[[RpcError], int],
) -> None:
    """Answer a request by what ``work`` gives, or by its failure."""
    answering = Answering(request, beats)
    try:
        try:
            answer = await work(answering)
        except (RpcError, GatewayError) as error:
            answer = refusal(name, error, status_of)
        answering.answer(answer)
    finally:
        answering.leave()


def refusal(name: Id, error: RpcError | GatewayError, status_of: Callable[[RpcError], int]) -> Answer:
    """How a failure is told."""
    if isinstance(error, RpcError):
        return Answer(failure(name, error).encode(), status_of(error))
    found = of_gateway(error)
    return Answer(failure(name, found).encode(), found.status, header_lines(error))


def event_of(data: bytes) -> bytes:
    """A message as an event."""
    return event(data, b"message")


def accepts(headers: Mapping[bytes, bytes]) -> tuple[bool, bool]:
    """Whether a client takes JSON, and whether it takes events."""
    accept = headers.get(b"accept")
    if accept is None:
        return True, True
    named = (one.lower().split(b";") for one in accept.split(b","))
    kinds = {kind.strip() for kind, *more in named if not any(_REFUSES.fullmatch(one) for one in more)}
    if b"*/*" in kinds:
        return True, True
    return bool(kinds & {b"application/json", b"application/*"}), bool(kinds & {b"text/event-stream", b"text/*"})
