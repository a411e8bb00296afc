"""The cache in a real Redis: what it keeps and how long, and what happens when it is killed, restarted or frozen."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from contract.redis_server import RedisServer, redis_or_skip

from pointsman.store.settings import RedisSettings
from pointsman.store.values import DEADLINE, MAX_VALUE_BYTES, RedisValues
from pointsman.telemetry.tasks import Tasks

PATIENCE = 20.0
VALUE = bytes(range(256)) * 100


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = redis_or_skip()
    yield server
    server.close()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks(logging.getLogger("test"), 100)
    yield made
    assert await made.close(1) == []


@pytest.fixture
def values(redis: RedisServer, tasks: Tasks) -> RedisValues:
    # Tests share their processors with others; faults are told from slowness by their count.
    return RedisValues(RedisSettings(host="127.0.0.1", port=redis.port), tasks, deadline=1.0)


async def kept(values: RedisValues, key: str, value: bytes = VALUE, seconds: float = 600.0) -> float:
    """Keep a value and find it there; seconds until it was."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while await values.get(key) != value:
            values.put(key, value, seconds)
            await asyncio.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.requirement("cache.redis")
async def test_values_of_any_bytes_are_found_by_all_and_end_by_themselves(
    values: RedisValues, redis: RedisServer, tasks: Tasks
) -> None:
    await kept(values, "n:k")
    await kept(values, "long", b"v" * MAX_VALUE_BYTES)
    other = RedisValues(RedisSettings(host="127.0.0.1", port=redis.port), tasks, deadline=1.0)
    assert await other.get("n:k") == VALUE
    assert await other.get("k") is None
    assert redis.run("TTL", "pointsman:answer:n:k") in (b":600\r\n", b":599\r\n")
    await kept(values, "brief", seconds=0.5)
    async with asyncio.timeout(PATIENCE):
        while await other.get("brief") is not None:
            await asyncio.sleep(0.05)
    await asyncio.gather(*(kept(values, f"k{number}", b"%d" % number) for number in range(200)))
    assert await asyncio.gather(*(other.get(f"k{number}") for number in range(200))) == [
        b"%d" % number for number in range(200)
    ]


async def test_what_somebody_else_has_put_there_is_not_read_whole(values: RedisValues, redis: RedisServer) -> None:
    redis.run("SETRANGE", "pointsman:answer:huge", str(8 * MAX_VALUE_BYTES), "v")
    redis.run("RPUSH", "pointsman:answer:list", "v")
    assert len(await values.get("huge") or b"") == MAX_VALUE_BYTES + 1
    assert await values.get("list") is None
    await kept(values, "k")


@pytest.mark.requirement("cache.redis-faults")
@pytest.mark.parametrize("is_long", [True, False], ids=["for a while", "at once"])
async def test_a_server_that_was_killed_costs_hits_only_until_it_is_back(
    values: RedisValues, redis: RedisServer, caplog: pytest.LogCaptureFixture, *, is_long: bool
) -> None:
    await asyncio.gather(*(kept(values, f"k{number}") for number in range(20)))
    redis.kill()
    if is_long:
        for _ in range(50):
            assert await values.get("k0") is None
            values.put("k0", VALUE, 600.0)
            await asyncio.sleep(0.001)
    redis.start()
    assert await kept(values, "k0") < 5.0
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (2 if is_long else 0), told
    assert all("the Redis that keeps answers is" in line for line in told)


@pytest.mark.requirement("cache.redis-faults")
async def test_a_server_that_is_frozen_holds_up_those_only_who_find_out(
    redis: RedisServer, tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    values = RedisValues(RedisSettings(host="127.0.0.1", port=redis.port), tasks, deadline=DEADLINE)
    await kept(values, "k")
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        waits = []
        for _ in range(300):
            began = time.monotonic()
            assert await values.get("k") is None
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.005)
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    assert sum(wait >= DEADLINE * 0.9 for wait in waits) <= 5, sorted(waits)[-10:]
    assert await kept(values, "k") < 5.0
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition("answers ")[2].partition(":")[0] for line in told] == ["is down", "is back"], told
