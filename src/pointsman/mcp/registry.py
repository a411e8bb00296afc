"""The servers in force: those of the config, and those that clients of the registry have added.

The latter are rows of the store, read when they are needed first and again when somebody, here or elsewhere, has
changed them. An id of the config goes before the same one in the store. While the store is away, what was read last
stays in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from pointsman.errors import Overloaded
from pointsman.mcp.rows import TABLE, from_doc
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.store.base import Records, Row, StoreDown
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

MAX_SERVERS: Final = 1000
"""Of the store."""
PAUSE: Final = 5.0
"""Seconds before a store that is away is asked again."""
GLANCE: Final = 0.5
"""Seconds before it is looked again whether there is one."""
TRIES: Final = 5
"""Times that the rows are read again because they have changed meanwhile."""

Source = tuple[str, str]
"""Table and id of a row."""


class Changing(Protocol):
    """Who hears of all rows that change."""

    @property
    def listeners(self) -> list[Callable[[Iterable[Source] | None], None]]: ...


class Feed(Protocol):
    """A store, and news of its changes."""

    @property
    def records(self) -> Records: ...
    @property
    def sealer(self) -> Sealer | None: ...
    @property
    def keys(self) -> Changing: ...


class Registry:
    """Lasts as long as the process; its methods belong to the event loop."""

    def __init__(self, feed: Callable[[], Awaitable[Feed | None]], tasks: Tasks, *, clock: Callable[[], float]) -> None:
        """``feed`` gives the store as soon as there is one, and raises :class:`Overloaded` while it is away."""
        self.servers: Mapping[str, ServerSettings] = {}
        """By id, those of the config first; replaced as a whole when anything changes."""
        self.faults: Mapping[str, str] = {}
        """Rows that are not in force, and why, by id."""
        self.on_change: list[Callable[[], None]] = []
        """Called when ``servers`` are other ones."""
        self.settings = McpSettings()
        """Of the config in force."""
        self._feed = feed
        self._tasks = tasks
        self._clock = clock
        self._rows: tuple[Row, ...] = ()
        self._sealer: Sealer | None = None
        self._changes = 0
        self._read = -1
        """How many changes there were when the rows were read."""
        self._rests = 0.0
        self._heard: Changing | None = None
        self._flight: asyncio.Task[None] | None = None

    def configure(self, settings: McpSettings) -> None:
        """Another config is in force."""
        self.settings = settings
        self._settle()

    async def ready(self) -> None:
        """See to it that ``servers`` are those of the moment, as far as the store says."""
        if self._read != self._changes and self._clock() >= self._rests:
            await self.load()

    async def load(self) -> None:
        """Read the rows, together with all who want that at the moment."""
        if self._flight is None:
            self._flight = self._tasks.start(self._load(), "read the registered MCP servers")
            self._flight.add_done_callback(self._land)
        await asyncio.shield(self._flight)

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        if rows is None or any(table == TABLE for table, _ in rows):
            self._changes += 1
            # Who only listens is to hear of it too. Where the process ends, nobody does.
            if self._flight is None:
                with suppress(Overloaded):
                    self._flight = self._tasks.start(self._load(), "read the registered MCP servers again")
                    self._flight.add_done_callback(self._land)

    def _land(self, _flight: asyncio.Task[None]) -> None:
        self._flight = None

    async def _load(self) -> None:
        try:
            feed = await self._feed()
            if feed is None:
                self._rests = self._clock() + GLANCE
                return
            if self._heard is not feed.keys:
                self._heard = feed.keys
                feed.keys.listeners.append(self.heard)
            self._sealer = feed.sealer
            for _ in range(TRIES):
                changes = self._changes
                self._rows = tuple(await feed.records.find(TABLE, limit=MAX_SERVERS))
                self._read = changes
                if changes == self._changes:
                    break
        except (StoreDown, Overloaded) as error:
            log.warning("the store is away, the MCP servers that are known go on: %s", error)
            self._rests = self._clock() + PAUSE
            return
        self._settle()

    def _settle(self) -> None:
        found = {server.id: server for server in self.settings.servers}
        prefixes = {server.prefix or server.id for server in self.settings.servers}
        faults: dict[str, str] = {}
        for row in self._rows:
            if row.id in found:
                faults[row.id] = "the config has a server with the same id"
                continue
            try:
                server = from_doc(row.id, row.doc, self._sealer, self.settings.stdio_commands)
            except (CannotUnseal, ValueError) as error:
                faults[row.id] = str(error)
                continue
            if (server.prefix or server.id) in prefixes:
                faults[row.id] = "the tools of another server begin in the same way"
                continue
            prefixes.add(server.prefix or server.id)
            found[row.id] = server
        for server_id, why in faults.items():
            if self.faults.get(server_id) != why:
                log.warning("the registered MCP server %s is not in force: %s", server_id, why)
        self.faults = faults
        if found != self.servers:
            self.servers = found
            for listener in self.on_change:
                listener()
