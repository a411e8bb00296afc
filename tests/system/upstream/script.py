"""What the fake upstream is told to answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Literal

Headers = Sequence[tuple[str, str]]
JSON_TYPE = ("content-type", "application/json")
EVENT_TYPE = ("content-type", "text/event-stream; charset=utf-8")


class Gate:
    """A place in an answer where the upstream stops until the test opens it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._opened = asyncio.Event()
        self.reached = threading.Event()
        """Set when an answer has come this far."""

    def open(self) -> None:
        """Let the answer go on; from any thread."""
        self._loop.call_soon_threadsafe(self._opened.set)

    async def passed(self) -> None:
        """Wait for :meth:`open`."""
        self.reached.set()
        await self._opened.wait()


class End(Enum):
    """How an answer may end other than properly."""

    CUT = auto()
    """The connection is closed."""
    RESET = auto()
    """The connection is reset."""
    SILENCE = auto()
    """Nothing more is sent, until the gateway leaves."""


Step = bytes | Gate | End


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: a head, and steps of which each piece is written by itself."""

    status: int = 200
    headers: Headers = (JSON_TYPE,)
    steps: Sequence[Step] = ()
    framing: Literal["length", "chunked", "close", "raw"] = "length"
    """``raw`` writes the steps and no head."""

    @property
    def content(self) -> bytes:
        """All pieces."""
        return b"".join(step for step in self.steps if isinstance(step, bytes))


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """A JSON body with its length."""
    return Answer(status, (JSON_TYPE, *headers), (json.dumps(value).encode(),))


def error_answer(
    status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None, headers: Headers = ()
) -> Answer:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json_answer({"error": error}, status, headers)


def event(value: Any, name: str | None = None, end: str = "\n") -> bytes:
    """One server-sent event."""
    data = value if isinstance(value, str) else json.dumps(value)
    lead = "" if name is None else f"event: {name}{end}"
    return f"{lead}data: {data}{end}{end}".encode()


def stream_answer(*steps: Step, headers: Headers = ()) -> Answer:
    """A chunked stream of events."""
    return Answer(200, (EVENT_TYPE, *headers), steps, "chunked")


@dataclass
class Received:
    """A request as the upstream got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when the gateway has left before the answer was complete."""

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)
