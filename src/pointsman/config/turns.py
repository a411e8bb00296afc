"""One change at a time, and a way out that does not wait for the others.

Fetching may take minutes, and so may asking new deployments. Who goes back does not wait for that: what is being tried
then is given up, and so is what waits behind it. Once a change is in force it is not given up any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from pointsman.config.outcomes import Outcome, safely


class Turns:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._exits = 0
        """How often was everything given up."""
        self._trying: asyncio.Timeout | None = None
        """What may be given up now."""

    @asynccontextmanager
    async def turn(self, step: Coroutine[Any, Any, Outcome], *, is_exit: bool) -> AsyncIterator[Outcome | None]:
        """What came of ``step`` when it is its turn, which lasts as long as the context; ``None``: it was given up.

        ``is_exit``: this one is not, and those before it are.
        """
        if is_exit:
            self._give_up()
        exits = self._exits
        async with self._lock:
            if is_exit:
                yield await safely(step)
            elif exits == self._exits:
                yield await self._tried(step)
            else:
                step.close()
                yield None

    def commit(self) -> None:
        """From now on what is being tried is not given up any more."""
        if self._trying is not None:
            self._trying.reschedule(None)
            self._trying = None

    def _give_up(self) -> None:
        self._exits += 1
        if self._trying is not None:
            self._trying.reschedule(asyncio.get_running_loop().time())
            self._trying = None

    async def _tried(self, step: Coroutine[Any, Any, Outcome]) -> Outcome | None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None) as self._trying:
                    return await safely(step)
            return None
        finally:
            self._trying = None
