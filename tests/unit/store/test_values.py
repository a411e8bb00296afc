from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from pointsman.store import values as module
from pointsman.store.settings import RedisSettings
from pointsman.store.values import MAX_VALUE_BYTES, MAX_WAITING_BYTES, RedisValues
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

LONG = 5.0


class Server:
    """What all links talk to."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.said: list[tuple[Any, ...]] = []
        self.links = 0
        self.open_links = 0
        self.failure: Exception | None = None
        """What comes of each command, and of each try to connect."""
        self.refusal: Exception | None = None
        """What comes of each command."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def answer(self, words: tuple[Any, ...]) -> Any:
        self.said.append(words)
        await self.may_answer.wait()
        if error := self.failure or self.refusal:
            raise error
        if words[0] == "SET":
            self.kept[words[1]] = words[2]
            return b"OK"
        return self.kept.get(words[1], b"")[: words[3] + 1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()

    class FakeLink:
        def __init__(self, *_: Any) -> None:
            self.is_open = False

        async def open(self) -> None:
            await self.close()
            made.links += 1
            if made.failure is not None:
                raise made.failure
            self.is_open = True
            made.open_links += 1

        async def close(self) -> None:
            made.open_links -= self.is_open
            self.is_open = False

        async def ask(self, *words: Any) -> Any:
            assert self.is_open
            return await made.answer(words)

    monkeypatch.setattr(module, "Link", FakeLink)
    return made


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks(logging.getLogger("test"), 10)
    yield made
    assert await made.close(1) == []


@pytest.fixture
def values(server: Server, tasks: Tasks) -> RedisValues:
    del server
    return RedisValues(RedisSettings(prefix="p"), tasks, deadline=LONG)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not is_so():
            await asyncio.sleep(0)


async def is_back(values: RedisValues, server: Server) -> None:
    """Ask until somebody is answered."""
    server.kept["p:answer:k"] = b"v"
    async with asyncio.timeout(LONG):
        while await values.get("k") != b"v":
            await asyncio.sleep(0)


async def test_a_value_is_kept_under_its_key_for_its_time(values: RedisValues, server: Server) -> None:
    assert await values.get("k") is None
    values.put("k", b"v", 60.0)
    await until(lambda: bool(server.kept))
    assert await values.get("k") == b"v"
    assert server.said == [
        ("GETRANGE", "p:answer:k", 0, MAX_VALUE_BYTES),
        ("SET", "p:answer:k", b"v", "PX", 60_000),
        ("GETRANGE", "p:answer:k", 0, MAX_VALUE_BYTES),
    ]
    assert server.links == 1


async def test_what_is_too_long_or_has_no_time_is_not_kept(values: RedisValues, server: Server, tasks: Tasks) -> None:
    values.put("k", b"v" * (MAX_VALUE_BYTES + 1), 60.0)
    values.put("k", b"v", 0.0)
    assert len(tasks) == 0
    values.put("k", b"v" * MAX_VALUE_BYTES, 1e300)
    await until(lambda: bool(server.said))
    assert server.said[0][4] == 10 * 366 * 86_400 * 1000


async def test_a_few_connections_are_shared_and_given_up_when_there_is_nothing_to_do(
    values: RedisValues, server: Server, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    server.may_answer.clear()
    asking = [asyncio.ensure_future(values.get(str(number))) for number in range(20)]
    await until(lambda: len(server.said) == module.MAX_LINKS)
    assert server.open_links == module.MAX_LINKS
    server.may_answer.set()
    assert await asyncio.gather(*asking) == [None] * 20
    await until(lambda: len(tasks) == 0)
    assert server.open_links == 0
    assert await values.get("k") is None


async def test_what_waits_to_be_kept_is_bounded(values: RedisValues, server: Server) -> None:
    server.may_answer.clear()
    value = b"v" * (1024 * 1024)
    for number in range(40):
        values.put(str(number), value, 60.0)
        await asyncio.sleep(0)
    await until(lambda: len(server.said) == module.MAX_LINKS)
    assert values._bytes <= MAX_WAITING_BYTES
    server.may_answer.set()
    await until(lambda: values._bytes == 0)
    assert module.MAX_LINKS <= len(server.kept) <= module.MAX_LINKS + MAX_WAITING_BYTES // len(value)


async def test_who_leaves_is_not_asked_for(values: RedisValues, server: Server) -> None:
    server.may_answer.clear()
    asking = [asyncio.ensure_future(values.get(str(number))) for number in range(module.MAX_LINKS + 3)]
    await until(lambda: len(server.said) == module.MAX_LINKS)
    for one in asking:
        one.cancel()
    assert all(isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*asking, return_exceptions=True))
    server.may_answer.set()
    assert await values.get("last") is None
    assert [words[1] for words in server.said[module.MAX_LINKS :]] == ["p:answer:last"]


@pytest.mark.requirement("cache.redis-faults")
async def test_a_server_that_is_away_holds_nobody_up_and_is_asked_again(
    values: RedisValues, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointsman.store.breaker.REST", 0.0)
    values._breaker._rest = 0.0
    server.failure = ConnectionRefusedError("refused")
    async with asyncio.timeout(LONG):
        while not values._breaker.is_open or server.links <= 2 * module.MAX_LINKS:
            assert await values.get("k") is None
            values.put("k", b"v", 60.0)
            await asyncio.sleep(0)
    assert values._bytes == 0
    server.failure = None
    await is_back(values, server)
    assert [record.getMessage() for record in caplog.records] == [
        "the Redis that keeps answers is down: refused",
        "the Redis that keeps answers is back",
    ]


@pytest.mark.requirement("cache.redis-faults")
async def test_after_one_that_came_too_late_nobody_waits(server: Server, tasks: Tasks) -> None:
    values = RedisValues(RedisSettings(prefix="p"), tasks, deadline=0.01)
    server.may_answer.clear()
    assert await values.get("k") is None
    values._deadline = 1e9
    async with asyncio.timeout(LONG):
        for _ in range(module.MAX_LINKS + 10):
            assert await values.get("k") is None
    assert values._jobs.qsize() <= 1
    server.may_answer.set()
    await is_back(values, server)


async def test_where_one_connection_has_failed_the_others_are_made_anew(values: RedisValues, server: Server) -> None:
    server.may_answer.clear()
    asking = [asyncio.ensure_future(values.get(str(number))) for number in range(2)]
    await until(lambda: len(server.said) == 2)
    server.may_answer.set()
    await asyncio.gather(*asking)
    assert server.links == 2
    server.refusal = ConnectionResetError("reset")
    values._deadline = 1e9
    async with asyncio.timeout(LONG):
        assert await values.get("k") is None
        server.refusal = None
        server.may_answer.clear()
        assert await values.get("k") is None
    server.may_answer.set()
    await is_back(values, server)
    assert server.links == 3
    assert server.open_links == 1


async def test_what_comes_when_a_connection_is_just_given_up_is_done_by_it(
    values: RedisValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    resting = asyncio.ensure_future(values._next())
    await asyncio.sleep(0)
    job = module._Job(("GET", "k"))
    values._jobs.put_nowait(job)
    assert await resting is job


async def test_a_refusal_costs_no_connection(
    values: RedisValues, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusal = ResponseError("OOM no room")
    for _ in range(3):
        assert await values.get("k") is None
    assert server.links == server.open_links == 1
    assert [record.getMessage() for record in caplog.records] == ["the Redis that keeps answers is down: OOM no room"]
    assert await values.get("k") is None
    assert len(server.said) == 3


async def test_at_the_end_nothing_is_asked(values: RedisValues, tasks: Tasks) -> None:
    await tasks.close(1)
    assert await values.get("k") is None
    values.put("k", b"v", 60.0)
    assert values._jobs.empty()


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RedisValues(RedisSettings(url=Secret("http://h")), Tasks(logging.getLogger("test"), 1))
