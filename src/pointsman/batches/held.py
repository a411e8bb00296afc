"""The lines that a process holds: whoever holds a line renews its lease, gives it back, or writes what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final

from pointsman.batches.lines import MAX_LAPSES, SUSPECTED
from pointsman.pipeline.used import Used
from pointsman.store.base import StoreDown
from pointsman.store.work import Claimed, LineLease, WorkRecords
from pointsman.telemetry.tasks import Tasks

CHUNK: Final = 128
"""Leases that are renewed at once."""
MAX_BYTES: Final = 32 << 20
"""Of what the lines say that are held."""
MAX_HELD: Final = 2_048
"""Lines, with those whose result is not written."""


class Line:
    """A line that is held here."""

    __slots__ = ("answered", "claimed", "data", "is_lost", "not_before", "refusals", "task", "tries", "used")

    def __init__(self, claimed: Claimed) -> None:
        self.claimed = claimed
        self.data = b""
        self.used = Used()
        self.tries = 0
        """Times that its upstream has failed."""
        self.refusals = 0
        """Times that it was refused."""
        self.answered = 0
        """Lines of its lane that had been answered by then."""
        self.not_before = 0.0
        """When it can be tried again."""
        self.task: asyncio.Task[None] | None = None
        self.is_lost = False
        """Whether it is somebody else's now."""

    @property
    def attempts(self) -> int:
        """Times that it was run."""
        return self.tries + self.refusals

    @property
    def lapses(self) -> int:
        """How often it counts as lapsed for whoever has it next: what came to an end here is suspected no more."""
        return min(self.claimed.lapses, SUSPECTED - 1) if self.attempts else self.claimed.lapses

    @property
    def is_suspected(self) -> bool:
        """Whether it may be what has ended those who had it."""
        return SUSPECTED <= self.claimed.lapses < MAX_LAPSES


class Held:
    """All of them, by their leases."""

    def __init__(self, work: WorkRecords, holder: str, tasks: Tasks) -> None:
        """``tasks`` are those in which something is done that nobody waits for."""
        self._work = work
        self._holder = holder
        self._tasks = tasks
        self._lines: dict[LineLease, Line] = {}
        self._bytes = 0
        self._owed: dict[LineLease, int] = {}
        """Lines that could not be given back, and how often they have lapsed."""

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def room(self) -> int:
        """Bytes that may be held beside these."""
        return MAX_BYTES - self._bytes

    @property
    def is_full(self) -> bool:
        """Whether no more are to be claimed."""
        return len(self._lines) >= MAX_HELD or self.room <= 0

    @property
    def is_crowded(self) -> bool:
        """Whether what waits would soon leave no room for what could be run."""
        return len(self._lines) >= MAX_HELD // 2 or self.room <= MAX_BYTES // 2

    def find(self, lease: LineLease) -> Line | None:
        """The line with that lease, if it is held."""
        return self._lines.get(lease)

    def take(self, line: Line) -> None:
        """Hold one more."""
        self._lines[line.claimed.lease] = line
        self._bytes += line.claimed.length

    def let_go(self, line: Line) -> None:
        """Hold one no more: its result is written, or its lease may end."""
        if self._lines.pop(line.claimed.lease, None) is not None:
            self._bytes -= line.claimed.length

    async def renew(self, seconds: float) -> None:
        """Renew all leases, and let those go which are somebody else's by now."""
        leases = tuple(self._lines)
        for place in range(0, len(leases), CHUNK):
            for lease in await self._work.renew(self._holder, leases[place : place + CHUNK], seconds):
                # What was written meanwhile is not held any more.
                if (line := self._lines.get(lease)) is not None:
                    line.is_lost = True
                    self.let_go(line)
                    if line.task is not None:
                        line.task.cancel()

    def owe(self, lines: Iterable[Line]) -> None:
        """Give these back the next time that something is given back."""
        for line in lines:
            self.let_go(line)
            if not line.is_lost:
                self._owed[line.claimed.lease] = line.lapses

    async def give_back(self, lines: Collection[Line] = (), seconds: float = 0.0) -> None:
        """Let others have these lines after some seconds, and all that are owed.

        :raises StoreDown: it is away, and they are owed
        """
        self.owe(lines)
        owed, self._owed = self._owed, {}
        try:
            if owed:
                await self._work.give_back(owed.keys(), seconds, owed)
        except StoreDown:
            self._owed |= owed
            raise

    def give_back_soon(self, lines: Collection[Line], seconds: float = 0.0) -> None:
        """The same, where nobody can wait for it."""

        async def give_back() -> None:
            # Else they are given back later.
            with suppress(StoreDown):
                await self.give_back(lines, seconds)

        self._tasks.start(give_back(), "give back lines")
