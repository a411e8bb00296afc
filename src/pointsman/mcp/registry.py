"""The servers in force: those of the config, and those that clients of the registry have added.

The latter are rows of the store. An id of the config goes before the same one in the store.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from pointsman.mcp.rows import TABLE, from_doc
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.store.following import Feed, Followed, Source
from pointsman.store.sealing import CannotUnseal
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

MAX_SERVERS: Final = 1000
"""Of the store."""


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
        self._stored = Followed(
            TABLE, feed, tasks, self._settle, what="registered MCP servers", most=MAX_SERVERS, clock=clock
        )

    def configure(self, settings: McpSettings) -> None:
        """Another config is in force."""
        self.settings = settings
        self._settle()

    async def ready(self) -> None:
        """See to it that ``servers`` are those of the moment, as far as the store says."""
        await self._stored.ready()

    async def load(self) -> None:
        """Read the rows, together with all who want that at the moment."""
        await self._stored.load()

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        self._stored.heard(rows)

    def _settle(self) -> None:
        found = {server.id: server for server in self.settings.servers}
        prefixes = {server.prefix or server.id for server in self.settings.servers}
        faults: dict[str, str] = {}
        for row in self._stored.rows:
            if row.id in found:
                faults[row.id] = "the config has a server with the same id"
                continue
            try:
                server = from_doc(row.id, row.doc, self._stored.sealer, self.settings.stdio_commands)
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
