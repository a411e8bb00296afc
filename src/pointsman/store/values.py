"""Values in Redis or Valkey, each for as long as it is to last, for what does without them too.

A few connections are used by as many tasks, which begin when there is something to do and end when there has long been
nothing. Nobody is held up: who asks waits for :data:`DEADLINE` at most, and not at all from the first call that fails
until one is answered; who keeps something does not wait.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from redis.exceptions import ResponseError

from pointsman.errors import Overloaded
from pointsman.store.breaker import Breaker
from pointsman.store.link import DOWN, Link
from pointsman.store.settings import RedisSettings
from pointsman.telemetry.tasks import Tasks

DEADLINE: Final = 0.05
"""Seconds for an answer."""
MAX_VALUE_BYTES: Final = 1024 * 1024 + 16 * 1024
MAX_WAITING: Final = 1_000
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
MAX_LINKS: Final = 4
IDLE_SECONDS: Final = 30.0
"""After which a connection is given up."""
LONGEST: Final = 10 * 366 * 86_400.0
"""Seconds that a value is kept at most."""


class RedisValues:
    """Bytes by key. What is away, late or refused is as if it were not there."""

    def __init__(self, settings: RedisSettings, tasks: Tasks, *, deadline: float = DEADLINE) -> None:
        """For any thread; ``tasks`` must belong to the loop that asks.

        :raises ValueError: the address is of no kind that is known
        """
        self._settings = settings
        self._tasks = tasks
        self._deadline = deadline
        self._prefix = f"{settings.prefix}:answer:"
        self._breaker = Breaker("the Redis that keeps answers", slow=deadline)
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(MAX_WAITING)
        self._bytes = 0
        """Of the values that wait to be kept."""
        self._links = 0
        self._resting = 0
        """Links that have nothing to do."""
        self._failures = 0
        self._is_away = False
        self._link()

    async def get(self, key: str) -> bytes | None:
        """What is kept under ``key``."""
        words = ("GETRANGE", self._prefix + key, 0, MAX_VALUE_BYTES)
        if self._is_away:
            if self._admits():
                self._add(_Job(words))
            return None
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        if not self._admits() or not self._add(_Job(words, answer)):
            return None
        try:
            async with asyncio.timeout(self._deadline):
                return await answer
        except TimeoutError:
            self._is_away = True
            return None

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep ``value`` under ``key`` for so long, in the place of an earlier one."""
        size, lasting = len(value), int(min(seconds, LONGEST) * 1000)
        if size > MAX_VALUE_BYTES or lasting < 1 or self._bytes + size > MAX_WAITING_BYTES or not self._admits():
            return
        if self._add(_Job(("SET", self._prefix + key, value, "PX", lasting), size=size)):
            self._bytes += size

    def _link(self) -> Link:
        return Link(self._settings, self._deadline)

    def _admits(self) -> bool:
        """Whether to ask now. Of a server that is away, one thing at a time."""
        if self._is_away and not self._jobs.empty():
            return False
        return self._breaker.admits()

    def _add(self, job: _Job) -> bool:
        if self._jobs.full():
            return False
        if self._links < MAX_LINKS and self._jobs.qsize() >= self._resting:
            try:
                self._tasks.start(self._run(), "keep answers in Redis")
            except Overloaded:
                # It ends, and needs no answers any more.
                return False
            self._links += 1
        self._jobs.put_nowait(job)
        return True

    async def _run(self) -> None:
        link, failures, job = self._link(), self._failures, None
        try:
            await link.open()
            while (job := await self._next()) is not None:
                if failures != self._failures:
                    # Another connection has failed since: who knows what this one is worth.
                    failures = self._failures
                    await link.open()
                await self._do(link, job)
        except DOWN as error:
            self._fail(str(error) or f"no answer within {self._deadline:g} s")
        finally:
            self._links -= 1
            if job is not None:
                job.conclude(None)
            await link.close()

    async def _next(self) -> _Job | None:
        self._resting += 1
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                job = await self._jobs.get()
        except TimeoutError:
            if self._jobs.empty():
                return None
            job = self._jobs.get_nowait()
        finally:
            self._resting -= 1
        self._bytes -= job.size
        return job

    async def _do(self, link: Link, job: _Job) -> None:
        if job.is_left:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            value = await link.ask(*job.words)
        except ResponseError as error:
            # It is there and says no: it has no room left, or does not let this user in.
            self._breaker.failed(str(error))
            job.conclude(None)
            return
        self._breaker.answered(loop.time() - began)
        self._is_away = False
        # What is not there comes as no bytes.
        job.conclude(value or None)

    def _fail(self, why: str) -> None:
        self._is_away = True
        self._failures += 1
        self._breaker.failed(why)
        while not self._jobs.empty():
            job = self._jobs.get_nowait()
            self._bytes -= job.size
            job.conclude(None)


class _Job(msgspec.Struct, eq=False):
    """A command, and who waits for what it gives."""

    words: tuple[Any, ...]
    future: asyncio.Future[bytes | None] | None = None
    size: int = 0
    """Bytes of the value that it holds."""

    @property
    def is_left(self) -> bool:
        """Whether somebody has waited, and does no more."""
        return self.future is not None and self.future.done()

    def conclude(self, value: bytes | None) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(value)
