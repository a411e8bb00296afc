"""The answers of one published model that are remembered, and those that are being made."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from pointsman.a2a.published.runs import Run, Said
from pointsman.errors import Overloaded

MAX_RUNS: Final = 1_000
MAX_BYTES: Final = 150_000_000
"""Of all of them, with what was asked."""
TOO_MANY: Final = "The agent has too many tasks at the moment; try again"


class Memory:
    """Forgets the oldest that are over where there is no room for another one."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._held: Counter[Said] = Counter()
        """By how many runs: those that go on with a conversation have its turns in common."""
        self._size = 0
        """Of what is held."""

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, task: str) -> Run | None:
        """One of them."""
        return self._runs.get(task)

    def add(self, run: Run) -> None:
        """Remember it from now on.

        :raises Overloaded: so many are being made that there is no room for it
        """
        self._hold(run)
        over = [one for one in self._runs.values() if one.is_over]
        told = run.size + sum(one.size for one in self._runs.values())
        while self._size + told > MAX_BYTES or len(self._runs) > MAX_RUNS:
            if not over:
                self.forget(run)
                raise Overloaded(TOO_MANY, retry_after=1.0)
            told -= over[0].size
            self.forget(over.pop(0))

    def forget(self, run: Run) -> None:
        """It is of no use any more."""
        if self._runs.pop(run.id, None) is None:
            return
        for one in run.turns:
            self._held[one] -= 1
            if not self._held[one]:
                del self._held[one]
                self._size -= one.size

    def stop(self) -> list[asyncio.Task[None]]:
        """End those that are being made; gives what comes to its end then."""
        running = [run for run in self._runs.values() if not run.is_over]
        for run in running:
            run.stop()
        return [run.task for run in running if run.task is not None]

    def _hold(self, run: Run) -> None:
        self._runs[run.id] = run
        for one in run.turns:
            if not self._held[one]:
                self._size += one.size
            self._held[one] += 1
