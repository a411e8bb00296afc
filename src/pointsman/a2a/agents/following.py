"""One stream to a client, out of as many answers of the agent as it takes.

An answer that is cut while its task goes on is not the end: the agent is asked for the rest, and the client is told
what is new. So is one that ends too early, as behind proxies that let no answer be longer than a minute; if nothing
comes after it, it was the end. An agent that cannot give the rest is asked for the task as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from pointsman.a2a.agents.streams import Leg
from pointsman.a2a.agents.telling import Telling
from pointsman.a2a.protocol.faults import TASK_NOT_FOUND, UNSUPPORTED_OPERATION
from pointsman.errors import GatewayError, UpstreamBroken, UpstreamError, UpstreamTimeout
from pointsman.wire.jsonrpc import RpcError

PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each time that an agent is asked for the rest."""
MAX_BARREN: Final = 5
"""Answers one after the other that bring nothing new."""
NOT_NOW: Final = frozenset({TASK_NOT_FOUND.code, UNSUPPORTED_OPERATION.code})
"""With these agents refuse to tell of a task that has ended, and some of one that waits."""
LOOK_SECONDS: Final = 1.0
"""Between two looks at a task that nobody tells of."""
LAST_SECONDS: Final = 1.0
"""That an agent has to end its answer after the last event of its task; some tell of artifacts then."""


class Source(Protocol):
    """Where the answers come from."""

    async def begin(self) -> Leg:
        """The answer to what the client has asked.

        :raises RpcError: it is refused
        :raises GatewayError: there is none
        """

    async def resume(self, task: str) -> Leg:
        """What comes of a task from now on; raises as :meth:`begin` does."""

    async def look(self, task: str) -> bytes:
        """A task as it is; raises as :meth:`begin` does."""


class Following:
    """Follows a task; ``telling`` knows its id already where the client has named it."""

    def __init__(
        self, source: Source, telling: Telling, idle_seconds: float = 600.0, deadline: float = float("inf")
    ) -> None:
        """``idle_seconds`` is for how long there may be nothing new of a task that is looked at.

        ``deadline`` is in ``loop.time()``, for the whole.
        """
        self._deadline = deadline
        self._source = source
        self._telling = telling
        self._idle_seconds = idle_seconds
        self._barren = 0

    async def events(self) -> AsyncGenerator[bytes, None]:
        """All events in their order.

        :raises RpcError: the agent ends it so
        :raises GatewayError: it cannot go on
        """
        leg, begun = await self._begun()
        for one in begun:
            yield one
        failure: UpstreamError | RpcError | None = None
        is_first = True
        while leg is not None:
            failure = None
            try:
                if not is_first:
                    for one in await self._missed(leg):
                        yield one
                while (event := await self._next(leg)) is not None:
                    for one in self._told(event, is_first=is_first):
                        yield one
            except (UpstreamBroken, RpcError) as error:
                if leg.is_spent or (is_first and isinstance(error, RpcError)):
                    raise
                failure = error
            finally:
                leg.close()
            leg, failure = await self._rest(failure)
            is_first = False
        async for one in self._watched(failure):
            yield one

    async def _begun(self) -> tuple[Leg | None, list[bytes]]:
        """The first answer, or what is told of a task that waits and that the agent gives no answer of for so long."""
        telling = self._telling
        try:
            return await self._source.begin(), []
        except RpcError as error:
            if not telling.outlasts_pauses or not telling.task or error.code not in NOT_NOW:
                raise
            with suppress(RpcError, UpstreamError):
                whole = await self._source.look(telling.task)
                telling.note(whole)
            if telling.state is None or telling.has_ended:
                raise
        # Of a task of the older version the client has heard already, or it would not want that.
        return None, [b'{"task":%b}' % whole] if telling.version == "1.0" else []

    def _told(self, event: bytes, *, is_first: bool) -> Sequence[bytes]:
        if is_first:
            self._telling.note(event)
            return (event,)
        news = self._telling.news(event)
        if news:
            self._barren = 0
        return news

    async def _next(self, leg: Leg) -> bytes | None:
        if not self._telling.has_ended:
            return await leg.next()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                return await leg.next()
        except (TimeoutError, GatewayError):
            # Everything was told.
            return None

    async def _rest(
        self, failure: UpstreamError | RpcError | None
    ) -> tuple[Leg | None, UpstreamError | RpcError | None]:
        """The answer that goes on where one has ended; ``None``: that was all that can be had, and why."""
        telling = self._telling
        is_futile = self._barren >= MAX_BARREN if failure is not None else self._barren > 0
        if telling.may_end or not telling.task or is_futile or isinstance(failure, RpcError):
            return None, failure
        self._barren += 1
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                leg = await self._source.resume(telling.task)
            except RpcError:
                return None, failure
            except UpstreamError as error:
                if not error.is_retryable:
                    break
                failure = failure or error
            else:
                telling.resume()
                return leg, None
        return None, failure

    async def _missed(self, leg: Leg) -> list[bytes]:
        """What has happened meanwhile."""
        first = None
        if leg.gives_snapshot:
            first = await leg.next()
            if first is None or self._telling.is_task(first):
                if first is not None:
                    leg.unread(first)
                return []
        try:
            whole = await self._source.look(self._telling.task)
        except (RpcError, UpstreamError):
            if first is not None:
                leg.unread(first)
            return []
        early = [*([] if first is None else [first]), *leg.buffered()]
        news = self._telling.catch_up(whole, early)
        if news:
            self._barren = 0
        return news

    async def _settled(self, failure: UpstreamError | RpcError | None) -> list[bytes]:
        """The end of a stream whose task may go on: what is new, where that is known.

        :raises UpstreamError: the task goes on, but nobody knows how
        :raises RpcError: the agent does not tell
        """
        news: list[bytes] = []
        if self._telling.task:
            with suppress(RpcError, UpstreamError):
                news = self._telling.news(await self._source.look(self._telling.task))
        if failure is not None and not self._telling.may_end:
            raise failure
        return news

    async def _watched(self, failure: UpstreamError | RpcError | None) -> AsyncGenerator[bytes, None]:
        """What is told where no answer goes on: the end or, if the client wants to hear of that, how the task goes on.

        :raises RpcError: the agent does not tell
        :raises GatewayError: it cannot be reached, or there was nothing new for too long
        """
        if self._telling.may_end:
            return
        for one in await self._settled(failure):
            yield one
        telling, silent = self._telling, 0.0
        while telling.outlasts_pauses and telling.task and not telling.has_ended:
            await asyncio.sleep(LOOK_SECONDS)
            news = telling.news(await self._source.look(telling.task))
            silent = 0.0 if news else silent + LOOK_SECONDS
            if silent > self._idle_seconds:
                raise UpstreamTimeout("The agent's stream was silent for too long")
            if asyncio.get_running_loop().time() > self._deadline:
                raise UpstreamTimeout("The agent's stream has lasted for too long")
            for one in news:
                yield one
