"""Those whom the parts of the MCP gateway speak with, without sockets and clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from pointsman.access.caller import NOBODY
from pointsman.mcp.base import Client, Era, Sink
from pointsman.wire.jsonrpc import Message, RpcError, failure, raw, success

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
