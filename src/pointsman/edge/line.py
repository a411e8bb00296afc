"""The line between a worker and its parent, and through that to the other workers.

Messages are JSON objects, one to a line. The parent passes each on to all other workers that serve, an ``ask`` also to
those that are just starting, as soon as they do. It adds two of its own: ``ask``, when a signal asks it for something,
and ``gone``, when a worker has ended. Before them comes the one byte with which a worker says that it serves; the end
of the line means what it always has.

=========  ==================================================================================
``state``  what a worker tells of itself, whenever that has changed
``ask``    something that all others are to do, with an ``id``
``done``   what came of it, with that ``id``
``gone``   the worker with this ``pid`` has ended
=========  ==================================================================================
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from pointsman.telemetry.tasks import Tasks

MAX_MESSAGE_BYTES = 131_072
MAX_SHORT_BYTES = 4096
"""Of a part of a message that is too long."""
MAX_WAITING_BYTES = 4 * MAX_MESSAGE_BYTES
"""That the other end has not taken yet."""
READ_BYTES = 65_536
PATIENCE = 30.0
"""Seconds in which the others have to answer."""

RETIRED = "is asked, but this worker is being replaced, and does not hear what comes of it"

log = logging.getLogger(__name__)

Message = Mapping[str, Any]
Answering = Callable[[Message], Awaitable[Message]]
"""Does what another worker asks for, and tells what came of it."""


class Lines:
    """Cuts a stream of bytes into messages. What is too long, or no message, is passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_lost = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            was_lost, self._is_lost = self._is_lost, False
            if not was_lost and len(line) <= MAX_MESSAGE_BYTES:
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    yield msgspec.json.decode(line, type=dict[str, Any])
        if len(self._rest) > MAX_MESSAGE_BYTES:
            self._rest, self._is_lost = b"", True


class Outgoing:
    """Sends bytes whole or not at all; what the other end does not take at once waits, up to a bound."""

    def __init__(self, line: socket.socket) -> None:
        """``line`` does not block once there is an event loop."""
        self._line = line
        self._waiting = b""

    def send(self, data: bytes) -> bool:
        """Whether they are on their way. An end that is gone is noticed by whoever reads."""
        if self._waiting:
            has_room = len(self._waiting) + len(data) <= MAX_WAITING_BYTES
            self._waiting += data if has_room else b""
            return has_room
        sent = self._try(data)
        if sent < len(data):
            self._waiting = data[sent:]
            asyncio.get_running_loop().add_writer(self._line.fileno(), self._go_on)
        return True

    def stop(self) -> None:
        """Before the line is closed: what waits is given up."""
        if self._waiting:
            self._waiting = b""
            asyncio.get_running_loop().remove_writer(self._line.fileno())

    def _go_on(self) -> None:
        rest = self._waiting[self._try(self._waiting) :]
        if not rest:
            self.stop()
        self._waiting = rest

    def _try(self, data: bytes) -> int:
        try:
            return self._line.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)


def packed(message: object) -> bytes:
    """A message as it goes over the line."""
    return msgspec.json.encode(message) + b"\n"


