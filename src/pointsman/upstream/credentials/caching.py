"""What was got is kept, and renewed before it expires.

One question at a time, whoever waits for it; a request that comes while the value still holds never waits. A question
is a background task, so that a caller who leaves does not end it for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from pointsman.errors import Overloaded, UpstreamError
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.base import Lease, unavailable

T = TypeVar("T")
RENEW_AHEAD = 300.0
"""Seconds before its end that a value is renewed, or half of its life where that is less."""
LEAST_LEFT = 30.0
"""Seconds that a value must still hold to be used, or a tenth of its life where that is less."""
PAUSE = 2.0
"""Seconds after a failure in which nobody is asked again."""
DOUBT_PAUSE = 60.0
"""Seconds after a doubt in which there is no other: who refuses every value would have each request ask for one."""
_LOG = logging.getLogger("pointsman.credentials")


class Cached(Generic[T]):
    """The value of the lease that ``fetch`` got last; ``clock`` is Unix time."""

    def __init__(self, fetch: Callable[[], Awaitable[Lease[T]]], tasks: Tasks, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._tasks = tasks
        self._clock = clock
        self._lease: Lease[T] | None = None
        self._renew_at = 0.0
        self._usable_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._error: UpstreamError | None = None
        self._ask_again_at = 0.0
        self._doubt_again_at = 0.0

    async def get(self) -> T:
        """A value that holds for a while.

        :raises UpstreamError: none could be got
        :raises Overloaded: the gateway has too much to do, or shuts down
        """
        now = self._clock()
        lease = self._lease
        if lease is not None and now < self._usable_until:
            if now >= self._renew_at and now >= self._ask_again_at:
                self._renew()
            return lease.value
        if now >= self._ask_again_at:
            await asyncio.shield(self._begin())
        if self._error is not None or self._lease is None:
            raise self._failure()
        return self._lease.value

    def doubt(self) -> None:
        """Renew a value that was refused before its end; it stays in use until there is another."""
        now = self._clock()
        if now >= max(self._doubt_again_at, self._ask_again_at):
            self._doubt_again_at = now + DOUBT_PAUSE
            self._renew()

    def _renew(self) -> None:
        # There is time, and the next request tries again.
        with contextlib.suppress(Overloaded):
            self._begin()

    def _begin(self) -> asyncio.Task[None]:
        if self._task is None:
            self._task = self._tasks.start(self._run(), "credential")
        return self._task

    async def _run(self) -> None:
        try:
            self._keep(await self._fetch())
        except UpstreamError as error:
            self._fail(error)
            _LOG.warning("no credential: %s", error.operator_detail)
        except Exception as error:  # noqa: BLE001  the task ends here, and those who wait are told
            self._fail(unavailable(f"getting it failed with {type(error).__name__}"))
            _LOG.exception("no credential")
        finally:
            self._task = None

    def _fail(self, error: UpstreamError) -> None:
        self._error = error
        self._ask_again_at = self._clock() + PAUSE

    def _keep(self, lease: Lease[T]) -> None:
        life = lease.expires_at - self._clock()
        if life <= 0:
            raise unavailable("a credential came that has expired already; is the clock of this machine right?")
        self._lease, self._error = lease, None
        self._renew_at = lease.expires_at - min(RENEW_AHEAD, life / 2)
        self._usable_until = lease.expires_at - min(LEAST_LEFT, life / 10)

    def _failure(self) -> BaseException:
        # Each waiter raises it anew; without this its traceback would grow with every one.
        return self._error.with_traceback(None) if self._error is not None else Overloaded()


class Bearer:
    """Authorizes by a token; ``cached`` holds the header lines."""

    def __init__(self, cached: Cached[bytes]) -> None:
        self._cached = cached

    async def authorize(self, _method: bytes, _target: bytes, _host: bytes, _body: bytes) -> bytes:
        """The same lines for every request."""
        return await self._cached.get()

    def doubt(self) -> None:
        """Get another token."""
        self._cached.doubt()


class Fixed:
    """Authorizes by lines that never change."""

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    async def authorize(self, _method: bytes, _target: bytes, _host: bytes, _body: bytes) -> bytes:
        """The same lines for every request."""
        return self._lines

    def doubt(self) -> None:
        """There are no others."""
