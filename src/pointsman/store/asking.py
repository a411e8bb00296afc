"""Asking a database under a deadline that holds whatever it does.

A call that is cancelled has to be cleaned up, and cleaning up after a frozen server can take longer than the deadline.
So the work is done in a task of its own: whoever asked goes on in time, and the task ends when it can. There are few
of them, and a breaker stops the asking when none comes back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

import sqlalchemy.exc

from pointsman.errors import Overloaded
from pointsman.store.base import Conflict, Refused, StoreDown
from pointsman.store.breaker import Breaker
from pointsman.telemetry.tasks import Tasks

T = TypeVar("T")
MAX_CALLS: Final = 256
"""At once; those that nobody waits for any more are counted."""
CLOSE_SECONDS: Final = 2.0
REFUSALS: Final = (sqlalchemy.exc.DataError, sqlalchemy.exc.IntegrityError, ValueError, OverflowError)
"""Which say that a value cannot be stored, and so that the database is well."""
FAULTS: Final = (sqlalchemy.exc.SQLAlchemyError, OSError, TimeoutError, EOFError)
log = logging.getLogger(__name__)


class Asking:
    """Calls of one database."""

    def __init__(
        self,
        breaker: Breaker,
        *,
        faults: tuple[type[Exception], ...] = (),
        refusals: tuple[type[Exception], ...] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``faults`` and ``refusals`` are exceptions of the driver's own."""
        self.breaker = breaker
        self._faults: tuple[type[Exception], ...] = (Conflict, StoreDown, *FAULTS, *REFUSALS, *faults, *refusals)
        self._refusals = (*REFUSALS, *refusals)
        self._now = now
        self._tasks = Tasks(log, MAX_CALLS)

    async def ask(self, work: Callable[[], Awaitable[T]], deadline: float) -> T:
        """What ``work`` gives.

        :raises Conflict: it said so
        :raises StoreDown: it gave nothing within ``deadline`` seconds, or the database is not asked now
        """
        if not self.breaker.admits():
            raise StoreDown("the database is down")
        began = self._now()
        try:
            task = self._tasks.start(self._outcome(work), "database call")
        except Overloaded:
            raise StoreDown("too many calls of the database are open") from None
        try:
            await asyncio.wait((task,), timeout=deadline)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            task.cancel()
            self.breaker.failed(f"no answer in {deadline:g} s")
            raise StoreDown(f"the database gave no answer in {deadline:g} s")
        outcome = task.result()
        if isinstance(outcome, _Failed):
            self._tell(outcome.error, began)
        self.breaker.answered(self._now() - began)
        return cast("T", outcome)

    async def close(self) -> None:
        """End the calls that are open."""
        await self._tasks.close(CLOSE_SECONDS)

    async def _outcome(self, work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await work()
        except self._faults as error:
            return _Failed(error)

    def _tell(self, error: Exception, began: float) -> None:
        if isinstance(error, (Conflict, StoreDown)):
            self.breaker.answered(self._now() - began)
            raise error
        if any(isinstance(one, self._refusals) for one in causes(error)):
            self.breaker.answered(self._now() - began)
            # What it says of the value would quote it.
            raise Refused(f"the database refused a value: {type(error).__name__}") from error
        self.breaker.failed(_reason(error))
        raise StoreDown(f"the database failed: {_reason(error)}") from error


class _Failed:
    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


async def is_set(event: asyncio.Event, patience: float) -> bool:
    """Whether it is set within so many seconds; it is not set any more then."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await event.wait()
    found = event.is_set()
    event.clear()
    return found


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """It, what it came from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def code_of(error: BaseException) -> str:
    """What the database calls it, or nothing."""
    return str(getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or "")


def _reason(error: Exception) -> str:
    """Without the statement and its values, which can be anything that somebody has sent."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0][:200]}"
