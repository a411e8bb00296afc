"""Attempts that run at the same time; the first that has something to show goes on, the others are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any


class Outrun(Exception):
    """Another attempt has answered already."""


class Race:
    """The attempts of one call. An attempt is any object; its task is what is cancelled."""

    __slots__ = ("_tasks", "winner")

    def __init__(self) -> None:
        self._tasks: dict[Any, asyncio.Task[None]] = {}
        self.winner: Any = None

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those of all attempts, in the order of their beginning."""
        return list(self._tasks.values())

    @property
    def attempts(self) -> list[Any]:
        """All of them, in the order of their beginning."""
        return list(self._tasks)

    @property
    def losers(self) -> list[Any]:
        """The attempts that another one has outrun."""
        return [] if self.winner is None else [one for one in self._tasks if one is not self.winner]

    def add(self, attempt: Any, task: asyncio.Task[None]) -> None:
        """Let ``attempt``, which runs as ``task``, take part."""
        self._tasks[attempt] = task

    def win(self, attempt: Any) -> None:
        """Let ``attempt`` be the one that answers.

        :raises Outrun: another one has won already
        """
        if self.winner is None:
            self.winner = attempt
            for other, task in self._tasks.items():
                if other is not attempt:
                    task.cancel()
        elif self.winner is not attempt:
            raise Outrun
