from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest
from contract.redis_server import RedisServer, redis_or_skip
from contract.worlds import InMemory, Ledger, OnRedis, Steps, WithParent, World

from pointsman.access.limits import Charge, Grant, Limit

WINDOW = 60.0
STEP = 0.25
MINUTES = 2
REQUESTS = Limit("requests", "rate", 600, WINDOW)
TOKENS = Limit("tokens", "rate", 60_000, WINDOW)
ESTIMATE, REAL = 200, 80
"""Tokens of a request: a limit on them lets as many requests through as one on requests, or a few less at its edge."""


@pytest.fixture
def steps() -> Iterator[Steps]:
    made = Steps()
    yield made
    made.close()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = redis_or_skip()
    yield server
    server.close()


@pytest.fixture(params=["1 process", "4 workers", "3 replicas"])
def world(request: pytest.FixtureRequest, steps: Steps) -> Iterator[World]:
    made: World
    if request.param == "1 process":
        made = InMemory(Ledger({}))
    elif request.param == "4 workers":
        made = workers = WithParent(Ledger({}), size=4)
        steps(workers.open())
    else:
        made = replicas = OnRedis(Ledger({}), request.getfixturevalue("redis").port)
        steps(replicas.open())
    yield made
    steps(made.close())


Demand = Callable[[Random], int]
"""Requests at each process in each step."""


def as_many_as_there_may_be(_chance: Random) -> int:
    return 200


def a_little_more_than_there_may_be(chance: Random) -> int:
    return chance.choice((0, 1, 1, 2, 3))


def now_and_then_many(chance: Random) -> int:
    return 60 if chance.random() < 0.02 else 0


class Exact:
    """Remembers each request by itself."""

    def __init__(self) -> None:
        self.admitted: list[float] = []

    def request(self, now: float) -> bool:
        is_free = sum(now < at + WINDOW for at in self.admitted[-REQUESTS.ceiling :]) < REQUESTS.ceiling
        if is_free:
            self.admitted.append(now)
        return is_free


@pytest.mark.requirement("counters.rate_accuracy")
@pytest.mark.parametrize(
    "demand", [as_many_as_there_may_be, a_little_more_than_there_may_be, now_and_then_many], ids=lambda d: d.__name__
)
def test_a_rate_lets_as_many_through_in_every_minute_as_it_says(steps: Steps, world: World, demand: Demand) -> None:
    chance, exact, admitted = Random(0), Exact(), list[float]()

    async def run() -> None:
        while world.now < start + MINUTES * WINDOW:
            for who in range(world.size):
                for _ in range(demand(chance)):
                    was_let_through = exact.request(world.now)
                    if isinstance(await world.reserve(who, (Charge(REQUESTS, 1),)), Grant):
                        admitted.append(world.now)
                    elif not was_let_through:
                        # The others of this moment would not be either.
                        break
            await world.advance(STEP)

    start = world.now
    steps(run())
    hundredth = REQUESTS.ceiling / 100
    for step in range(int(MINUTES * WINDOW / STEP) + 1):
        end = start + step * STEP
        assert between(admitted, end - WINDOW, end) <= REQUESTS.ceiling + hundredth
        # Nobody waits for more than a hundredth of the window longer.
        assert between(admitted, start, end) >= between(exact.admitted, start, end - WINDOW / 100) - hundredth
        assert between(admitted, start, end) <= between(exact.admitted, start, end) + hundredth


def between(times: Sequence[float], begin: float, end: float) -> int:
    return sum(begin <= at < end for at in times)


def test_tokens_are_counted_as_they_were_used_and_not_as_they_were_estimated(steps: Steps, world: World) -> None:
    used = 0

    async def run() -> None:
        nonlocal used
        while world.now < start + WINDOW:
            for who in range(world.size):
                got = await world.reserve(who, (Charge(TOKENS, ESTIMATE),))
                if isinstance(got, Grant):
                    await world.settle(who, got, {TOKENS.key: REAL})
                    used += REAL
            await world.advance(STEP / 4)

    start = world.now
    steps(run())
    assert TOKENS.ceiling * 0.99 <= used <= TOKENS.ceiling
