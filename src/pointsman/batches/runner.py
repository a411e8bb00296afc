"""Running the lines of batches, in this process, beside what clients ask of it.

Theory of operation: some lines are **claimed** ahead of those that run, with what they say, and wait in the lane of
their model. :meth:`Runner._pump` begins as many as there is room for, one batch after the other. What comes of them is
**written** many at a time; until that is done a line is held, and its lease renewed. Whoever is killed loses nothing:
after the lease somebody else claims the lines. How many run is for :mod:`pointsman.batches.protocol.pace` to say.

A line that several have been killed over is **suspected** of that. It is run when nothing else is held here, with few
others of its kind and the last time by itself, so that it takes no other line with it, and no more when that has
happened too often. Where it comes to an end, but is refused or fails, it is suspected no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Final
from uuid import uuid4

import msgspec

from pointsman.batches.callers import Callers
from pointsman.batches.files import EVERYBODY, Files
from pointsman.batches.held import Held, Line
from pointsman.batches.lanes import MAX_WAITING, Lane, Running, together
from pointsman.batches.lines import Again, Lines, Order, broken
from pointsman.batches.outcomes import Outcomes
from pointsman.batches.protocol.objects import doc_of
from pointsman.batches.protocol.pace import TRIES, room, waits
from pointsman.batches.settings import BatchSettings
from pointsman.errors import ObjectNotFound, Overloaded
from pointsman.store.base import StoreDown
from pointsman.store.files import FileRow
from pointsman.store.work import Backlog, BatchRow, Claimed, Result, WorkRecords
from pointsman.telemetry.batches import LineCounts
from pointsman.telemetry.tasks import Tasks

RENEWALS: Final = 3
"""In the time of a lease."""
LOOK_SECONDS: Final = 2.0
"""Between two looks at batches that are run: somebody may have cancelled or paused them."""
TICK: Final = 0.05
CHUNK: Final = 128
"""Lines that are claimed at once."""
AT_ONCE: Final = 4
"""Lines that are begun in one turn of the event loop."""
LONG_REST: Final = 10.0
"""Seconds, before which lines of a batch that rests are not given back."""
FADING: Final = 0.1
"""Share of a look in what is known of clients: those of the last second count."""
CLIENTS: Final = 0.1
"""Share of the looks at which somebody was served, above which there are clients: one who asks now and then how far
his batch is shall not slow it down."""
KEPT_SECONDS: Final = 10.0
"""That a batch is remembered none of whose lines is here."""
PAUSE: Final = 1.0
"""Seconds after a failure of the store."""
UNKNOWN_SECONDS: Final = 300.0
"""For which lines go back that were refused or have failed, where there is no room for them."""
POOR_SECONDS: Final = 60.0
"""That money which does not renew may be held by others who give it back, as long as no line is answered."""
CLOSE_PATIENCE: Final = 2.0
MAX_TASKS: Final = 20_000
log = logging.getLogger(__name__)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner needs to know of its process."""

    clock: Callable[[], float]
    """Monotonic."""
    now: Callable[[], float]
    """Seconds since 1970."""
    processor: Callable[[], float]
    """Seconds that the event loop has used of a processor."""
    chance: Callable[[], float]
    lag: Callable[[], float]
    clients: Callable[[], int]
    """Requests of clients that are being served."""
    make_safe: Callable[[], object]
    """Has what was spent until now outlive this process."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


class Runner:
    """The lines of all batches that this process runs."""

    def __init__(
        self,
        work: WorkRecords,
        files: Files,
        lines: Lines,
        callers: Callers,
        settings: Callable[[], BatchSettings],
        around: Surroundings,
    ) -> None:
        self.holder = uuid4().hex
        self.counts = LineCounts()
        self.backlog = Backlog(0, 0, None)
        self.is_draining = False
        self.on_work: Callable[[], None] = lambda: None
        """Called when there may be something to do."""
        self._work = work
        self._files = files
        self._lines = lines
        self._callers = callers
        self._settings = settings
        self._around = around
        self._tasks = Tasks(log, MAX_TASKS)
        self._loops = Tasks(log, 16)
        self._held = Held(work, self.holder, self._tasks)
        self._outcomes = Outcomes(work, self._held, self.counts, around.make_safe, self._written)
        self._batches: dict[str, Running] = {}
        self._turns: deque[Running] = deque()
        self._running = 0
        self._is_alone = False
        """Whether what is held is suspected: nothing is claimed beside it."""
        self._clearing = ""
        """A batch with lines that are suspected: nothing is claimed until nothing is held, and then of that one."""
        self._chunk = CHUNK
        self._room = settings().max_concurrency
        self._presence = 0.0
        self._has_room, self._has_lines = asyncio.Event(), asyncio.Event()
        self._looks_at = 0.0
        """When it is worth while to ask for lines that are not known of."""
        self._is_pumping = False

    @property
    def is_busy(self) -> bool:
        """Whether lines run, or what came of them is not written."""
        return self._running > 0 or len(self._outcomes) > 0

    @property
    def _has_clients(self) -> bool:
        return self._presence > CLIENTS

    def start(self) -> None:
        """Begin to look for lines."""
        for step, name in (
            (self._feed, "claim lines"),
            (self._listen, "hear of batches"),
            (self._mind, "mind the pace of lines"),
            (partial(self._outcomes.write, self._around.sleep), "write results of lines"),
            (self._renew, "renew leases of lines"),
            (self._look, "look at batches"),
        ):
            self._loops.start(self._forever(step), name)

    def drain(self) -> None:
        """Begin no more lines; those that run go on."""
        self.is_draining = True
        self._held.give_back_soon(self._emptied())

    async def close(self) -> None:
        """Leave everything to others, at once."""
        self.is_draining = True
        await self._tasks.close(CLOSE_PATIENCE)
        await self._loops.close(CLOSE_PATIENCE)
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self._outcomes.flush()
                await self._work.release(self.holder)
        except (StoreDown, TimeoutError) as error:
            log.warning("lines of batches are left to their leases: %s", error)

    # -- getting lines --------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        around = self._around
        await self._work.wait(LOOK_SECONDS * (0.75 + 0.5 * around.chance()))
        self.backlog = await self._work.backlog()
        if self.backlog.batches:
            self._looks_at = 0.0
            for batch in self._batches.values():
                batch.is_dry = False
            self._has_room.set()
            self.on_work()

    async def _feed(self) -> None:
        now = self._around.clock()
        if not self._wants_more(now):
            self._has_room.clear()
            await _passed(self._has_room, PAUSE)
            return
        without = [one.row.id for one in self._batches.values() if not one.is_hungry(now)]
        only, self._clearing = self._clearing, ""
        if only:
            without = []
        limit = min(self._chunk, max(AT_ONCE, 2 * self._room))
        claimed = await self._work.claim(self.holder, limit, self._settings().lease_seconds, without, only)
        if claimed:
            await self._take_in(claimed)
            self._pump()
        elif not only:
            self._looks_at = now + LOOK_SECONDS
            for batch in self._batches.values():
                batch.is_dry |= batch.row.id not in without

    def _wants_more(self, now: float) -> bool:
        """Whether lines are to be claimed: of a batch that has few here, or of one that is not known yet."""
        if self.is_draining or self._room == 0 or self._held.is_full:
            return False
        if not self._held:
            self._is_alone = False
        elif self._clearing or self._is_alone:
            return False
        is_hungry = any(batch.is_hungry(now) and not batch.is_dry for batch in self._batches.values())
        return is_hungry or now >= self._looks_at

    async def _take_in(self, claimed: Sequence[Claimed]) -> None:
        """Read what lines say that were claimed, as many as there is memory for."""
        taken = self._chosen([Line(one) for one in claimed])
        for line in taken:
            self._held.take(line)
        try:
            batch = self._batches.get(claimed[0].lease.batch) or await self._open(claimed[0].lease.batch)
            if batch is None or batch.is_stopped or self.is_draining:
                await self._held.give_back(taken, LOOK_SECONDS)
            elif batch.source is None:
                self._outcomes.add([broken(line.claimed) for line in taken])
            elif taken:
                await self._read(batch, batch.source, taken)
        except Overloaded as error:
            await self._unread(claimed[0].lease.batch, taken, error)
        except Exception:
            self._held.owe([line for line in taken if self._held.find(line.claimed.lease) is line])
            raise
        await self._held.give_back()

    async def _unread(self, batch_id: str, lines: Sequence[Line], error: Overloaded) -> None:
        """The input file cannot be read: it is not to keep other batches waiting."""
        batch = self._batches.get(batch_id)
        try:
            if batch is not None and batch.source is not None and await self._source(batch.source.id) is None:
                batch.source = None
                self._outcomes.add([broken(line.claimed) for line in lines])
                return
        except Overloaded:
            batch = None
        log.warning("the input file of a batch cannot be read: %s", error.operator_detail or error)
        await self._held.give_back(lines, LONG_REST)
        if batch is None:
            await self._around.sleep(PAUSE)
        else:
            batch.rest(self._around.clock() + LONG_REST)

    def _chosen(self, lines: list[Line]) -> list[Line]:
        """Those that are kept; the others are given back, and so are not suspected because of these."""
        suspects = [line for line in lines if line.is_suspected]
        taken: list[Line]
        if suspects and self._held:
            self._clearing, taken = suspects[0].claimed.lease.batch, []
            # After those that are suspected.
            self._held.give_back_soon(self._emptied(), LOOK_SECONDS)
        elif suspects:
            self._is_alone, taken = True, together(suspects)
        else:
            sizes = accumulate(line.claimed.length for line in lines)
            count = max(1, sum(size <= self._held.room for size in sizes))
            taken = lines[:count]
            self._chunk = min(CHUNK, self._chunk * 2) if count == len(lines) else max(1, count)
        self._held.owe([line for line in lines if line not in taken])
        return taken

    async def _read(self, batch: Running, source: FileRow, lines: Sequence[Line]) -> None:
        batch.reading += 1
        try:
            spans = [(line.claimed.offset, line.claimed.length) for line in lines]
            texts = await self._files.spans(source, spans)
        finally:
            batch.reading -= 1
        if self.is_draining or batch.is_stopped:
            await self._held.give_back(lines)
            return
        now, kept = self._around.clock(), 0
        others: dict[Lane, list[Line]] = {}
        for line, data in zip(lines, texts, strict=True):
            lane = batch.lane_of(data, now)
            if line.is_lost:
                continue
            if batch.has_place(lane, now) or line.is_suspected:
                line.data = data
                lane.ready.append(line)
                kept += 1
            else:
                others.setdefault(lane, []).append(line)
        batch.claimed(now, has_any=kept > 0)
        self._has_lines.set()
        for lane, some in others.items():
            # What is ready runs by now: nothing that fails from here on is to give it back.
            self._held.give_back_soon(some, lane.passed(len(some), now))

    async def _open(self, batch_id: str) -> Running | None:
        row = await self._work.get(batch_id)
        if row is None:
            return None
        doc = doc_of(row)
        source = await self._source(doc.input_file_id)

        async def caller() -> Any:
            return await self._callers.find(row.key_id, doc.account, row.owner)

        headers = {name.encode(): value.encode("latin-1", "replace") for name, value in doc.headers.items()}
        order = Order(row.id, headers, row.expires_at, caller)
        batch = Running(row, order, source, is_single=bool(doc.model), chance=self._around.chance)
        batch.seen_at, batch.is_stopped = self._around.clock(), self._is_stopped(row)
        self._batches[batch_id] = batch
        self._turns.append(batch)
        return batch

    async def _source(self, file_id: str) -> FileRow | None:
        try:
            return await self._files.find(EVERYBODY, file_id)
        except ObjectNotFound:
            return None

    # -- running them ---------------------------------------------------------------------------------------------

    async def _mind(self) -> None:
        """Find out, many times a second, how many lines there is room for."""
        around = self._around
        if not self._held:
            # Nobody looks again whether there is any before there are lines.
            self._room = max(1, self._room)
            self._has_lines.clear()
            await self._has_lines.wait()
        began, used = around.clock(), around.processor()
        await around.sleep(TICK)
        now = around.clock()
        busy = (around.processor() - used) / max(TICK / 2, now - began)
        self._presence += FADING * ((around.clients() > 0) - self._presence)
        most = self._settings().max_concurrency
        self._room = room(most, before=self._room, lag=around.lag(), busy=busy, has_clients=self._has_clients)
        self._pump()

    def _pump(self) -> None:
        """Begin lines, as many as there is room for."""
        now, begun = self._around.clock(), 0
        # Those whose result is not written count: they are what is done twice if this process is killed.
        while self._running + len(self._outcomes) < self._room and not self.is_draining:
            if begun == AT_ONCE:
                self._pump_soon()
                break
            found = self._next(now)
            if found is None:
                break
            self._begin(*found, now)
            begun += 1
        if self._wants_more(now):
            self._has_room.set()

    def _pump_soon(self) -> None:
        """Others have their turn before."""

        def pump() -> None:
            self._is_pumping = False
            self._pump()

        if not self._is_pumping:
            self._is_pumping = True
            asyncio.get_running_loop().call_soon(pump)

    def _next(self, now: float) -> tuple[Running, Lane] | None:
        """The batch whose turn it is, and its model."""
        for _ in range(len(self._turns)):
            batch = self._turns[0]
            self._turns.rotate(-1)
            lane = None if batch.is_stopped else batch.next(now, has_clients=self._has_clients)
            if lane is not None:
                return batch, lane
        return None

    def _begin(self, batch: Running, lane: Lane, now: float) -> None:
        line = lane.ready.popleft()
        if line.is_lost:
            return
        lane.running += 1
        self._running += 1
        self.counts.running = self._running
        line.task = self._tasks.start(self._run(batch, lane, line, now), "a line of a batch")

    async def _run(self, batch: Running, lane: Lane, line: Line, began: float) -> None:
        try:
            outcome = await self._lines.run(batch.order, line.claimed, line.data, line.used)
        finally:
            line.task = None
            lane.running -= 1
            self._running -= 1
            self.counts.running = self._running
        if line.is_lost:
            pass
        elif isinstance(outcome, Result):
            if not outcome.is_failed:
                batch.poor_since = None
            most = self._settings().max_concurrency
            lane.answer()
            lane.pace.succeeded(self._around.clock(), most, has_clients=self._has_clients)
            self._outcomes.add([outcome])
        else:
            self._refused(batch, lane, line, outcome, began)
        self._pump()

    def _refused(self, batch: Running, lane: Lane, line: Line, again: Again, began: float) -> None:
        """A line is to be tried again, after a while, or was tried often enough."""
        now, is_ours = self._around.clock(), again.is_ours
        if again.is_money:
            batch.poor_since = now if batch.poor_since is None else batch.poor_since
            # Others may hold some, and give it back: lines that run here, another process or batch, a client.
            is_ours = batch.running > 0 or now < batch.poor_since + POOR_SECONDS
            if again.retry_after is None and not is_ours:
                self._outcomes.add([again.result])
                return
        if line.is_suspected:
            # It came to an end, and so is suspected no more. As long as it is here nothing else is claimed.
            line.tries += 1
            self._held.give_back_soon([line], TRIES[0])
            return
        is_news = lane.is_news(line, is_refusal=not again.counts)
        if again.counts:
            if is_news:
                lane.pace.failed(now, began)
            line.tries += 1
            if line.tries > len(TRIES):
                self._outcomes.add([again.result])
                return
            seconds = TRIES[line.tries - 1]
        else:
            retry_after = None if is_ours else again.retry_after
            if is_news:
                lane.pace.refused(now, began, is_ours=is_ours, retry_after=retry_after)
            line.refusals += 1
            chance = self._around.chance()
            seconds = waits(line.refusals, is_ours=is_ours, retry_after=retry_after, chance=chance)
        self.counts.retried += 1
        # As long as a suspected line waits to be run here, nothing else is claimed.
        if self.is_draining or batch.is_stopped or self._clearing:
            self._held.give_back_soon([line], seconds)
        elif len(lane.waiting) >= MAX_WAITING or self._held.is_crowded:
            # It is not known any more how often it was tried: others go first.
            self._held.give_back_soon([line], max(seconds, UNKNOWN_SECONDS))
        else:
            lane.wait(line, now, seconds)

    def _written(self, batches: set[str]) -> None:
        """Results of lines of these batches were written."""
        found = (self._batches.get(batch_id) for batch_id in batches)
        if any(batch is not None and not batch.is_here for batch in found):
            # These may have been its last ones.
            self.on_work()
        self._pump()

    # -- keeping them ---------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        seconds = self._settings().lease_seconds
        await self._held.renew(seconds)
        await self._around.sleep(seconds / RENEWALS)

    async def _look(self) -> None:
        """Heed what others have done to batches, and forget those of which nothing is here."""
        await self._around.sleep(LOOK_SECONDS)
        await self._held.give_back()
        now = self._around.clock()
        for batch in tuple(self._batches.values()):
            if batch.is_here:
                batch.seen_at = now
            if batch.is_here or batch.is_stopped:
                row = await self._work.get(batch.row.id)
                batch.is_stopped = row is None or self._is_stopped(row)
                if row is not None and row.completed > batch.row.completed:
                    # Somebody still has money for it.
                    batch.row, batch.poor_since = row, None
            for lane in tuple(batch.lanes):
                rest = lane.pace.rests_until - now
                if batch.is_stopped:
                    await self._held.give_back(lane.emptied(_any))
                elif rest > LONG_REST:
                    # What was refused here stays here, where it is known how often.
                    await self._held.give_back(lane.emptied(_is_new), rest)
            if not batch.is_here and now - batch.seen_at > KEPT_SECONDS:
                del self._batches[batch.row.id]
                self._turns.remove(batch)

    def _is_stopped(self, row: BatchRow) -> bool:
        is_late = row.expires_at <= self._around.now()
        return row.state != "in_progress" or row.is_paused or bool(row.ending) or is_late

    def _emptied(self) -> list[Line]:
        """All lines that do not run, which are in no lane any more."""
        lanes = [lane for batch in self._batches.values() for lane in batch.lanes]
        return [line for lane in lanes for line in lane.emptied(_any)]

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do one step after the other; where the store is away, after a while."""
        is_away = False
        while True:
            try:
                await step()
                is_away = False
            except StoreDown as error:
                if not is_away:
                    log.warning("batches wait for the store: %s", error)
                is_away = True
                await self._around.sleep(PAUSE)
            except Exception:
                log.exception("a step of batches failed")
                await self._around.sleep(PAUSE)


def _any(_line: Line) -> bool:
    return True


def _is_new(line: Line) -> bool:
    return not line.attempts


async def _passed(event: asyncio.Event, patience: float) -> None:
    """Come back when it is set, or the time is over."""
    try:
        async with asyncio.timeout(patience):
            await event.wait()
    except TimeoutError:
        return
