"""Writing the ledger off the request path: a request leaves its event and goes on.

Events wait in memory for a moment, and are appended many at a time; those of each turn of the event loop go into a
journal first, from which another process takes them if this one is killed meanwhile. When the database is away, or so
slow that there are too many, they go into the spool on disk, and from there into the database when it is back. When the
disk takes nothing either, or the spool is full, events that wait are added up by hour and by whom they were for, so
that what was spent is still known; contents are dropped before that. An event is written at least once and counted
once: its id tells.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from pointsman.store.base import AMOUNTS, GROUPS, Records, Refused, SpendEvent, StoreDown
from pointsman.store.journal import Journal
from pointsman.store.spool import Spool, Taken
from pointsman.telemetry.tasks import Tasks

PAUSE: Final = 0.5
"""Seconds between two writings."""
BATCH: Final = 4096
"""Events written at once."""
MAX_QUEUED: Final = 20_000
MAX_CONTENT_BYTES: Final = 16 << 20
"""Of the prompts and answers that wait in memory."""
HOUR: Final = 3_600
SWEEP_SECONDS: Final = 3_600.0
T = TypeVar("T")
log = logging.getLogger(__name__)


class Spending:
    """The one writer of this process's events."""

    def __init__(
        self, records: Records, spool: Spool, journal: Journal | None = None, *, max_queued: int = MAX_QUEUED
    ) -> None:
        """Without a ``journal``, what waits ends with this process."""
        self.contents_dropped = 0
        """Events whose content found no room in memory."""
        self.folded = 0
        """Events that were added up, and are no longer there one by one."""
        self.lost = 0
        """Events that are not counted anywhere."""
        self._records = records
        self._spool = spool
        self._max_queued = max_queued
        self._queued: list[SpendEvent] = []
        self._content_bytes = 0
        self._tried: list[SpendEvent] = []
        self._journal = journal
        self._new: list[SpendEvent] = []
        """Events that came in this turn of the event loop."""
        self._is_unsafe = False
        """Whether the journal cannot be written."""
        # One at a time, but for the moment in which the last one ends.
        self._tasks = Tasks(log, 2)
        self._turn = asyncio.Lock()
        self._disk = asyncio.Lock()
        """Of who uses the spool."""
        self._moved: list[SpendEvent] = []
        """Events that are on their way into the spool, as too many wait."""
        self._moving: asyncio.Task[bool] | None = None
        """Whether the last ones of these arrived there."""
        self._is_stuck = False

    @property
    def waiting(self) -> int:
        """Events in memory."""
        return len(self._queued) + len(self._tried) + len(self._moved)

    def put(self, event: SpendEvent) -> None:
        """Have ``event`` written soon; never waits."""
        if event.content is not None:
            event = self._within_bounds(event)
        self._queued.append(event)
        if self._journal is not None:
            if not self._new:
                asyncio.get_running_loop().call_soon(self.note)
            self._new.append(event)
        if len(self._queued) >= self._max_queued:
            self._make_room()

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Write what waits, again and again, until this is cancelled."""
        while True:
            await sleep(PAUSE)
            await self.flush()

    async def flush(self) -> bool:
        """Write what waits, and then what is in the spool. Whether all that had come before is in the database."""
        async with self._turn:
            return await self._write_waiting() and await self._replay() and not self.lost

    async def close(self) -> None:
        """Write what waits into the database, or on the disk."""
        async with self._turn:
            await self._write_waiting()
            await self._has_moved()
            rest = [*self._tried, *self._queued]
            self._tried, self._queued = [], []
            for place in range(0, len(rest), BATCH):
                await self._leave(rest[place : place + BATCH])
            if self._journal is not None:
                if not self.lost:
                    self._forget(self._journal)
                self._mind(self._journal.close)
            await self._on_disk(self._spool.close)

    def note(self) -> None:
        """Have all that was put until now outlive this process; never waits."""
        events, self._new = self._new, []
        if self._journal is not None and events:
            self._mind(partial(self._journal.write, events))

    def _forget(self, journal: Journal) -> None:
        self._new.clear()
        self._mind(journal.clear)

    def _mind(self, act: Callable[[], None]) -> None:
        """Do something with the journal; without one, all goes on."""
        try:
            act()
        except OSError as error:
            if not self._is_unsafe:
                log.error("the journal of spend events: %s", error.strerror or error)  # noqa: TRY400 - said
            self._is_unsafe = True
        else:
            self._is_unsafe = False

    async def _write_waiting(self) -> bool:
        """Whether the database took all that waited. What is there, or in the spool, leaves the journal."""
        if self._moving is not None and self._moving.done():
            self._moving = None
        if self._journal is not None:
            self._mind(self._journal.turn)
        is_well, has_moved = await self._write_queued(), await self._has_moved()
        if self._journal is not None and not self._tried:
            self._mind(self._journal.drop)
        return is_well and has_moved

    async def _write_queued(self) -> bool:
        """Whether the database took all that waited. What comes meanwhile waits for the next time, to be many."""
        is_well, left = True, len(self._queued)
        while self._tried or (left > 0 and self._queued):
            if not self._tried:
                self._tried, self._queued = self._queued[:BATCH], self._queued[BATCH:]
                left -= BATCH
                self._content_bytes = 0 if not self._queued else self._content_bytes
            # What may be in the database already stays as it is until it is somewhere, for its ids have to.
            is_well = await self._append(self._tried)
            if not is_well and not await self._keep(self._tried):
                return False
            self._tried = []
        return is_well

    async def _append(self, events: list[SpendEvent]) -> bool:
        try:
            await self._records.append_spend(events)
        except Refused as error:
            if len(events) == 1:
                self.lost += events[0].requests
                log.error("the spend event %s is lost: %s", events[0].id, error)  # noqa: TRY400 - said
                return True
            middle = len(events) // 2
            return await self._append(events[:middle]) and await self._append(events[middle:])
        except StoreDown:
            return False
        return True

    async def _keep(self, events: list[SpendEvent]) -> bool:
        """Whether the spool took them."""
        try:
            await self._on_disk(partial(self._spool.write, events))
        except OSError as error:
            self._complain("spend events are kept in memory", error)
            return False
        self._is_stuck = False
        return True

    async def _leave(self, events: list[SpendEvent]) -> None:
        """The last thing that can be done for them."""
        try:
            await self._on_disk(partial(self._spool.write, events, is_last=True))
        except OSError as error:
            self.lost += sum(event.requests for event in events)
            log.error("%d spend events are lost: %s", len(events), error.strerror or error)  # noqa: TRY400 - said

    async def _on_disk(self, act: Callable[[], T]) -> T:
        async with self._disk:
            return await asyncio.to_thread(act)

    def _complain(self, what: str, error: OSError) -> None:
        """Once, until the disk is well again."""
        if not self._is_stuck:
            log.error("%s: %s", what, error.strerror or error)
        self._is_stuck = True

    async def _replay(self) -> bool:
        """Events that come meanwhile do not wait for it. Whether the database took all."""
        try:
            while (taken := await self._on_disk(self._spool.take)) is not None:
                if not await self._replay_file(taken):
                    return False
        except OSError as error:
            self._complain("spend events on disk cannot be read", error)
            return False
        return True

    async def _replay_file(self, taken: Taken) -> bool:
        batches = taken.batches()
        try:
            while (events := await asyncio.to_thread(next, batches, None)) is not None:
                if not await self._append(events) or not await self._write_waiting():
                    return False
            self.lost += taken.lost
            await asyncio.to_thread(taken.delete)
        finally:
            taken.leave()
        return True

    def _within_bounds(self, event: SpendEvent) -> SpendEvent:
        size = len(msgspec.json.encode(event.content, enc_hook=str))
        if self._content_bytes + size > MAX_CONTENT_BYTES:
            self.contents_dropped += 1
            return msgspec.structs.replace(event, content=None)
        self._content_bytes += size
        return event

    def _make_room(self) -> None:
        """Move what waits into the spool; where others are still on their way, the disk is too slow as well."""
        if self._moved:
            self._fold()
            return
        self._moved, self._queued, self._content_bytes = self._queued, [], 0
        self._moving = self._tasks.start(self._move(), "move spend events to the disk")

    async def _move(self) -> bool:
        """Whether all arrived; the others are added up."""
        while self._moved:
            if not await self._keep(self._moved[:BATCH]):
                self._moved, self._queued = [], [*self._moved, *self._queued]
                self._fold()
                return False
            del self._moved[:BATCH]
        return True

    async def _has_moved(self) -> bool:
        """Whether all that was on its way to the disk is there."""
        moving, self._moving = self._moving, None
        return moving is None or await moving

    def _fold(self) -> None:
        before = sum(event.requests for event in self._queued)
        self._content_bytes = 0
        self._queued = folded(self._queued)
        if self._journal is not None:
            # Once they are added up, nobody could tell which of them are counted already.
            self._forget(self._journal)
        self.folded += before - len(self._queued)
        room = self._max_queued // 2
        if len(self._queued) > room:
            lost = sum(event.requests for event in self._queued[room:])
            del self._queued[room:]
            self.lost += lost
            log.error("%d spend events are lost: too many wait", lost)


class Retention(msgspec.Struct, frozen=True):
    """How long events are kept, in seconds; the sums of days stay for good."""

    events: float | None = None
    """``None``: for good."""
    contents: float | None = None
    """``None``: as long as the events."""


async def keep_tidy(
    records: Records,
    retention: Callable[[], Retention],
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Delete what is too old by then, once in an hour, until this is cancelled."""
    while True:
        moment, kept = now(), retention()
        events = 0.0 if kept.events is None else moment - kept.events
        contents = events if kept.contents is None else moment - kept.contents
        try:
            days = await records.sweep(events_before=events, content_before=contents)
        except StoreDown as error:
            log.warning("old spend events were not deleted: %s", error)
        else:
            if days:
                log.info("spend events of %d days were deleted", days)
        await sleep(SWEEP_SECONDS)


def folded(events: Iterable[SpendEvent]) -> list[SpendEvent]:
    """One event for those of one hour that the sums do not tell apart; amounts and counts are added up."""
    groups: dict[tuple[Any, ...], list[SpendEvent]] = {}
    for event in events:
        key = (event.at // HOUR, *(getattr(event, name) for name in GROUPS), event.status)
        groups.setdefault(key, []).append(event)
    return [_sum(group) for group in groups.values()]


def _sum(group: list[SpendEvent]) -> SpendEvent:
    first = group[0]
    if len(group) == 1:
        return msgspec.structs.replace(first, content=None)
    kept = {name: getattr(first, name) for name in ("id", "at", *GROUPS, "status")}
    amounts = {name: sum(getattr(event, name) for event in group) for name in AMOUNTS}
    return SpendEvent(**kept, **amounts)
