"""What a batch needs besides its lines being run: one step at a time, whoever takes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from pointsman.access.caller import Caller
from pointsman.access.policy import Access, may_call
from pointsman.batches.callers import Callers
from pointsman.batches.files import Files
from pointsman.batches.finalizing import finalize
from pointsman.batches.protocol.objects import doc_of
from pointsman.batches.protocol.states import ending, step
from pointsman.batches.settings import BatchSettings
from pointsman.batches.validating import ChooseExecutor, MayUse, by_lines, fail, validate
from pointsman.errors import Forbidden, GatewayError, Overloaded, StorageFull
from pointsman.pipeline.serve import Pipeline
from pointsman.store.base import StoreDown
from pointsman.store.work import BatchRow, WorkRecords
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.operations import Operation

RENEWALS: Final = 3
"""In the time of a lease."""
PAUSE: Final = 5.0
"""Seconds until a step is tried again that could not be done."""
FULL_PAUSE: Final = 60.0
"""The same where there is no room for files."""
HOPELESS_SECONDS: Final = 86_400.0
"""After the time for a batch was over, when a step of it that always fails is tried no more."""
SWEEP_SECONDS: Final = 3_600.0
KEPT_SECONDS: Final = 30 * 86_400.0
"""That a batch is told of after its end."""
MOST: Final = 2
"""Steps at a time."""
MAX_POLLS: Final = 8
"""Besides, of those that wait for a provider."""
MAX_TASKS: Final = 2 * (MOST + MAX_POLLS) + 1
log = logging.getLogger(__name__)


class Poll(Protocol):
    """Goes on with a batch that a provider runs."""

    async def __call__(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        """Do what is to be done, and give the lease up or end the batch."""


class Steps:
    """The steps of batches that this process does."""

    def __init__(
        self,
        work: WorkRecords,
        files: Files,
        callers: Callers,
        pipeline: Callable[[], Pipeline],
        settings: Callable[[], BatchSettings],
        holder: str,
        *,
        now: Callable[[], float],
        choose: ChooseExecutor = by_lines,
        poll: Poll | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """``now`` is seconds since 1970."""
        self._sleep = sleep
        self.is_draining = False
        self._work = work
        self._files = files
        self._callers = callers
        self._pipeline = pipeline
        self._settings = settings
        self._holder = holder
        self._now = now
        self._choose = choose
        self._poll = poll
        self._tasks = Tasks(log, MAX_TASKS)
        self._has_work = asyncio.Event()
        self._doing = 0
        self._polls = 0

    @property
    def is_busy(self) -> bool:
        """Whether a step is being done."""
        return self._doing > 0

    def start(self) -> None:
        """Begin to look for batches."""
        for number in range(MOST):
            self._tasks.start(self._go(), f"steps of batches {number}")
        self._tasks.start(self._sweep(), "delete old batches")

    def wake(self) -> None:
        """There may be something to do."""
        self._has_work.set()

    async def close(self, patience: float) -> None:
        """Leave everything to others."""
        self.is_draining = True
        await self._tasks.close(patience)

    async def _go(self) -> None:
        while True:
            try:
                row = None if self.is_draining else await self._work.take(self._holder, self._settings().lease_seconds)
            except StoreDown:
                row = None
            if row is None:
                await self._has_work.wait()
                self._has_work.clear()
                continue
            if step(row) != "poll":
                await self._done(row)
            elif self._polls < MAX_POLLS:
                # Nobody else's batch waits for somebody's provider.
                self._polls += 1
                polling = self._tasks.start(self._done(row), f"ask the provider of batch {row.id}")
                polling.add_done_callback(self._polled)
            else:
                await self._leave(row, PAUSE)

    async def _done(self, row: BatchRow) -> None:
        self._doing += 1
        try:
            await self.do(row)
        except Exception:
            log.exception("a step of batch %s failed", row.id)
            await self._give_up(row)
        finally:
            self._doing -= 1

    def _polled(self, _task: object) -> None:
        self._polls -= 1

    async def do(self, row: BatchRow) -> None:
        """Do the step that a batch needs, which is leased."""
        steps: dict[str | None, Callable[[BatchRow, Callable[[], bool]], Awaitable[object]]] = {
            "validate": self._validate,
            "close": self._close,
            "finalize": self._finalize,
            "poll": self._ask,
        }
        try:
            async with self._holding(row) as is_mine:
                await steps[step(row)](row, is_mine)
        except StorageFull as error:
            log.warning("batch %s waits for room: %s", row.id, error.operator_detail or error)
            await self._leave(row, FULL_PAUSE)
        except (StoreDown, Overloaded) as error:
            log.warning("batch %s waits: %s", row.id, error)
            await self._leave(row, PAUSE)

    async def _validate(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        doc = doc_of(row)
        try:
            caller = await self._callers.find(row.key_id, doc.account, row.owner)
        except Overloaded:
            raise
        except GatewayError as error:
            await fail(row, self._work, error)
            return
        may_use = self._rights(caller, doc.endpoint)
        await validate(row, self._work, self._files, is_mine, may_use, self._settings(), self._choose)

    async def _close(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        closed = await self._work.close(row.lease, ending(row))
        if closed is not None:
            await self._finalize(closed, is_mine)

    async def _finalize(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        ended = await finalize(row, self._work, self._files, is_mine, self._settings().lease_seconds)
        if ended is not None:
            told = (ended.id, ended.state, ended.completed, ended.failed, ended.total)
            log.info("batch %s is %s: %d lines are done, %d have failed, of %d", *told)

    async def _ask(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        if self._poll is None:
            await self._leave(row, FULL_PAUSE)
        else:
            await self._poll(row, is_mine)

    def _rights(self, caller: Caller, endpoint: str) -> MayUse:
        pipeline = self._pipeline()

        def may_use(operation: Operation, model: str | None) -> None:
            if not may_call(caller, Access.MODELS, endpoint):
                raise Forbidden(f"This key may not call {endpoint}")
            pipeline.check_model(caller, operation, model)

        return may_use

    @asynccontextmanager
    async def _holding(self, row: BatchRow) -> AsyncIterator[Callable[[], bool]]:
        """Keep the lease meanwhile; gives what tells whether it is kept."""
        is_lost = False

        async def hold() -> None:
            nonlocal is_lost
            while not is_lost:
                seconds = self._settings().lease_seconds
                await self._sleep(seconds / RENEWALS)
                try:
                    is_lost = not await self._work.hold(row.lease, seconds)
                except StoreDown as error:
                    log.warning("the lease of batch %s is not renewed: %s", row.id, error)

        holding = self._tasks.start(hold(), f"hold batch {row.id}")
        try:
            yield lambda: not is_lost
        finally:
            holding.cancel()

    async def _give_up(self, row: BatchRow) -> None:
        """Something is wrong that is not foreseen: let others try it, and not for ever."""
        if self._now() < row.expires_at + HOPELESS_SECONDS:
            await self._leave(row, FULL_PAUSE)
            return
        try:
            await self._work.end(row.lease, state="failed")
        except StoreDown as error:
            log.warning("batch %s is left to its lease: %s", row.id, error)

    async def _leave(self, row: BatchRow, seconds: float) -> None:
        try:
            await self._work.leave(row.lease, seconds)
        except StoreDown as error:
            log.warning("batch %s is left to its lease: %s", row.id, error)

    async def _sweep(self) -> None:
        while True:
            try:
                await self._work.sweep(self._now() - KEPT_SECONDS)
            except StoreDown as error:
                log.warning("old batches were not deleted: %s", error)
            await self._sleep(SWEEP_SECONDS)
