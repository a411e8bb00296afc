"""The one way to start a background task.

The event loop keeps only weak references to tasks, and an exception that nobody awaits is told when the task is
collected, if ever. Here each task has an owner, a name and an end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Tasks:
    """Background tasks that end together; an exception in one is logged once and stops no other."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        """Run ``coroutine`` in a task called ``name``; raises :class:`RuntimeError` after :meth:`close`."""
        if self._is_closed:
            coroutine.close()
            raise RuntimeError(f"no task can be started any more: {name}")
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    async def close(self, timeout: float) -> list[str]:  # noqa: ASYNC109  the tasks are left, not cancelled, by it
        """Cancel all tasks, wait at most ``timeout`` seconds, and give the names of those still running."""
        self._is_closed = True
        if not self._tasks:
            return []
        for task in self._tasks:
            task.cancel()
        _, running = await asyncio.wait(self._tasks, timeout=timeout)
        names = sorted(task.get_name() for task in running)
        if names:
            self._logger.warning("tasks that would not end: %s", ", ".join(names))
        return names

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._logger.error("task %s failed", task.get_name(), exc_info=error)
