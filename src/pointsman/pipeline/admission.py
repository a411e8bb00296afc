"""The last guard: what this process refuses so that what it has taken on is served well."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from pointsman.errors import Overloaded

BATCH_PRIORITY = 100
"""Requests of this priority value and above can wait for another time."""
LAG_FOR_BATCH = 0.1
LAG = 0.5
"""Seconds that the event loop is late, when nobody is let in any more."""


class Lagging(Protocol):
    """What knows how late the event loop is."""

    lag: float
    """In seconds."""


class Loaded(Protocol):
    """What knows how many requests are being served."""

    in_flight: int


class Admission:
    """Says whether one more request can be taken on."""

    def __init__(self, loop: Lagging, load: Loaded, max_in_flight: int | None = None) -> None:
        self._loop = loop
        self._load = load
        self.max_in_flight = max_in_flight
        """Requests at a time; ``None``: as many as come."""
        self.refused_total = 0

    def check(self, priority: int = 0) -> None:
        """Let a request in.

        :raises Overloaded: there is no room for it
        """
        lag = self._loop.lag
        if lag > LAG_FOR_BATCH and (lag > LAG or priority >= BATCH_PRIORITY):
            self._refuse()
        if self.max_in_flight is not None and self._load.in_flight > self.max_in_flight:
            self._refuse()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Count a call that goes on as ``task`` although its client has left."""
        self._load.in_flight += 1
        task.add_done_callback(self._release)

    def _release(self, _task: asyncio.Task[Any]) -> None:
        self._load.in_flight -= 1

    def _refuse(self) -> None:
        self.refused_total += 1
        raise Overloaded(retry_after=1)
