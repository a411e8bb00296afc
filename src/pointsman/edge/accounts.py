"""Virtual keys of this gateway: nothing, until there is a store of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from pointsman.errors import GatewayError, Overloaded, ResourceNotFound
from pointsman.telemetry.tasks import Tasks

if TYPE_CHECKING:
    from pointsman.edge.admin import Admin
    from pointsman.pipeline.known_keys import KnownKeys

NO_STORE = "There is no store of keys here: set general_settings.database_url"
AWAY = "The store of keys cannot be reached at the moment; try again"
PATIENCE = 10.0
"""Seconds that a request waits for the store to be opened, which loads a library and makes tables."""
AWAY_PATIENCE = 0.5
"""The same, when that has failed before."""
MAX_TASKS = 4
PAUSE = 1.0
"""Between two attempts to open it."""
CLOSE_PATIENCE = 1.0

State = Literal["Not connected", "connected", "disconnected"]
"""As LiteLLM's readiness probe has it."""


async def _nowhere() -> Admin:
    raise ResourceNotFound(NO_STORE)


def away() -> Overloaded:
    """The store of keys does not answer."""
    return Overloaded(AWAY, code="store_unavailable", retry_after=1)


class Accounts:
    """What is known of keys, which lasts as long as the process. Its methods belong to the event loop."""

    def __init__(
        self,
        open_store: Callable[[], Awaitable[Admin]] = _nowhere,
        is_there: Callable[[], bool] = lambda: False,
    ) -> None:
        """``open_store`` opens the store, and makes one where there is none; ``is_there`` tells whether there is one.

        With several workers, another one may have made it.
        """
        self._open_store = open_store
        self._is_there = is_there
        self._patience = PATIENCE
        self._tasks = Tasks(logging.getLogger(__name__), MAX_TASKS)
        self._opening: asyncio.Task[Admin | Exception] | None = None
        self.admin: Admin | None = None

    @property
    def keys(self) -> KnownKeys | None:
        """``None``: nobody has made a key yet."""
        return None if self.admin is None else self.admin.keys

    @property
    def state(self) -> State:
        """Whether the store answers."""
        if self.admin is None:
            return "disconnected" if self._is_there() else "Not connected"
        return "disconnected" if self.admin.records.is_down else "connected"

    async def opened(self) -> Admin:
        """The way to the store, which is made if there is none.

        :raises ResourceNotFound: there can be none
        :raises Overloaded: it is away
        """
        if self.admin is not None:
            return self.admin
        if self._opening is None:
            self._opening = self._tasks.start(self._open(), "open the store of keys")
        try:
            async with asyncio.timeout(self._patience):
                # One attempt at a time, which goes on for the others who wait.
                found = await asyncio.shield(self._opening)
        except TimeoutError:
            self._patience = AWAY_PATIENCE
            raise away() from None
        if not isinstance(found, Exception):
            return found
        raise away() if isinstance(found, Overloaded) else found

    async def _open(self) -> Admin | Exception:
        """As a value, for there may be nobody left who waits for it."""
        try:
            self.admin = await self._open_store()
        except (GatewayError, OSError, ValueError) as error:
            self._patience = AWAY_PATIENCE
            return error
        finally:
            self._opening = None
        return self.admin

    async def look(self) -> KnownKeys | None:
        """The keys, if anybody has made any.

        :raises Overloaded: their store is away
        """
        if self.admin is None and self._is_there():
            await self.opened()
        return self.keys

    async def begin(self, patience: float, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Open the store that there is, however long it is away; after ``patience`` seconds it is taken to be."""
        self._patience = patience
        while self.admin is None and self._is_there():
            try:
                await self.opened()
            except Overloaded:
                await sleep(PAUSE)

    async def close(self) -> None:
        """Write what waits, and let go of the store."""
        await self._tasks.close(CLOSE_PATIENCE)
        admin, self.admin = self.admin, None
        if admin is not None:
            await admin.close()
