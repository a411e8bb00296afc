"""The processes of stdio servers: how many there are, when they may be started again, and which of them makes room.

A process is started by the request that needs it. One that has died is started again at once the first times; one that
keeps dying has to wait, longer each time, and as soon as that is longer than a request would wait, requests are refused
until the time is over. Then the next request is the trial. When there is no place for another process, the one that was
used least recently is ended, if no request of it goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from pointsman.errors import Overloaded, UpstreamUnreachable
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.transports.child import Child, Command, Listener
from pointsman.mcp.transports.stdio import Stdio
from pointsman.telemetry.logs import Redactor

INHERITED: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
)  # fmt: skip
"""What a server has of the gateway's environment; all else is only what is configured for it."""
ENVELOPE_BYTES: Final = 65_536
"""Of a message around its result."""
START_SECONDS: Final = 120.0
"""That a process may take until its first answer; some are installed when they are first run."""
STEADY_SECONDS: Final = 60.0
"""A process that has lived so long has not failed to start."""
FREE_DEATHS: Final = 2
FIRST_WAIT: Final = 0.25
MAX_WAIT: Final = 60.0
PATIENCE: Final = 1.0
"""Seconds that a request waits until the process may be started."""
STDERR_LINES: Final = 200
MAX_KNOWN: Final = 10_000
"""Servers whose fate is remembered."""
LAST_WORDS: Final = 5
WORD_CHARACTERS: Final = 1000

log = logging.getLogger(__name__)


