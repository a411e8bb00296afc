from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from unit.upstream.credentials.scripted import Clock

from pointsman.errors import Overloaded, UpstreamRejected, UpstreamUnreachable
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.base import Lease, refused
from pointsman.upstream.credentials.caching import (
    DOUBT_PAUSE,
    LEAST_LEFT,
    PAUSE,
    RENEW_AHEAD,
    Bearer,
    Cached,
    Fixed,
)

LIFE = 3600.0


class Source:
    """Gives numbered leases, or fails, when its gate is open."""

    def __init__(self, clock: Callable[[], float], life: float = LIFE) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.count = 0
        self.is_broken = False
        self.bug: Exception | None = None
        self.life = life
        self._clock = clock

    async def fetch(self) -> Lease[int]:
        self.count += 1
        number = self.count
        await self.gate.wait()
        if self.bug is not None:
            raise self.bug
        if self.is_broken:
            raise refused("no")
        return Lease(number, self._clock() + self.life)


@pytest.fixture
def source(clock: Callable[[], float]) -> Source:
    return Source(clock)


@pytest.fixture
def cached(source: Source, tasks: Tasks, clock: Callable[[], float]) -> Cached[int]:
    return Cached(source.fetch, tasks, clock)


async def idle(tasks: Tasks) -> None:
    async with asyncio.timeout(5):
        while len(tasks):
            await asyncio.sleep(0)


async def test_a_value_is_got_once_and_used_while_it_holds(cached: Cached[int], source: Source) -> None:
    assert [await cached.get() for _ in range(3)] == [1, 1, 1]
    assert source.count == 1


@pytest.mark.requirement("credentials.renewed-ahead")
async def test_those_who_wait_at_once_wait_for_one_question(cached: Cached[int], source: Source) -> None:
    assert await asyncio.gather(*(cached.get() for _ in range(50))) == [1] * 50
    assert source.count == 1


@pytest.mark.requirement("credentials.renewed-ahead")
async def test_shortly_before_its_end_a_value_is_renewed_and_nobody_waits(
    cached: Cached[int], source: Source, tasks: Tasks, clock: Clock
) -> None:
    await cached.get()
    clock.now += LIFE - RENEW_AHEAD
    source.gate.clear()
    assert [await cached.get(), await cached.get()] == [1, 1]
    source.gate.set()
    await idle(tasks)
    assert await cached.get() == 2
    assert source.count == 2


async def test_a_value_that_is_about_to_end_is_not_used(cached: Cached[int], clock: Clock) -> None:
    await cached.get()
    clock.now += LIFE - LEAST_LEFT
    assert await cached.get() == 2


async def test_short_lives_are_used_for_most_of_their_time(tasks: Tasks, clock: Clock, cached: Cached[int]) -> None:
    source = Source(clock, life=20)
    short = Cached(source.fetch, tasks, clock)
    await short.get()
    clock.now += 9
    assert await short.get() == 1
    await idle(tasks)
    assert source.count == 1


async def test_a_caller_who_leaves_does_not_end_the_question_for_others(cached: Cached[int], source: Source) -> None:
    source.gate.clear()
    first, second = asyncio.create_task(cached.get()), asyncio.create_task(cached.get())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.gate.set()
    assert await second == 1
    assert source.count == 1


async def test_who_gives_up_waiting_leaves_the_question_to_the_next(cached: Cached[int], source: Source) -> None:
    source.gate.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cached.get()
    waiting = asyncio.create_task(cached.get())
    await asyncio.sleep(0)
    source.gate.set()
    assert await waiting == 1
    assert source.count == 1


async def test_what_nobody_thought_of_is_a_failure_like_others(
    cached: Cached[int], source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.bug = PermissionError("closed")
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable) as caught:
            await cached.get()
    assert "PermissionError" in str(caught.value.operator_detail)
    assert source.count == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]
    source.bug = None
    clock.now += PAUSE
    assert await cached.get() == 2


