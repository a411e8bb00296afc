"""Calling webhooks: in order for each of them, again where that can help, and never without a bound.

A webhook that cannot be called is tried again after a while, and the next notices for it wait behind the first; where
that cannot be delivered in the end, they are not tried any more. What is not delivered, or comes while too many wait
already, is a dead letter: of it is known when, what it was about and why, and not what was in it. Nobody's notices can
take all the room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from pointsman.errors import GatewayError, Overloaded
from pointsman.telemetry.tasks import Tasks

PAUSES: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds before each further try."""
MAX_WAITING: Final = 100
"""For one webhook."""
MAX_ALL: Final = 5_000
MAX_BYTES: Final = 100_000_000
"""Of all that wait."""
MAX_SHARE: Final = MAX_ALL // 10
"""For all webhooks of one client."""
MAX_SHARE_BYTES: Final = MAX_BYTES // 10
MAX_DEAD: Final = 1_000
MOVED: Final = range(300, 400)
log = logging.getLogger("pointsman.a2a.push")


class Poster(Protocol):
    """Calls webhooks."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer.

        :raises GatewayError: there is none, or the address may not be called
        """


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One notice."""

    agent: str
    task: str
    webhook: str
    """What is told in order: the configuration that it is for."""
    owner: str
    """Who has set it."""
    url: str
    body: bytes
    headers: Mapping[str, str]


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """One that was not delivered."""

    at: float
    """Seconds since 1970."""
    agent: str
    task: str
    host: str
    """Of the webhook: its path may be a secret."""
    attempts: int
    reason: str


class Deliveries:
    """Delivers notices. Its methods belong to the event loop."""

    def __init__(
        self,
        poster: Callable[[], Poster],
        tasks: Tasks,
        *,
        now: Callable[[], float],
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """``now`` is seconds since 1970, ``chance`` a number from 0 to 1."""
        self._poster = poster
        self._tasks = tasks
        self._now = now
        self._chance = chance
        self._sleep = sleep
        self._waiting: dict[str, deque[Delivery]] = {}
        self._count = self._bytes = 0
        self._shares: dict[str, tuple[int, int]] = {}
        """By owner: how many wait, and their bytes."""
        self.dead: deque[Dead] = deque(maxlen=MAX_DEAD)
        """The last ones."""

    def put(self, delivery: Delivery) -> None:
        """Deliver it soon.

        :raises Overloaded: so much waits already that nobody's notice can be taken
        """
        queue = self._waiting.get(delivery.webhook)
        if queue is not None and len(queue) >= MAX_WAITING:
            self._bury(delivery, 0, "too many wait for this webhook")
            return
        count, size = self._shares.get(delivery.owner, (0, 0))
        if count >= MAX_SHARE or (count and size + len(delivery.body) > MAX_SHARE_BYTES):
            self._bury(delivery, 0, "too many wait for this client")
            return
        if self._count >= MAX_ALL or self._bytes + len(delivery.body) > MAX_BYTES:
            raise Overloaded(retry_after=10.0)
        if queue is None:
            # It has to be there before it is worked on, and may not stay where that cannot begin.
            self._tasks.start(self._work(delivery.webhook), "call a webhook")
            queue = self._waiting[delivery.webhook] = deque()
        queue.append(delivery)
        self._count += 1
        self._bytes += len(delivery.body)
        self._shares[delivery.owner] = count + 1, size + len(delivery.body)

    async def _work(self, webhook: str) -> None:
        queue = self._waiting[webhook]
        is_alive, why = True, "the gateway has ended"
        try:
            while queue and is_alive:
                is_alive = await self._deliver(queue[0])
                self._forget(queue.popleft())
            why = "the notice before it could not be delivered"
        finally:
            del self._waiting[webhook]
            for left in queue:
                self._forget(left)
                self._bury(left, 0, why)

    async def _deliver(self, delivery: Delivery) -> bool:
        """Whether the webhook answers."""
        reason, attempts = "", 0
        for pause in (0.0, *PAUSES):
            if pause:
                await self._sleep(pause * (0.75 + 0.5 * self._chance()))
            attempts += 1
            reason, is_worth_another = await self._try(delivery)
            if not reason:
                return True
            if not is_worth_another:
                break
        self._bury(delivery, attempts, reason)
        return not is_worth_another

    async def _try(self, delivery: Delivery) -> tuple[str, bool]:
        """What has gone wrong, empty: nothing, and whether another try can help."""
        try:
            status = await self._poster().post(delivery.url, delivery.body, delivery.headers)
        except GatewayError as error:
            return f"it cannot be called: {type(error).__name__}", error.status != 400
        if 200 <= status < 300:
            return "", False
        if status in MOVED:
            return f"it answered with status {status}, and redirects are not followed", False
        return f"it answered with status {status}", status >= 500 or status in {408, 425, 429}

    def _forget(self, delivery: Delivery) -> None:
        self._count -= 1
        self._bytes -= len(delivery.body)
        count, size = self._shares.pop(delivery.owner)
        if count > 1:
            self._shares[delivery.owner] = count - 1, size - len(delivery.body)

    def _bury(self, delivery: Delivery, attempts: int, reason: str) -> None:
        host = urlsplit(delivery.url).netloc
        log.warning(
            "a notice of agent %s for the webhook at %s was not delivered (%d attempts): %s",
            delivery.agent,
            host,
            attempts,
            reason,
        )
        self.dead.append(
            Dead(
                at=self._now(),
                agent=delivery.agent,
                task=delivery.task,
                host=host,
                attempts=attempts,
                reason=reason,
            )
        )
