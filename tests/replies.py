"""A reply that keeps what a client would read."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from pointsman.wire.replies import Flow


class Reply:
    """See :class:`pointsman.wire.replies.Reply`."""

    def __init__(self) -> None:
        self.status = 0
        self.head = b""
        self.body = b""
        self.is_started = False
        self.is_finished = False
        self.flow: Flow | None = None
        self.news = asyncio.Event()

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        assert not self.is_started
        self.start(status, headers)
        self.body = body
        self.finish()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        assert not self.is_started
        assert length is None
        self.is_started, self.status, self.head = True, status, headers

    def write(self, piece: bytes) -> None:
        assert not self.is_finished
        self.body += piece
        self.news.set()

    def finish(self) -> None:
        assert not self.is_finished
        self.is_finished = True
        self.news.set()

    def flow_to(self, flow: Flow | None) -> None:
        self.flow = flow

    async def until(self, count: int) -> list[Any]:
        """The values of events, as soon as there are so many of them."""
        async with asyncio.timeout(5):
            while len(self.messages) < count:
                self.news.clear()
                await self.news.wait()
        return self.messages

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.head.decode().split("\r\n") if line)

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type") == "text/event-stream"

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[tuple[str, bytes]]:
        """Name and data of each of a stream, comments aside."""
        found = []
        for block in self.body.split(b"\n\n"):
            lines = [line.partition(b": ") for line in block.split(b"\n")]
            name = next((value.decode() for field, _, value in lines if field == b"event"), "message")
            data = [value for field, _, value in lines if field == b"data"]
            if data:
                found.append((name, b"\n".join(data)))
        return found

    @property
    def messages(self) -> list[Any]:
        """The values of a stream's events of the usual name."""
        return [msgspec.json.decode(data) for name, data in self.events if name == "message"]
