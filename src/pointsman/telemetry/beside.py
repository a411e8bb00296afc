"""Long computations beside the event loop, such that it hardly notices."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

TURN_SECONDS = 0.0005
"""After which a thread that computes lets another one go on; a request needs several turns."""
SELDOM = 10_000

P = ParamSpec("P")
T = TypeVar("T")


async def beside(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``call`` gives, out of a thread that gives way sooner than threads do; for one call at a time.

    Meanwhile garbage is looked for among the youngest objects only: what a computation holds is much, and looking
    through all of it is one step for the interpreter, longer than any request should wait.
    """
    turn, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(TURN_SECONDS)
    gc.set_threshold(thresholds[0], SELDOM, SELDOM)
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    finally:
        sys.setswitchinterval(turn)
        gc.set_threshold(*thresholds)
