from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from pointsman.upstream import resolving
from pointsman.upstream.resolving import KEPT_SECONDS, Resolver, interleaved

V4, V6 = socket.AF_INET, socket.AF_INET6


class Loop:
    """A loop whose names and clock are the test's. A question waits until it is answered by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.questions: list[asyncio.Future[Any]] = []

    def time(self) -> float:
        return self.seconds

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> Any:
        self.questions.append(self.create_future())
        return await self.questions[-1]


@pytest.fixture
async def loop() -> Loop:
    return Loop()


@pytest.fixture
async def resolver(loop: Any) -> Resolver:
    return Resolver(loop)


def answer(address: str) -> list[Any]:
    return [(V4, socket.SOCK_STREAM, 6, "", (address, 80))]


async def ask(resolver: Resolver, count: int = 1) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.ensure_future(resolver.addresses("name.test", 80)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_the_families_take_turns_and_the_resolvers_choice_begins() -> None:
    found: list[Any] = [(V6, ("a", 1)), (V6, ("b", 1)), (V6, ("b", 1)), (V4, ("c", 1)), (V6, ("d", 1))]
    assert [address[1][0] for address in interleaved(found)] == ["a", "c", "b", "d"]
    assert interleaved([]) == []


async def test_equal_questions_at_one_time_are_asked_once(resolver: Resolver, loop: Loop) -> None:
    tasks = await ask(resolver, 100)
    assert len(loop.questions) == 1
    loop.questions[0].set_result(answer("10.0.0.1"))
    assert await asyncio.gather(*tasks) == [[(V4, ("10.0.0.1", 80))]] * 100


async def test_an_answer_is_used_for_a_while_and_then_asked_anew(resolver: Resolver, loop: Loop) -> None:
    tasks = await ask(resolver)
    loop.questions[0].set_result(answer("10.0.0.1"))
    await tasks[0]
    loop.seconds = KEPT_SECONDS - 0.1
    assert await resolver.addresses("name.test", 80) == [(V4, ("10.0.0.1", 80))]
    loop.seconds = KEPT_SECONDS
    tasks = await ask(resolver)
    loop.questions[1].set_result(answer("10.0.0.2"))
    assert await tasks[0] == [(V4, ("10.0.0.2", 80))]


async def test_an_answer_that_did_not_help_is_forgotten(resolver: Resolver, loop: Loop) -> None:
    resolver.forget("name.test", 80)
    tasks = await ask(resolver)
    loop.questions[0].set_result(answer("10.0.0.1"))
    await tasks[0]
    resolver.forget("name.test", 80)
    tasks = await ask(resolver)
    assert len(loop.questions) == 2
    loop.questions[1].set_result(answer("10.0.0.1"))
    await tasks[0]


async def test_a_failure_is_told_to_all_who_wait_and_not_kept(resolver: Resolver, loop: Loop) -> None:
    tasks = await ask(resolver, 3)
    loop.questions[0].set_exception(socket.gaierror(socket.EAI_NONAME, "unknown"))
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(failure) for failure in failures] == [socket.gaierror] * 3
    tasks = await ask(resolver)
    assert len(loop.questions) == 2
    loop.questions[1].set_result([])
    assert await tasks[0] == []


async def test_when_who_asked_is_cancelled_the_next_one_asks(resolver: Resolver, loop: Loop) -> None:
    first, second, third = await ask(resolver, 3)
    first.cancel()
    third.cancel()
    await asyncio.wait([first, third])
    while len(loop.questions) < 2:
        await asyncio.sleep(0)
    loop.questions[1].set_result(answer("10.0.0.1"))
    assert await second == [(V4, ("10.0.0.1", 80))]


async def test_the_names_kept_are_bounded(resolver: Resolver, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "MAX_NAMES", 2)
    for port in range(5):
        task = asyncio.ensure_future(resolver.addresses("name.test", port))
        await asyncio.sleep(0)
        loop.questions[-1].set_result(answer("10.0.0.1"))
        await task
    assert len(resolver._known) <= 2
