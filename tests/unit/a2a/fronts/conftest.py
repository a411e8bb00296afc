from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from replies import Reply

from pointsman.a2a.base import Call, LiveCard
from pointsman.a2a.fronts.entry import Fronts
from pointsman.a2a.fronts.streams import Request
from pointsman.a2a.settings import A2aSettings
from pointsman.access.caller import Caller
from pointsman.telemetry.tasks import Tasks

JSON = {b"content-type": b"application/json"}


class Gateway:
    """Answers as the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: bytes | Exception = b'{"task":{"id":"t"}}'
        self.events: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.asked = asyncio.Event()
        """For an event."""
        self.is_closed = False

    async def ask(self, call: Call) -> bytes:
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def stream(self, call: Call) -> AsyncGenerator[bytes, None]:
        self.calls.append(call)
        try:
            while True:
                self.asked.set()
                event = await self.events.get()
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.is_closed = True

    def will_tell(self, *events: bytes | Exception | None) -> None:
        for event in events:
            self.events.put_nowait(event)

    async def wait(self) -> None:
        """Until it is asked for an event that it does not have."""
        async with asyncio.timeout(5):
            await self.asked.wait()
            while not self.events.empty():
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)


class Cards:
    """All agents say the same of themselves."""

    def __init__(self) -> None:
        self.card: dict[str, Any] = {"name": "x"}
        self.asked: list[str] = []

    async def live(self, agent: str) -> LiveCard:
        self.asked.append(agent)
        return LiveCard(card=self.card, interfaces=(), state="live")

    def changed(self, agent: str) -> None:
        raise AssertionError(agent)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def cards() -> Cards:
    return Cards()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks(logging.getLogger("test"), 10)
    yield tasks
    await tasks.close(1)


@pytest.fixture
async def fronts(gateway: Gateway, cards: Cards, tasks: Tasks) -> AsyncIterator[Fronts]:
    fronts = Fronts(gateway, cards, A2aSettings(ping_seconds=3600), tasks)
    yield fronts
    fronts.close()


@pytest.fixture
def make_request() -> Callable[..., tuple[Request, Reply]]:
    def make(body: bytes = b"", headers: Mapping[bytes, bytes] | None = None, **members: Any) -> tuple[Request, Reply]:
        reply = Reply()
        told: dict[str, Any] = {
            "caller": Caller(name="k"),
            "agent": "demo",
            "reply": reply,
            "lines": b"x-request-id: r1\r\n",
            "id": "r1",
        }
        return Request(headers=JSON | dict(headers or {}), body=body, **(told | members)), reply

    return make
