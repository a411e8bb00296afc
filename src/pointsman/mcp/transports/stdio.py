"""Messages to and from a server that is a process of this machine.

A session lasts as long as the process. ``initialize`` and ``server/discover`` begin one: they start a process if there
is none. Any other message to a server without a process raises :class:`SessionLost`: it was not acted on, and can be
sent again in a new session. A request whose process dies is told apart by how much of its input the process has read:
what it cannot have seen is lost in the same way, and what it has seen must not be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from pointsman.errors import GatewayError, SessionLost, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp.base import Sink
from pointsman.mcp.protocol.lines import TooLong
from pointsman.mcp.transports.channel import Channel
from pointsman.mcp.transports.child import Child, Listener
from pointsman.wire.jsonrpc import INTERNAL_ERROR, PARSE_ERROR, Message, RpcError, failure, parse, parse_batch, readable

BEGINNINGS: Final = frozenset({"initialize", "server/discover"})
MAX_BATCH: Final = 1000
RESPONSES: Final = (b'"result"', b'"error"')
"""One of them is a member of each response."""
TOO_LONG: Final = "The MCP server's answer is longer than is allowed"
NO_JSON: Final = "The MCP server's answer is no JSON"
CLOSE_SECONDS: Final = 4.0
"""That closing waits for the process, which the keeper gives less."""


class Host(Protocol):
    """Who starts the processes, and is told how they fare."""

    @property
    def start_seconds(self) -> float:
        """That one may take until its first answer."""

    @property
    def last_words(self) -> str:
        """What was said last, for the operator."""

    def make(self, listener: Listener) -> Child:
        """Make one that is to be started."""

    async def start(self, child: Child, deadline: float) -> None:
        """Start it, when that may be; ``deadline`` is in ``loop.time()``.

        :raises GatewayError: it may not be now, or it cannot be
        """

    def on_word(self, line: bytes) -> None:
        """One has said something that is no message."""

    def on_gone(self, child: Child, status: int, *, is_useful: bool) -> None:
        """One has ended. ``is_useful``: it has answered more than how it is called."""

    def on_closed(self, stdio: Stdio) -> None:
        """It starts no process any more."""


class Stdio:
    """A :class:`~pointsman.mcp.base.Transport` over one process at a time."""

    has_session: Final = False

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._starting = asyncio.Lock()
        self._session: _Session | None = None
        self._is_closed = False
        self.last_used = self._loop.time()

    @property
    def is_idle(self) -> bool:
        """Whether there is a process, and no request goes on or is about to."""
        session = self._session
        return session is not None and session.child.is_alive and not session.channel and not self._starting.locked()

    async def request(
        self, message: Message, on_message: Sink, *, headers: Mapping[str, str], deadline: float
    ) -> Message:
        """See :class:`~pointsman.mcp.base.Transport`; no two requests that go on have the same id."""
        del headers
        try:
            async with asyncio.timeout_at(deadline):
                session = await self._begun(deadline) if message.method in BEGINNINGS else self._current()
                return await session.request(message, on_message)
        except TimeoutError as error:
            raise UpstreamTimeout("The MCP server did not answer in time") from error
        finally:
            self.last_used = self._loop.time()

    async def post(self, message: Message, *, headers: Mapping[str, str], deadline: float) -> None:
        """See :class:`~pointsman.mcp.base.Transport`."""
        del headers
        try:
            async with asyncio.timeout_at(deadline):
                await self._current().child.write(_line(message))
        except TimeoutError as error:
            raise UpstreamTimeout("The MCP server did not take the message in time") from error

    async def listen(
        self, on_message: Sink, *, headers: Mapping[str, str], on_open: Callable[[], None] = lambda: None
    ) -> None:
        """Hear what belongs to no request, until the process ends: that is always told by an error."""
        del headers
        session = self._current()
        with session.channel.listening(on_message):
            on_open()
            await session.ended.wait()
        raise SessionLost

    async def close(self) -> None:
        """End the process, and wait for that for some seconds."""
        self._is_closed = True
        self._host.on_closed(self)
        self.rest()
        if self._session is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._session.ended.wait(), CLOSE_SECONDS)

    def rest(self) -> None:
        """End the process until it is needed again."""
        if self._session is not None:
            self._session.child.end()

    def _current(self) -> _Session:
        if self._session is None or not self._session.child.is_alive:
            raise SessionLost
        return self._session

    async def _begun(self, deadline: float) -> _Session:
        async with self._starting:
            if self._session is None or not self._session.child.is_alive:
                if self._is_closed:
                    raise SessionLost
                session = _Session(self._host)
                await self._host.start(session.child, deadline)
                session.begin()
                self._session = session
        return self._session


class _Gone(Exception):
    """The process has ended."""


class _Session:
    """What goes on with one process, until it has ended."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._patience: asyncio.TimerHandle | None = None
        self._has_answered = False
        self._is_useful = False
        self._end = ""
        """Tells the operator how it has ended."""
        self.child = host.make(self)
        self.channel = Channel()
        self.ended = asyncio.Event()

    def begin(self) -> None:
        """It runs, and has to answer something in time."""
        self._patience = asyncio.get_running_loop().call_later(self._host.start_seconds, self._lose_patience)

    async def request(self, message: Message, on_message: Sink) -> Message:
        with self.channel.waiting(message, on_message) as answer:
            read = await self.child.write(_line(message))
            if self.ended.is_set():
                raise self._failure(read)
            try:
                found = await answer
            except _Gone as gone:
                raise self._failure(read) from gone
        self._is_useful = self._is_useful or message.method not in BEGINNINGS
        return found

    def on_line(self, line: bytes | TooLong) -> None:
        try:
            messages = _refusal(line, TOO_LONG) if isinstance(line, TooLong) else _messages(line)
        except RpcError:
            self.on_word(line)
            return
        for message in messages:
            self._has_answered = self._has_answered or not message.method
            self.channel.take(message)

    def on_word(self, line: bytes | TooLong) -> None:
        self._host.on_word(line.begin if isinstance(line, TooLong) else line)

    def on_gone(self, status: int) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._end = f"exit status {status}: {self._host.last_words}"
        self._host.on_gone(self.child, status, is_useful=self._is_useful)
        self.channel.fail(_Gone)
        self.ended.set()

    def _failure(self, read: int) -> GatewayError:
        """Of a request that the process had seen if it had read so much."""
        if not self._has_answered:
            return UpstreamUnreachable("The MCP server could not be started", operator_detail=self._end)
        if read > self.child.bytes_read:
            return SessionLost(operator_detail=self._end)
        return UpstreamBroken("The MCP server ended before it had answered", operator_detail=self._end)

    def _lose_patience(self) -> None:
        if not self._has_answered:
            self._host.on_word(b"pointsman: the server is ended, because it has answered nothing")
            self.child.kill()


def _line(message: Message) -> bytes:
    # Line ends in what came from somebody else are white space.
    return message.encode().replace(b"\n", b" ") + b"\n"


def _messages(line: bytes) -> list[Message]:
    """:raises RpcError: there are none in it"""
    line = readable(line)
    try:
        return parse_batch(line, MAX_BATCH) if line.startswith(b"[") else [parse(line)]
    except RpcError as error:
        if error.code != PARSE_ERROR or not any(member in line for member in RESPONSES):
            raise
        # Whoever waits for it would wait for nothing.
        return _refusal(TooLong(line, line), NO_JSON)


def _refusal(line: TooLong, why: str) -> list[Message]:
    """What stands for a response that cannot be taken.

    :raises RpcError: it is none
    """
    error = RpcError(INTERNAL_ERROR, why)
    if line.id is None:
        raise error
    return [failure(line.id, error)]
