"""The rows of a table as they are at the moment: read when they are needed first, and again when somebody changes them.

Whoever changes them may be this process, another worker or another replica. While the store is away, what was read last
stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from pointsman.errors import Overloaded
from pointsman.store.base import Records, Row, StoreDown
from pointsman.store.sealing import Sealer
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

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


class Followed:
    """Its methods belong to the event loop."""

    def __init__(
        self,
        table: str,
        feed: Callable[[], Awaitable[Feed | None]],
        tasks: Tasks,
        on_read: Callable[[], None],
        *,
        what: str,
        most: int,
        clock: Callable[[], float],
    ) -> None:
        """``feed`` gives the store as soon as there is one, and raises :class:`Overloaded` while it is away.

        ``on_read`` is called when the rows were read; ``what`` they are stands in the log, and ``most`` are read.
        """
        self.rows: tuple[Row, ...] = ()
        self.sealer: Sealer | None = None
        self._table, self._what, self._most = table, what, most
        self._feed = feed
        self._tasks = tasks
        self._on_read = on_read
        self._clock = clock
        self._changes = 0
        self._read = -1
        """How many changes there were when the rows were read."""
        self._rests = 0.0
        self._heard: Changing | None = None
        self._flight: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """See to it that the rows are those of the moment, as far as the store says."""
        if self._read != self._changes and self._clock() >= self._rests:
            await self.load()

    async def load(self) -> None:
        """Read the rows, together with all who want that at the moment."""
        if self._flight is None:
            self._flight = self._tasks.start(self._load(), f"read the {self._what}")
            self._flight.add_done_callback(self._land)
        await asyncio.shield(self._flight)

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        if rows is None or any(table == self._table for table, _ in rows):
            self._changes += 1
            # Who only listens is to hear of it too. Where the process ends, nobody does.
            if self._flight is None:
                with suppress(Overloaded):
                    self._flight = self._tasks.start(self._load(), f"read the {self._what} again")
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
            self.sealer = feed.sealer
            for _ in range(TRIES):
                changes = self._changes
                self.rows = tuple(await feed.records.find(self._table, limit=self._most))
                self._read = changes
                if changes == self._changes:
                    break
        except (StoreDown, Overloaded) as error:
            log.warning("the store is away, the %s that are known go on: %s", self._what, error)
            self._rests = self._clock() + PAUSE
            return
        self._on_read()
