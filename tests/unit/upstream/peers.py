"""Peers over HTTP without sockets and clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from pointsman.errors import GatewayError
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.jsonrpc import Message, parse


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
