"""Reads and writes of one part of the store, each with its deadline.

Parts share the connections, and not what they wait for: one that has a share of its own never takes all of them, and is
not asked any more when it fails, while the others are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from pointsman.store.asking import Asking
from pointsman.store.base import StoreDown
from pointsman.store.breaker import Breaker
from pointsman.store.settings import RecordSettings

T = TypeVar("T")
WRITES: Final = 2
"""Of a share, at a time; pages are read one at a time."""


class Backend(Protocol):
    """What is asked."""

    reading: AsyncEngine
    faults: tuple[type[Exception], ...]
    refusals: tuple[type[Exception], ...]
    what: str

    async def append(self, work: Callable[[sa.Connection], T]) -> T:
        """Do ``work`` in one transaction."""


class Calls:
    """Those of one part. All of them raise what :meth:`Asking.ask` raises."""

    def __init__(self, backend: Backend, settings: RecordSettings, part: str = "") -> None:
        """``part``, if it has a share of its own, is called so in the log."""
        breaker = Breaker(f"{backend.what} ({part})" if part else backend.what, slow=settings.report_seconds)
        self.asking = Asking(breaker, faults=backend.faults, refusals=backend.refusals)
        self._backend = backend
        self._settings = settings
        self._writes = _share(WRITES if part else 0)
        self._pages = _share(1 if part else 0)

    async def read(self, statement: Any, deadline: float | None = None) -> Sequence[sa.Row[Any]]:
        """All rows of it."""
        return await self.asking.ask(lambda: self._rows(statement), deadline or self._settings.read_seconds)

    async def page(self, statement: Any) -> Sequence[sa.Row[Any]]:
        """The same of what may take long."""

        async def work() -> Sequence[sa.Row[Any]]:
            async with self._pages:
                return await self._rows(statement)

        return await self.asking.ask(work, self._settings.report_seconds)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Do it in one transaction."""
        is_waited_for = True

        def transaction(connection: sa.Connection) -> T:
            given = work(connection)
            if not is_waited_for:
                # A thread cannot be cancelled; what is not committed yet still can.
                raise StoreDown("nobody waits for it any more")
            return given

        async def write() -> T:
            async with self._writes:
                return await self._backend.append(transaction)

        try:
            return await self.asking.ask(write, self._settings.write_seconds)
        finally:
            is_waited_for = False

    async def _rows(self, statement: Any) -> Sequence[sa.Row[Any]]:
        async with self._backend.reading.connect() as connection:
            return (await connection.execute(statement)).all()


def _share(places: int) -> AbstractAsyncContextManager[Any]:
    return asyncio.Semaphore(places) if places else nullcontext()
