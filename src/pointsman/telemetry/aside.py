"""Calls that may never come back, in threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def aside(call: Callable[[], T], name: str) -> asyncio.Future[T]:
    """What ``call`` gives or raises, out of a thread of its own, which keeps no process from ending."""
    loop = asyncio.get_running_loop()
    given: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        settle: Callable[[], None]
        try:
            result = call()
            settle = lambda: given.set_result(result)  # noqa: E731
        except Exception as error:  # noqa: BLE001  whoever waits is told
            failure = error
            settle = lambda: given.set_exception(failure)  # noqa: E731
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: None if given.done() else settle())

    threading.Thread(target=run, name=name, daemon=True).start()
    return given