class Peers:
    """The other workers, as one of them sees them. Without a line there are none.

    ``on_end`` is called when the line has ended.
    """

    def __init__(self, line: socket.socket | None = None, *, patience: float = PATIENCE) -> None:
        self.on_end: Callable[[], None] = lambda: None
        self.pid = os.getpid()
        self._line = line
        self._lines = Lines()
        self._outgoing = None if line is None else Outgoing(line)
        self._patience = patience
        self._states: dict[int, Message] = {}
        self._told: Message = {}
        self._answering: Answering | None = None
        self._tasks: Tasks | None = None
        self._open: dict[str, _Question] = {}
        self._count = 0
        self._is_started = False
        self._is_deaf = False
        self._is_over = False
        """Whether the parent says nothing any more; it still listens to one that it has retired."""

    @property
    def is_alone(self) -> bool:
        """Whether there are never any."""
        return self._line is None

    def start(self) -> None:
        """Listen, in the event loop that runs, and talk from now on."""
        self._is_started = True
        if self._line is not None:
            self._line.setblocking(False)
            asyncio.get_running_loop().add_reader(self._line.fileno(), self._read)
            if self._told:
                self._send({"kind": "state", "state": self._told})

    def serve(self, answering: Answering, tasks: Tasks) -> None:
        """Do what others ask for, in ``tasks``."""
        self._answering, self._tasks = answering, tasks

    def say(self, data: bytes) -> None:
        """Send bytes to the parent, if there is one and it listens."""
        if self._outgoing is None:
            return
        was_deaf, self._is_deaf = self._is_deaf, not self._outgoing.send(data)
        if self._is_deaf and not was_deaf:
            log.warning("the other workers do not hear this one: their parent does not listen")

    def tell(self, state: Message) -> None:
        """Let the others know how this one is, if that is news."""
        if state != self._told:
            self._told = dict(state)
            if self._is_started:
                self._send({"kind": "state", "state": self._told})

    def states(self) -> list[Message]:
        """How the others are, as far as they have told."""
        return [state | {"pid": pid} for pid, state in self._states.items()]  # type: ignore[operator]

    async def ask(self, what: Message) -> list[Message]:
        """Have all others do something, and wait for what came of it; who does not answer is given as such."""
        self._count += 1
        name = f"{self.pid}-{self._count}"
        question = self._open[name] = _Question(set(self._states))
        try:
            # Also where there is nobody yet: the parent asks those that are just starting.
            self._send({"kind": "ask", "id": name, "what": dict(what)})
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._is_over else self._patience):
                    await question.over.wait()
        finally:
            del self._open[name]
        errors = [RETIRED if self._is_over else f"has not answered within {self._patience:g} s, and may still be at it"]
        silent = [{"pid": pid, "status": "failed", "errors": errors} for pid in sorted(question.waiting)]
        return [*question.answers, *silent]

    def _send(self, message: Message) -> None:
        data = packed({**message, "pid": self.pid})
        if len(data) > MAX_MESSAGE_BYTES:
            log.error("the other workers are not told of a %s: it has %d bytes", message["kind"], len(data))
            return
        self.say(data)

    def _read(self) -> None:
        assert self._line is not None
        try:
            data = self._line.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            if self._outgoing is not None:
                self._outgoing.stop()
            self._is_over = True
            for question in self._open.values():
                question.over.set()
            self.on_end()
        for message in self._lines.feed(data):
            self._take(message)

    def _take(self, message: Message) -> None:
        pid, kind = message.get("pid", 0), message.get("kind")
        if kind == "state":
            self._states[pid] = message.get("state", {})
        elif kind == "gone":
            self._states.pop(pid, None)
            for question in self._open.values():
                question.leave(pid)
        elif kind == "ask" and self._answering is not None and self._tasks is not None:
            self._tasks.start(self._answer(self._answering, message), "do what another worker asks for")
        elif kind == "done" and (asked := self._open.get(message.get("id", ""))) is not None:
            asked.answer(pid, message.get("outcome", {}))

    async def _answer(self, answering: Answering, message: Message) -> None:
        outcome = await answering(message.get("what", {}))
        if len(packed(outcome)) > MAX_MESSAGE_BYTES // 2:
            short = {name: value for name, value in outcome.items() if len(packed(value)) <= MAX_SHORT_BYTES}
            outcome = short | {"errors": ["what came of it is too long to be told here"]}
        self._send({"kind": "done", "id": message.get("id", ""), "outcome": dict(outcome)})


class _Question:
    """Who has not answered yet, and what the others have."""

    def __init__(self, waiting: set[int]) -> None:
        self.waiting = waiting
        self.answers: list[Message] = []
        self.over = asyncio.Event()
        if not waiting:
            self.over.set()

    def answer(self, pid: int, outcome: Message) -> None:
        if pid in self.waiting:
            self.answers.append({"pid": pid, **outcome})
            self.leave(pid)

    def leave(self, pid: int) -> None:
        self.waiting.discard(pid)
        if not self.waiting:
            self.over.set()
