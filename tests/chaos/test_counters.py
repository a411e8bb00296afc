from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from chaos.wire import Wire
from contract.redis_server import RedisServer, redis_or_skip

from pointsman.access.limits import Charge, Grant, Limit
from pointsman.store.link import CONNECT_DEADLINE
from pointsman.store.redis import RedisCounters
from pointsman.store.settings import RedisSettings
from pointsman.telemetry.tasks import Tasks

LIMITS = (
    Limit("requests", "rate", 3_000_000, 60.0),
    Limit("tokens", "rate", 3_000_000_000, 60.0),
    Limit("places", "slots", 300),
)
MONEY = Limit("money", "money", 3_000_000_000)
CHARGES = (*(Charge(limit, 1) for limit in LIMITS), Charge(MONEY, 100))
SPENT = 7
"""Of each request, of 100 that are reserved."""
FEW = 5
REQUESTS = 200
PATIENCE = 20.0

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Gateway:
    """Sends requests through counters, one after the other, and keeps what became of them."""

    def __init__(self, counters: RedisCounters) -> None:
        self.counters = counters
        self.waited = 0
        """Requests that were not decided without waiting."""
        self.local = 0
        self.all = 0

    async def request(self) -> Grant:
        done = self.counters.reserve_now(CHARGES)
        if done is None:
            self.waited += 1
            done = await self.counters.reserve(CHARGES)
        assert isinstance(done, Grant), done
        self.all += 1
        self.local += done.is_local
        self.counters.settle(done, {"money": SPENT})
        return done

    async def requests(self, count: int) -> None:
        for _ in range(count):
            await self.request()
            # As if somebody had read it from a socket.
            await asyncio.sleep(0.001)

    async def until(self, *, is_local: bool) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.request()).is_local != is_local:
                await asyncio.sleep(0.01)

    def forget(self) -> None:
        self.waited = self.local = 0


@pytest.fixture
def redis() -> RedisServer:
    return redis_or_skip()


@pytest.fixture
async def wire(redis: RedisServer) -> AsyncIterator[Wire]:
    made = Wire(redis.port)
    await made.start()
    yield made
    if redis.process is not None:
        redis.process.send_signal(signal.SIGCONT)
    await made.close()
    redis.close()


@pytest.fixture
async def gateway(wire: Wire) -> AsyncIterator[Gateway]:
    tasks = Tasks(logging.getLogger("test"), 10)
    counters = RedisCounters(RedisSettings(port=wire.port), tasks)
    await counters.open()
    yield Gateway(counters)
    await counters.close()
    await tasks.close(1)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(":")[0] for record in caplog.records if record.name.startswith("pointsman")]


async def frozen(redis: RedisServer, _wire: Wire) -> Callable[[], None]:
    process = redis.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


async def killed(redis: RedisServer, _wire: Wire) -> Callable[[], None]:
    redis.kill()
    return redis.start


async def cut(_redis: RedisServer, wire: Wire) -> Callable[[], None]:
    wire.cut()
    return lambda: setattr(wire, "is_cut", False)


async def slow(_redis: RedisServer, wire: Wire) -> Callable[[], None]:
    wire.delay = CONNECT_DEADLINE / 2
    return lambda: setattr(wire, "delay", 0.0)


Fault = Callable[[RedisServer, Wire], Awaitable[Callable[[], None]]]


@pytest.mark.requirement("counters.redis_faults")
@pytest.mark.parametrize("fault", [frozen, killed, cut, slow])
async def test_requests_go_on_with_a_local_share_while_redis_is_away_and_it_is_told_once(
    gateway: Gateway, redis: RedisServer, wire: Wire, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    await gateway.until(is_local=False)
    mend = await fault(redis, wire)
    await gateway.until(is_local=True)
    gateway.forget()
    await gateway.requests(REQUESTS)
    assert gateway.local >= REQUESTS - FEW
    assert gateway.waited <= FEW
    async with asyncio.timeout(PATIENCE):
        while not told(caplog):
            await gateway.requests(1)
    mend()
    await gateway.until(is_local=False)
    gateway.forget()
    await gateway.requests(FEW)
    assert gateway.local == 0
    assert told(caplog) == ["the Redis that counts is down", "the Redis that counts is back"]


async def test_all_that_was_spent_while_redis_was_away_is_booked_once_and_nothing_is_held(
    gateway: Gateway, redis: RedisServer, wire: Wire
) -> None:
    await gateway.until(is_local=False)
    for fault in (frozen, cut, slow):
        mend = await fault(redis, wire)
        await gateway.until(is_local=True)
        await gateway.requests(FEW)
        mend()
        await gateway.until(is_local=False)
    async with asyncio.timeout(PATIENCE):
        while not (
            redis.run("HGET", "pointsman:{counters}:counter:money", "u").endswith(b"\r\n%d\r\n" % (gateway.all * SPENT))
            and redis.run("HLEN", "pointsman:{counters}:counter:money") == b":1\r\n"
            and redis.run("HLEN", "pointsman:{counters}:counter:places") == b":0\r\n"
        ):
            await asyncio.sleep(0.01)


async def test_a_redis_that_has_lost_its_scripts_is_sent_them_again(gateway: Gateway, redis: RedisServer) -> None:
    await gateway.until(is_local=False)
    redis.run("SCRIPT", "FLUSH")
    gateway.forget()
    await gateway.requests(FEW)
    assert gateway.local == 0