async def test_a_value_that_is_refused_is_renewed_and_nobody_waits(
    cached: Cached[int], source: Source, tasks: Tasks
) -> None:
    await cached.get()
    source.gate.clear()
    cached.doubt()
    assert await cached.get() == 1
    source.gate.set()
    await idle(tasks)
    assert await cached.get() == 2


async def test_who_refuses_every_value_is_not_the_cause_of_a_question_for_each(
    cached: Cached[int], source: Source, tasks: Tasks, clock: Clock
) -> None:
    await cached.get()
    for _ in range(5):
        cached.doubt()
        await idle(tasks)
    assert source.count == 2
    clock.now += DOUBT_PAUSE
    cached.doubt()
    await idle(tasks)
    assert await cached.get() == 3


async def test_a_refused_value_stays_in_use_where_there_is_no_other(
    cached: Cached[int], source: Source, tasks: Tasks
) -> None:
    await cached.get()
    source.is_broken = True
    cached.doubt()
    await idle(tasks)
    assert await cached.get() == 1


async def test_after_a_failure_nobody_is_asked_for_a_moment(
    cached: Cached[int], source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.is_broken = True
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(UpstreamRejected):
                await cached.get()
    assert source.count == 1
    assert [record.getMessage() for record in caplog.records] == ["no credential: no"]
    source.is_broken = False
    clock.now += PAUSE
    assert await cached.get() == 2


async def test_a_renewal_that_fails_leaves_the_value_in_use(
    cached: Cached[int], source: Source, tasks: Tasks, clock: Clock
) -> None:
    await cached.get()
    clock.now += LIFE - RENEW_AHEAD
    source.is_broken = True
    assert await cached.get() == 1
    await idle(tasks)
    assert [await cached.get(), await cached.get()] == [1, 1]
    assert source.count == 2


async def test_what_has_expired_on_arrival_is_no_credential(tasks: Tasks, clock: Clock, cached: Cached[int]) -> None:
    late = Cached(Source(clock, life=-1).fetch, tasks, clock)
    with pytest.raises(UpstreamUnreachable) as caught:
        await late.get()
    assert "clock" in str(caught.value.operator_detail)


async def test_a_gateway_that_shuts_down_uses_what_it_has_and_gets_nothing_new(
    cached: Cached[int], source: Source, tasks: Tasks, clock: Clock
) -> None:
    await cached.get()
    await tasks.settle(0)
    clock.now += LIFE - RENEW_AHEAD
    assert await cached.get() == 1
    clock.now += LIFE
    with pytest.raises(Overloaded):
        await cached.get()


async def test_a_bearer_gives_the_same_lines_for_every_request(tasks: Tasks, clock: Callable[[], float]) -> None:
    async def fetch() -> Lease[bytes]:
        return Lease(b"authorization: Bearer t\r\n", clock() + 60)

    makers: list[Callable[[bytes], Awaitable[bytes]]] = [
        lambda body: Bearer(Cached(fetch, tasks, clock)).authorize(b"POST", b"/x", b"h", body),
        lambda body: Fixed(b"authorization: Bearer t\r\n").authorize(b"POST", b"/x", b"h", body),
    ]
    for make in makers:
        assert await make(b"{}") == b"authorization: Bearer t\r\n"


async def test_a_bearer_whose_token_is_refused_gets_another(tasks: Tasks, clock: Clock) -> None:
    source = Source(clock)

    async def fetch() -> Lease[bytes]:
        lease = await source.fetch()
        return Lease(b"authorization: Bearer %d\r\n" % lease.value, lease.expires_at)

    bearer = Bearer(Cached(fetch, tasks, clock))
    await bearer.authorize(b"POST", b"/x", b"h", b"")
    bearer.doubt()
    await idle(tasks)
    assert await bearer.authorize(b"POST", b"/x", b"h", b"") == b"authorization: Bearer 2\r\n"


async def test_lines_that_never_change_are_not_doubted() -> None:
    fixed = Fixed(b"authorization: Bearer t\r\n")
    fixed.doubt()
    assert await fixed.authorize(b"POST", b"/x", b"h", b"") == b"authorization: Bearer t\r\n"
