"""The one way to start a background task.

The event loop keeps only weak references to tasks, and an exception that nobody awaits is told when the task is
collected, if ever. Here each task has an owner, a name and an end, and there are never more than so many of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from pointsman.errors import Overloaded

T = TypeVar("T")


class Tasks:
    """Background tasks that end together; a failure of one is logged once and stops no other."""

    def __init__(self, log: logging.Logger, limit: int) -> None:
        self._log = log
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run ``coroutine`` in a task called ``name``; its first step is taken in the loop's next turn.

        :raises Overloaded: as many as may be are running, or these tasks are closed
        """
        if self._is_closed or len(self._tasks) >= self._limit:
            coroutine.close()
            raise Overloaded(retry_after=1.0)
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    async def settle(self, patience: float) -> None:
        """Let none begin, and wait at most ``patience`` seconds for those that run to end by themselves."""
        self._is_closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)

    async def close(self, patience: float) -> list[str]:
        """Cancel all tasks, wait at most ``patience`` seconds, and give the names of those still running."""
        self._is_closed = True
        if not self._tasks:
            return []
        for task in self._tasks:
            # Who is cleaning up is not disturbed: a connection that is being closed would never end.
            if not task.cancelling():
                task.cancel()
        _, running = await asyncio.wait(self._tasks, timeout=patience)
        names = sorted(task.get_name() for task in running)
        if names:
            self._log.warning("tasks that would not end: %s", ", ".join(names))
        return names

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._log.error("task %s failed", task.get_name(), exc_info=error)
