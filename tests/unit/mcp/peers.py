"""Those whom the parts of the MCP gateway speak with, without sockets and clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from pointsman.access.caller import NOBODY
from pointsman.errors import GatewayError
from pointsman.mcp.base import Client, Era, Sink
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.jsonrpc import Message, RpcError, failure, parse, raw, success


class Producer:
    """A connection that only remembers whether it was given up."""

    is_aborted = False

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def abort(self) -> None:
        self.is_aborted = True


class Answer:
    """An answer of a server over HTTP: ``pieces`` are there at once; it goes on by hand where it ``is_open``."""

    def __init__(self, status: int, headers: Mapping[str, str], *pieces: bytes, is_open: bool = False) -> None:
        self.producer = Producer()
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.response = Response(status, lines, self.producer)
        for piece in pieces:
            self.response.feed(piece)
        if not is_open:
            self.response.finish()


def json(value: object, status: int = 200, **headers: str) -> Answer:
    """A JSON body."""
    lines = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, lines, msgspec.json.encode(value))


def events(*values: object, is_open: bool = False, **headers: str) -> Answer:
    """A stream of events; text stands for itself."""
    pieces = [one.encode() if isinstance(one, str) else event(one) for one in values]
    lines = {"content-type": "text/event-stream"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(200, lines, *pieces, is_open=is_open)


def event(value: object, id: str | None = None) -> bytes:  # noqa: A002
    """One message as an event."""
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return head + b"data: %b\n\n" % msgspec.json.encode(value)


class Request:
    """What a server got over HTTP."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = dict(line.split(": ", 1) for line in lines if line)
        self.body = body

    @property
    def message(self) -> Message:
        return parse(self.body)


class Peer:
    """A server over HTTP: an upstream that answers each request with the next of its answers, or as ``on`` says."""

    host_header = b"mcp.test"

    def __init__(self, *answers: Answer | GatewayError, on: Callable[[Request], Answer] | None = None) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.repeatable: list[bool] = []
        self._on = on

    async def send(
        self,
        head: bytes,
        body: bytes,
        *,
        timeouts: Timeouts,
        deadline: float | None,
        is_repeatable: bool,
    ) -> Response:
        request = Request(head, body)
        self.requests.append(request)
        self.repeatable.append(is_repeatable)
        await asyncio.sleep(0)
        if self._on is not None:
            return self._on(request).response
        found = self.answers.pop(0)
        if isinstance(found, GatewayError):
            raise found
        return found.response


Reaction = Callable[[Message, Sink], Raw | Mapping[str, Any] | Exception | None]
"""What a server does with a request; ``None``: it never answers."""


class Wire:
    """A transport to a server that is a function. What is heard is said by ``say``."""

    def __init__(self, react: Reaction) -> None:
        self.react = react
        self.has_session = False
        self.requests: list[Message] = []
        self.headers: list[Mapping[str, str]] = []
        self.posts: list[Message] = []
        self.hearers: list[Sink] = []
        self.is_closed = False
        self.silence: asyncio.Future[None] | None = None
        """Failing it ends what is being listened to."""
        self.opens = True
        """Whether what is listened to begins at once, and not when ``open`` is called."""
        self.open: Callable[[], None] = lambda: None
        self.failures: list[Exception] = []
        """Of the next times that somebody listens."""

    @property
    def methods(self) -> list[str]:
        return [one.method for one in self.requests]

    async def request(
        self,
        message: Message,
        on_message: Sink,
        *,
        headers: Mapping[str, str],
        deadline: float,
    ) -> Message:
        self.requests.append(message)
        self.headers.append(headers)
        assert message.id is not msgspec.UNSET
        await asyncio.sleep(0)
        found = self.react(message, on_message)
        if found is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(found, RpcError):
            return failure(message.id, found)
        if isinstance(found, Exception):
            raise found
        assert found is not None
        return success(message.id, found)

    async def post(self, message: Message, *, headers: Mapping[str, str], deadline: float) -> None:
        self.posts.append(message)

    async def listen(
        self, on_message: Sink, *, headers: Mapping[str, str], on_open: Callable[[], None] = lambda: None
    ) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.silence = asyncio.get_running_loop().create_future()
        self.hearers.append(on_message)
        if self.opens:
            on_open()
        self.open = on_open
        try:
            await self.silence
        finally:
            self.hearers.remove(on_message)

    async def close(self) -> None:
        self.is_closed = True


class Talker:
    """A client's request: remembers what it is told, and answers what it is asked."""

    def __init__(self, era: Era = "legacy", answers: Mapping[str, object] | None = None, **client: Any) -> None:
        fields: dict[str, Any] = {"caller": NOBODY, "era": era, "revision": "", "info": {"name": "tester"}}
        if era == "legacy":
            fields["session"] = "s"
        self.client = Client(**fields | client)
        self.told: list[Message] = []
        self.asked: list[tuple[str, bytes]] = []
        self._answers = answers or {}

    def tell(self, message: Message) -> None:
        self.told.append(message)

    async def ask(self, method: str, params: Raw) -> Raw:
        self.asked.append((method, bytes(params)))
        await asyncio.sleep(0)
        found = self._answers.get(method)
        if found is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(found, Exception):
            raise found
        return raw(found)  # type: ignore[arg-type]  # a mapping


async def until(is_so: Callable[[], object]) -> None:
    """Let everybody else go on until something is so."""
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)
