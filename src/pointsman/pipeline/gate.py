"""The way into a deployment that may have so many requests at a time: a short queue, the more urgent first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

from pointsman.errors import Overloaded
from pointsman.routing.members import Member

PATIENCE = 5.0
"""Seconds that a request waits at a limit that the operator has set."""
SHORT_PATIENCE = 0.005
"""Seconds at one that was found by watching: the upstream is overloaded, and waiting would only add to it."""
QUEUED_PER_PLACE = 1
QUEUED_AT_LEAST = 16
SHARE = 0.75
"""Of the places, that lines of batches may take; they stay for as long as an answer takes."""

Ticket = tuple[int, int, asyncio.Future[None], bool]
"""Priority, number, who waits, and whether a deployment whose rates are used up is not to be entered."""


class Gates:
    """The queues of all deployments that have a limit."""

    def __init__(self, clock: Callable[[], float], patience: float | None = None) -> None:
        self._clock = clock
        self.patience = patience
        """Seconds that a request waits; ``None`` as the kind of limit has it."""
        self._queues: dict[Member, list[Ticket]] = {}
        self._count = 0

    @property
    def waiting(self) -> int:
        """Requests in all queues."""
        return sum(len(queue) for queue in self._queues.values())

    async def enter(
        self, member: Member, priority: int, deadline: float, *, heeds_rates: bool = False, gives_way: bool = False
    ) -> None:
        """Wait for a place; ``priority`` 0 goes first. :meth:`left` must follow once the attempt has concluded.

        Who ``gives_way`` does not wait, and leaves others a part of the places.

        :raises Overloaded: the queue is full, there was no place in time, or with ``heeds_rates`` the deployment's
            requests or tokens were used up meanwhile
        """
        queue = self._queues.get(member)
        now = self._clock()
        if gives_way and (queue or member.in_flight + 1 > _most_lines(member)):
            raise Overloaded(_text(member), retry_after=1)
        if not queue and not member.is_full():
            member.enter(now)
            return
        limit = member.limit or 0
        if queue is None:
            queue = self._queues[member] = []
        if len(queue) >= max(QUEUED_AT_LEAST, limit * QUEUED_PER_PLACE):
            raise Overloaded(_text(member), retry_after=1)
        patience = self.patience
        if patience is None:
            patience = PATIENCE if member.adaptive is None else SHORT_PATIENCE
        await self._wait(member, queue, priority, min(patience, deadline - now), heeds_rates=heeds_rates)

    def left(self, member: Member) -> None:
        """A place may have become free: let in who waits for it."""
        queue = self._queues.get(member)
        if not queue:
            return
        while queue and not member.is_full():
            _, _, future, heeds_rates = heappop(queue)
            if future.done():
                continue
            now = self._clock()
            # Whoever has waited for what rests by now is better off elsewhere.
            if not member.admits(now) or (heeds_rates and member.is_spent(now)):
                future.set_exception(Overloaded(_text(member), retry_after=1))
                continue
            member.enter(now)
            future.set_result(None)
        if not queue:
            del self._queues[member]

    async def _wait(
        self, member: Member, queue: list[Ticket], priority: int, seconds: float, *, heeds_rates: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._count += 1
        ticket = (priority, self._count, future, heeds_rates)
        heappush(queue, ticket)
        timer = loop.call_later(max(0.0, seconds), _give_up, future, member)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                # Let in, and gone in the same moment.
                now = self._clock()
                member.leave(now)
                self.left(member)
            raise
        finally:
            timer.cancel()
            if ticket in queue:
                # Whoever gave up or left must not keep a place in the queue.
                queue.remove(ticket)
                queue.sort()


def _most_lines(member: Member) -> float:
    """How many requests a deployment may have with one that gives way; one alone may be there in any case."""
    limit = inf if member.limit is None else member.limit
    if member.adaptive is not None:
        limit = min(limit, member.adaptive.value)
    return max(1, min(limit - 1, SHARE * limit))


def _give_up(future: asyncio.Future[None], member: Member) -> None:
    if not future.done():
        future.set_exception(Overloaded(_text(member), retry_after=1))


def _text(member: Member) -> str:
    return f"The model {member.deployment.model_name!r} has as many requests as it can take; try again"
