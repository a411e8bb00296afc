"""The parent of ``--workers N``: starts workers, replaces those that die, restarts them one after the other.

Each worker is a fresh interpreter that runs ``pointsman serve`` on the listening socket that it inherits; so a restart
picks up a changed installation. Parent and worker hold the two ends of a *line*:

- the worker writes one byte when it serves;
- then both write messages: what one worker says, the parent tells all others (see :mod:`pointsman.edge.line`);
- the worker's end closes when it dies, however it does: the parent sees that at once;
- the parent's end closes when it retires the worker, or dies: the worker finishes what it has and ends.

A worker is retired when its successor serves, and nobody waits for its last stream. What connects meanwhile waits in
the backlog that all of them share.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

from pointsman.cli.asks import Asks
from pointsman.edge.drain import READY
from pointsman.edge.line import READ_BYTES, Lines, Message, Outgoing, packed

log = logging.getLogger(__name__)

START_SECONDS = 20.0
"""A worker that does not serve by then never will."""
LAST_WORDS_SECONDS = 5.0
YOUNG_SECONDS = 3.0
"""A worker that dies younger may be unable to live."""
MAX_PAUSE = 30.0
LOOK_AGAIN = 0.5
MAX_LEAVING = 4
"""Retired generations that may still be busy; the next restart waits for them."""


class Process(Protocol):
    """A child of this process."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...


def kill(process: Process, what: signal.Signals) -> None:
    """Send a signal, if it lives."""
    # Not by Process.send_signal: that looks whether the child has ended, and takes its exit code from whoever waits.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, what)


