"""Deadlines for others: while this process does not get to read an answer, nobody else is late.

A burst of requests holds up the event loop for longer than a counter may take to answer. The answer is there by then,
and a plain timer would be called before anybody has read it. So time is counted in steps, and a step after which the
loop was late itself does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

STEPS: Final = 5
MOST: Final = 10
"""Deadlines after which it is over in any case."""


class Deadline:
    """Calls ``late`` after so many seconds in which the event loop was not held up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, late: Callable[[], object]) -> None:
        self._loop = loop
        self._late = late
        self._step = seconds / STEPS
        self._left = STEPS
        now = loop.time()
        self._end = now + MOST * seconds
        self._due = now + self._step
        self._timer = loop.call_at(self._due, self._count)

    def cancel(self) -> None:
        self._timer.cancel()

    def _count(self) -> None:
        now = self._loop.time()
        if now < self._due + self._step:
            self._left -= 1
        if not self._left or now >= self._end:
            self._late()
            return
        self._due = now + self._step
        self._timer = self._loop.call_at(self._due, self._count)


@asynccontextmanager
async def patient(seconds: float) -> AsyncIterator[None]:
    """As :func:`asyncio.timeout`.

    :raises TimeoutError: it is over
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        deadline = Deadline(loop, seconds, lambda: scope.reschedule(loop.time()))
        try:
            yield
        finally:
            deadline.cancel()
