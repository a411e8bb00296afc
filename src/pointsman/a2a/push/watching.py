"""Listening to tasks for clients that want to be told of them by agents that cannot tell.

The gateway is a client of its own then, in the name of the one who wants to know: it subscribes to the task, and where
that cannot be, or ends before the task does, it asks now and then how the task is. That lasts as long as the worker
does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import chain, repeat
from typing import Final

import msgspec
from msgspec.structs import replace

from pointsman.a2a.base import Call, Gateway
from pointsman.a2a.protocol import peeking
from pointsman.a2a.protocol.operations import TERMINAL, Operation, State
from pointsman.errors import GatewayError, Unseen
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import RpcError

PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds between two questions; the last one for ever."""
MAX_QUESTIONS: Final = 5_000
"""About one task: a bit more than a day of them."""

Tell = Callable[[bytes], Awaitable[bool]]
"""Takes an event in the form of version 1.0; whether anybody still wants to be told."""
IsWanted = Callable[[], Awaitable[bool]]
"""The same without an event."""


class Watching:
    """Listens. Its methods belong to the event loop."""

    def __init__(
        self,
        gateway: Callable[[], Gateway],
        tasks: Tasks,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._gateway = gateway
        self._tasks = tasks
        self._sleep = sleep
        self._watched: set[tuple[str, str]] = set()

    def watch(self, call: Call, task: str, tell: Tell, is_wanted: IsWanted) -> None:
        """Listen to a task from now on, as whoever has made ``call``; nothing, where that is done already.

        What is asked for that is not counted against anybody's limits.

        :raises Overloaded: too much goes on already
        """
        key = (call.agent, task)
        if key in self._watched:
            return
        params = msgspec.json.encode({"id": task})
        asked = replace(call, operation=Operation.GET, version="1.0", params=params, headers={}, is_own=True)
        self._tasks.start(self._watch(asked, key, tell, is_wanted), "listen to a task")
        self._watched.add(key)

    async def _watch(self, call: Call, key: tuple[str, str], tell: Tell, is_wanted: IsWanted) -> None:
        state: State | None = None
        try:
            for pause in chain(PAUSES, repeat(PAUSES[-1], MAX_QUESTIONS)):
                if not await is_wanted():
                    return
                state, is_over = await self._listen(replace(call, operation=Operation.SUBSCRIBE), state, tell)
                if not is_over:
                    state, is_over = await self._look(call, state, tell)
                if is_over:
                    return
                await self._sleep(pause)
        finally:
            self._watched.discard(key)

    async def _listen(self, call: Call, state: State | None, tell: Tell) -> tuple[State | None, bool]:
        """The state that was told last, and whether there is nothing more to be told."""
        try:
            async with aclosing(self._gateway().stream(call)) as events:
                async for event in events:
                    told = peeking.told(event)
                    is_known = told.kind == "task" and told.state == state
                    is_wanted = is_known or await tell(event)
                    state = told.state or state
                    if not is_wanted or state in TERMINAL:
                        return state, True
        except (RpcError, GatewayError):
            # It does not stream, or the task is over, or the stream was cut, or an event could not be told now: how
            # the task is, tells a question.
            pass
        return state, False

    async def _look(self, call: Call, state: State | None, tell: Tell) -> tuple[State | None, bool]:
        try:
            result = await self._gateway().ask(call)
            told = peeking.told(result)
            if told.state in {None, state}:
                return state, state in TERMINAL
            is_wanted = await tell(b'{"task":' + result + b"}")
        except (RpcError, Unseen):
            return state, True
        except GatewayError:
            return state, False
        return told.state, not is_wanted or told.state in TERMINAL