class Stage(Enum):
    """Where a worker is in its life."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()
    LOST = auto()
    """It ends although nobody told it to."""


class Worker:
    """One process and the line to it."""

    def __init__(
        self, process: Process, line: socket.socket, kill: Callable[[Process, signal.Signals], None] = kill
    ) -> None:
        self.process = process
        self.stage = Stage.STARTING
        self.born = asyncio.get_running_loop().time()
        self.state: Message | None = None
        """What it has told of itself."""
        self._line = line
        self._lines = Lines()
        self._outgoing = Outgoing(line)
        self._is_deaf = False
        self._kill = kill
        line.setblocking(False)

    async def has_started(
        self, on_death: Callable[[Worker], None], on_message: Callable[[Worker, Message], None]
    ) -> bool:
        """Wait until it serves, or never will. The others hear of the death of one that did, and of what it says."""
        loop = asyncio.get_running_loop()
        said = b""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(START_SECONDS):
                said = await loop.sock_recv(self._line, len(READY))
        has_started = said == READY
        if self.stage is Stage.STARTING:
            self.stage = Stage.SERVING if has_started else Stage.LOST
        if has_started:
            loop.add_reader(self._line.fileno(), self._hear, on_death, on_message)
        else:
            self._line.close()
            self._lose()
        return has_started

    def tell(self, message: Message) -> None:
        """Send a message, if it listens."""
        if self.stage is not Stage.SERVING:
            return
        was_deaf, self._is_deaf = self._is_deaf, not self._outgoing.send(packed(message))
        if self._is_deaf and not was_deaf:
            log.warning("worker %d does not listen, and misses what the others tell it", self.process.pid)

    def retire(self) -> None:
        """Let one that serves finish what it has, and end."""
        self.stage = Stage.LEAVING
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)

    def leave(self, how: signal.Signals) -> None:
        """Tell it to end, as the signal says."""
        # An interpreter that has just begun takes SIGINT for an error of its own.
        self.send(signal.SIGTERM if self.stage is Stage.STARTING else how)
        self.stage = Stage.LEAVING

    def send(self, what: signal.Signals) -> None:
        """Send a signal, if it lives."""
        self._kill(self.process, what)

    def _hear(self, on_death: Callable[[Worker], None], on_message: Callable[[Worker, Message], None]) -> None:
        try:
            data = self._line.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for message in self._lines.feed(data):
            on_message(self, message)
        if not data:
            self._die(on_death)

    def _die(self, on_death: Callable[[Worker], None]) -> None:
        asyncio.get_running_loop().remove_reader(self._line.fileno())
        self._outgoing.stop()
        self._line.close()
        on_death(self)
        if self.stage is Stage.SERVING:
            self.stage = Stage.LOST
            self._lose()

    def _lose(self) -> None:
        # Its process may not be over, or be about to say why it ends.
        asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self.send, signal.SIGKILL)


async def spawn(
    command: Sequence[str], listener: socket.socket, lend: Callable[[socket.socket], Awaitable[None]]
) -> Worker:
    """Start a process in a session of its own: Ctrl-C is for the parent.

    ``lend`` is given the other end of a socket over which it may ask what it may use (:mod:`pointsman.store.lending`).

    :raises OSError: the system has no room for it
    """
    ours, theirs = socket.socketpair()
    lender, borrower = socket.socketpair()
    inherited = (listener.fileno(), theirs.fileno(), borrower.fileno())
    try:
        with theirs, borrower:
            process = await asyncio.create_subprocess_exec(
                *command, "--inherited", *map(str, inherited), pass_fds=inherited, start_new_session=True
            )
    except OSError:
        ours.close()
        lender.close()
        raise
    await lend(lender)
    return Worker(process, ours)


class Supervisor:
    """Keeps ``count`` workers serving until a signal ends that.

    SIGTERM and SIGINT go on to the workers, and a second one kills them. SIGHUP has them read the configuration again,
    SIGUSR2 replaces them, one after the other.
    ``patience``: seconds from the moment a worker is told to end until it is killed.
    """

    def __init__(
        self, spawn: Callable[[], Awaitable[Worker]], listener: socket.socket, *, count: int, patience: float
    ) -> None:
        self._spawn = spawn
        self._listener = listener
        self._count = count
        self._patience = patience
        self._workers: list[Worker] = []
        self._stale: list[Worker] = []
        self._asks = Asks()
        self._signals = 0
        self._failures = 0
        self._has_failed = False
        self._is_ending = False
        self._called = asyncio.Event()
        self._woken = asyncio.Event()

    async def run(self) -> int:
        """Give the exit code when all workers have ended: 1 if anything was cut short, or they could not start."""
        loop = asyncio.get_running_loop()
        for how in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(how, self.end, how)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        loop.add_signal_handler(signal.SIGUSR2, self.restart)
        if await self._fill():
            log.info("%d workers serve", self._count)
        elif not self._is_ending:
            log.error("the gateway cannot start")
            self.end(signal.SIGINT)
            await self._wait()
            return 1
        while not self._is_ending:
            await self._step()
        return await self._wait()

    async def _wait(self) -> int:
        codes = await asyncio.gather(*(worker.process.wait() for worker in self._workers))
        told = {code for worker, code in zip(self._workers, codes, strict=True) if worker.stage is Stage.LEAVING}
        # One that is told to end before it can listen to that dies of it.
        return 0 if told <= {0, -signal.SIGTERM} else 1

    def end(self, how: signal.Signals) -> None:
        """Tell all workers to end; called again, kill them."""
        if self._is_ending:
            for worker in self._workers:
                worker.send(signal.SIGKILL)
            return
        self._is_ending = True
        self._called.set()
        self._woken.set()
        # The workers have it too: the last of them to close it serves what waits there.
        self._listener.close()
        for worker in self._staying():
            worker.leave(how)
            self._bound(worker)

    def reload(self) -> None:
        """Have all workers read the configuration again."""
        self._signals += 1
        what = {"do": "reload", "who": "SIGHUP"}
        self._ask({"kind": "ask", "id": f"0-{self._signals}", "pid": 0, "what": what}, self._serving())

    def _ask(self, message: Message, workers: list[Worker]) -> None:
        """Of these, and of those that are starting."""
        self._asks.put(message, (worker.process.pid for worker in workers), self._now())
        for worker in workers:
            worker.tell(message)

    def restart(self) -> None:
        """Replace all workers that were started by now, as soon as nothing is more urgent."""
        self._stale = self._staying()
        self._called.set()
        self._woken.set()

    def _staying(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.stage in (Stage.STARTING, Stage.SERVING)]

    def _serving(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.stage is Stage.SERVING]

    async def _step(self) -> None:
        """Do what is most urgent, or wait until something has happened."""
        self._woken.clear()
        self._workers = [worker for worker in self._workers if worker.process.returncode is None]
        if len(self._serving()) < self._count:
            await self._pause()
            if not self._is_ending:
                await self._fill()
        elif self._stale and len(self._workers) < self._count * (1 + MAX_LEAVING):
            await self._renew(self._stale.pop(0))
        else:
            # A process is gone a little later than its line: where a restart waits for that, it looks again.
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN if self._stale else None):
                    await self._woken.wait()

    async def _pause(self) -> None:
        """Rest before a replacement where one failure follows the other, unless a signal comes."""
        self._failures = self._failures + 1 if self._has_failed else 0
        self._has_failed = False
        self._called.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_after(self._failures)):
                await self._called.wait()

    async def _fill(self) -> bool:
        """Start as many as are missing; whether all of them serve."""
        missing = self._count - len(self._serving())
        return all(await asyncio.gather(*(self._start() for _ in range(missing))))

    async def _renew(self, old: Worker) -> None:
        """Put a new worker in the place of ``old``, or leave it and all others where they are."""
        if old.stage is Stage.SERVING and not await self._start():
            self._stale = []
            if not self._is_ending:
                log.error("the restart was given up: the old workers go on")
            return
        # It may have died meanwhile, or been told to end.
        if old.stage is Stage.SERVING:
            old.retire()
            self._forget(old)
            self._bound(old)
        if not self._stale:
            log.info("all workers were replaced")

    async def _start(self) -> bool:
        """Start one worker; whether it serves."""
        try:
            worker = await self._spawn()
        except OSError as error:
            log.error("no worker can be started: %s", error.strerror)  # noqa: TRY400  # the trace says no more
            self._has_failed = True
            return False
        self._workers.append(worker)
        if self._is_ending:
            worker.leave(signal.SIGTERM)
            self._bound(worker)
        has_started = await worker.has_started(self._on_death, self._pass_on)
        if has_started:
            for other in self._serving():
                if other.state is not None and other is not worker:
                    worker.tell(other.state)
            for ask in self._asks.missed(worker.process.pid, worker.born, self._now()):
                worker.tell(ask)
        if not (has_started or self._is_ending):
            log.error("worker %d did not start", worker.process.pid)
            self._has_failed = True
        return has_started

    def _pass_on(self, worker: Worker, message: Message) -> None:
        """Tell all others what a worker says; of one that is retired, only what it asks for and has done."""
        kind, others = message.get("kind"), [one for one in self._serving() if one is not worker]
        if kind == "ask":
            self._ask(message, others)
            return
        if kind == "done":
            self._asks.answered(message.get("id"), worker.process.pid, self._now())
        if worker.stage is not Stage.SERVING:
            return
        if kind == "state":
            worker.state = message
        for other in others:
            other.tell(message)

    def _forget(self, worker: Worker) -> None:
        self._asks.gone(worker.process.pid, self._now())
        for other in self._serving():
            other.tell({"kind": "gone", "pid": worker.process.pid})

    def _on_death(self, worker: Worker) -> None:
        self._woken.set()
        self._forget(worker)
        if worker.stage is Stage.SERVING:
            log.warning("worker %d died and is replaced", worker.process.pid)
            if self._now() - worker.born < YOUNG_SECONDS:
                self._has_failed = True

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _bound(self, worker: Worker) -> None:
        asyncio.get_running_loop().call_later(self._patience, worker.send, signal.SIGKILL)


def pause_after(failures: int) -> float:
    """Seconds to rest after so many failures in a row: none after the first, then longer and longer."""
    return min(MAX_PAUSE, 0.5 * 2 ** min(failures - 2, 16)) if failures > 1 else 0.0