class Restarts:
    """When a process that keeps dying may be started again. Times are of any clock that does not go back."""

    def __init__(self) -> None:
        self._deaths = 0
        self._not_before = 0.0

    def wait(self, now: float) -> float:
        """Seconds until it may be."""
        return max(0.0, self._not_before - now)

    def note(self, now: float, *, is_useful: bool) -> None:
        """It has died; ``is_useful``: after it had been of use."""
        self._deaths = 1 if is_useful else self._deaths + 1
        more = self._deaths - FREE_DEATHS
        self._not_before = now + (min(MAX_WAIT, FIRST_WAIT * 2 ** min(more - 1, 16)) if more > 0 else 0.0)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a server fares."""

    pids: tuple[int, ...]
    """Process groups that run."""
    starts: int
    """Processes that were ever started."""
    wait: float
    """Seconds until it may be started again, because it keeps dying; 0: now."""
    words: tuple[str, ...]
    """Lines of its error output, the last ones, without the secrets that it was given."""


class Supervisor:
    """All processes of a gateway."""

    def __init__(self, most: int, environment: Mapping[str, str], *, start_seconds: float = START_SECONDS) -> None:
        """``most`` processes run at a time; ``environment`` is the gateway's own.

        ``start_seconds``: that a process may take until its first answer.
        """
        self.most = most
        self._inherited = {name: environment[name] for name in INHERITED if name in environment}
        self.start_seconds = start_seconds
        self._loop = asyncio.get_running_loop()
        self._homes: dict[str, _Home] = {}
        self._open: set[Stdio] = set()
        self._running: set[Child] = set()
        self._is_closed = False

    def transport(self, settings: ServerSettings) -> Stdio:
        """A transport to a server, which has a process of its own once it is used."""
        home = self._homes.pop(settings.id, None)
        if home is None or home.settings != settings:
            home = _Home(self, settings)
        # Those that were used last are at the end.
        self._homes[settings.id] = home
        if len(self._homes) > MAX_KNOWN:
            del self._homes[next(iter(self._homes))]
        stdio = Stdio(home)
        self._open.add(stdio)
        return stdio

    def standing(self, server_id: str) -> Standing | None:
        """How a server fares; ``None``: none of that id was ever used."""
        home = self._homes.get(server_id)
        return None if home is None else home.standing(self._loop.time())

    async def close(self) -> None:
        """End all processes."""
        self._is_closed = True
        await asyncio.gather(*(stdio.close() for stdio in list(self._open)))

    async def launch(self, child: Child) -> None:
        """Start a process, in the place of another one where that is needed.

        :raises Overloaded: all that there may be are in use
        :raises OSError: the system has no room for it, or there is no such directory
        """
        self._make_room()
        self._running.add(child)
        try:
            await child.start()
        except BaseException:
            self._running.discard(child)
            raise

    def command(self, settings: ServerSettings) -> Command:
        """What is run for a server."""
        return Command(
            argv=settings.command,
            env=self._inherited | dict(settings.env),
            cwd=settings.cwd,
            max_line=settings.max_result_bytes + ENVELOPE_BYTES,
            max_memory=settings.max_memory_bytes,
        )

    def discard(self, child: Child) -> None:
        """It is gone."""
        self._running.discard(child)

    def forget(self, stdio: Stdio) -> None:
        """It is closed."""
        self._open.discard(stdio)

    def _make_room(self) -> None:
        if self._is_closed:
            raise Overloaded
        # Those that were told to end are as good as gone.
        excess = sum(child.is_alive for child in self._running) + 1 - self.most
        if excess <= 0:
            return
        idle = sorted((one for one in self._open if one.is_idle), key=lambda one: one.last_used)
        if len(idle) < excess:
            raise Overloaded("As many MCP servers are running as may be; try again", retry_after=1.0)
        for one in idle[:excess]:
            one.rest()


class _Home:
    """What is kept of a server from one process to the next."""

    def __init__(self, supervisor: Supervisor, settings: ServerSettings) -> None:
        self.settings = settings
        self._supervisor = supervisor
        self._restarts = Restarts()
        self._words: deque[str] = deque(maxlen=STDERR_LINES)
        self._redactor = Redactor(settings.env.values())
        self._children: set[Child] = set()
        self._starts = 0

    @property
    def start_seconds(self) -> float:
        return self._supervisor.start_seconds

    def make(self, listener: Listener) -> Child:
        return Child(self._supervisor.command(self.settings), listener)

    async def start(self, child: Child, deadline: float) -> None:
        now = asyncio.get_running_loop().time
        wait = self._restarts.wait(now())
        if wait > min(PATIENCE, deadline - now()):
            raise UpstreamUnreachable(
                "The MCP server keeps ending, so it is not started for some time",
                retry_after=wait,
                operator_detail=self.last_words,
            )
        await asyncio.sleep(wait)
        self._starts += 1
        self._children.add(child)
        try:
            await self._supervisor.launch(child)
        except OSError as error:
            self._restarts.note(now(), is_useful=False)
            detail = f"{self.settings.id}: {error}"
            raise UpstreamUnreachable("The MCP server could not be started", operator_detail=detail) from error
        finally:
            if not child.is_started:
                self._children.discard(child)

    def on_word(self, line: bytes) -> None:
        text = self._redactor.redact(line.decode(errors="replace")).strip()
        if text:
            self._words.append(text[:WORD_CHARACTERS])

    def on_gone(self, child: Child, status: int, *, is_useful: bool) -> None:
        self._children.discard(child)
        self._supervisor.discard(child)
        if child.is_ending:
            return
        now = asyncio.get_running_loop().time()
        self._restarts.note(now, is_useful=is_useful or now - child.started >= STEADY_SECONDS)
        log.warning("the MCP server %s has ended (status %d): %s", self.settings.id, status, self.last_words)

    def on_closed(self, stdio: Stdio) -> None:
        self._supervisor.forget(stdio)

    @property
    def last_words(self) -> str:
        return " | ".join(list(self._words)[-LAST_WORDS:])

    def standing(self, now: float) -> Standing:
        return Standing(
            pids=tuple(sorted(child.pid for child in self._children)),
            starts=self._starts,
            wait=self._restarts.wait(now),
            words=tuple(self._words),
        )
