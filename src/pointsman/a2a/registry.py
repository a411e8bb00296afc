"""The agents in force: those of the config, and those that clients of the registry have added.

The latter are rows of the store. An id of the config goes before the same one in the store.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from pointsman.a2a.rows import TABLE, from_doc
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.store.following import Feed, Followed, Source
from pointsman.store.sealing import CannotUnseal
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

MAX_AGENTS: Final = 1000
"""Of the store."""


class Registry:
    """Lasts as long as the process; its methods belong to the event loop."""

    def __init__(self, feed: Callable[[], Awaitable[Feed | None]], tasks: Tasks, *, clock: Callable[[], float]) -> None:
        """``feed`` gives the store as soon as there is one, and raises :class:`Overloaded` while it is away."""
        self.agents: Mapping[str, AgentSettings] = {}
        """By id, those of the config first; replaced as a whole when anything changes."""
        self.faults: Mapping[str, str] = {}
        """Rows that are not in force, and why, by id."""
        self.on_change: list[Callable[[], None]] = []
        """Called when ``agents`` are other ones."""
        self.settings = A2aSettings()
        """Of the config in force."""
        self._stored = Followed(
            TABLE, feed, tasks, self._settle, what="registered agents", most=MAX_AGENTS, clock=clock
        )

    def configure(self, settings: A2aSettings) -> None:
        """Another config is in force."""
        self.settings = settings
        self._settle()

    async def ready(self) -> None:
        """See to it that ``agents`` are those of the moment, as far as the store says."""
        await self._stored.ready()

    async def load(self) -> None:
        """Read the rows, together with all who want that at the moment."""
        await self._stored.load()

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        self._stored.heard(rows)

    def _settle(self) -> None:
        found = {agent.id: agent for agent in self.settings.agents}
        faults: dict[str, str] = {}
        for row in self._stored.rows:
            if row.id in found:
                faults[row.id] = "the config has an agent with the same id"
                continue
            try:
                found[row.id] = from_doc(row.id, row.doc, self._stored.sealer)
            except (CannotUnseal, ValueError) as error:
                faults[row.id] = str(error)
        for agent_id, why in faults.items():
            if self.faults.get(agent_id) != why:
                log.warning("the registered agent %s is not in force: %s", agent_id, why)
        self.faults = faults
        if found != self.agents:
            self.agents = found
            for listener in self.on_change:
                listener()
