from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from contract.redis_server import RedisServer, redis_or_skip
from contract.worlds import InMemory, Ledger, OnRedis, Steps, WithParent, World
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store.redis import _Asked

RUNS = os.environ.get("POINTSMAN_COUNTER_RUNS")
"""How many histories to try, each another one; by default a few, always the same."""
SPENT = {"budget": 2_000, "fortune": 5 * 10**15}
STEP = 0.5
"""Longer than the parts that a rate is kept in, and than what is lent of it is valid."""


def limit(key: str, ceiling: int) -> Limit:
    kinds: Mapping[str, tuple[Any, float]] = {
        "rpm": ("rate", 60.0),
        "tpm": ("rate", 60.0),
        "rps": ("rate", 4.0),
        "places": ("slots", float("inf")),
        "many places": ("slots", float("inf")),
        "budget": ("money", 86_400.0),
        "fortune": ("money", float("inf")),
    }
    kind, window = kinds[key]
    return Limit(key, kind, ceiling, window)


CEILINGS = {
    "rpm": [3, 8],
    "tpm": [1_000],
    "rps": [2, 200],
    "places": [2, 5],
    "many places": [200],
    "budget": [10_000, 3_000],
    "fortune": [9 * 10**15],
}
AMOUNTS = {
    "rpm": [1],
    "tpm": [1, 100, 400, 1_001],
    "rps": [1, 50],
    "places": [1, 2],
    "many places": [1, 90],
    "budget": [1, 300, 4_000],
    "fortune": [1, 10**15],
}
KEYS = list(CEILINGS)


@st.composite
def charges(draw: st.DrawFn) -> tuple[Charge, ...]:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=5, unique=True))
    return tuple(
        Charge(limit(key, draw(st.sampled_from(CEILINGS[key]))), draw(st.sampled_from(AMOUNTS[key]))) for key in keys
    )


class Model:
    """The same as simple as can be: every single thing that was let through is remembered."""

    def __init__(self) -> None:
        self.log: dict[str, list[list[float]]] = {}
        self.spent = dict(SPENT)
        self.open: dict[int, tuple[int, float, tuple[Charge, ...]]] = {}
        """By number: who, when and what."""

    def used(self, limit: Limit, now: float) -> int:
        if limit.kind == "rate":
            return int(sum(amount for at, amount in self.log.get(limit.key, []) if now < at + limit.window))
        held = sum(c.amount for _, _, taken in self.open.values() for c in taken if c.limit.key == limit.key)
        return held + (self.spent[limit.key] if limit.kind == "money" else 0)

    def refusal(self, wanted: tuple[Charge, ...], now: float) -> Refusal | None:
        for charge in wanted:
            left = charge.limit.ceiling - self.used(charge.limit, now)
            if charge.amount > left:
                return Refusal(charge.limit, self.wait(charge, now), max(0, left))
        return None

    def wait(self, charge: Charge, now: float) -> float | None:
        limit = charge.limit
        if limit.kind != "rate" or charge.amount > limit.ceiling:
            return None
        ends = sorted(at + limit.window for at, amount in self.log[limit.key] if amount and now < at + limit.window)
        return next(end - now for end in ends if self.used(limit, end) + charge.amount <= limit.ceiling)

    def take(self, number: int, who: int, now: float, taken: tuple[Charge, ...]) -> None:
        self.open[number] = (who, now, taken)
        for charge in taken:
            if charge.limit.kind == "rate":
                self.log.setdefault(charge.limit.key, []).append([now, charge.amount])

    def settle(self, number: int, now: float, actual: Mapping[str, int]) -> None:
        _, at, taken = self.open.pop(number)
        for charge in taken:
            key, used = charge.limit.key, actual.get(charge.limit.key, charge.amount)
            if charge.limit.kind == "money":
                self.spent[key] += used
            elif charge.limit.kind == "rate" and used > charge.amount:
                self.log[key].append([now, used - charge.amount])
            elif charge.limit.kind == "rate":
                entry = next(entry for entry in self.log[key] if entry == [at, charge.amount])
                entry[1] = used

    def kill(self, who: int) -> None:
        self.open = {number: taken for number, taken in self.open.items() if taken[0] != who}


class Histories(RuleBasedStateMachine):
    """What happens to some processes, and to the model."""

    steps: Steps
    port: int | None = None

    def make(self) -> World:
        raise AssertionError("each kind of counters has its own")

    @initialize()
    def begin(self) -> None:
        self.world = self.make()
        self.model = Model()
        self.grants: dict[int, tuple[int, Grant]] = {}
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.steps(self.world.close())

    @rule(who=st.integers(0, 2), wanted=charges())
    def reserve(self, who: int, wanted: tuple[Charge, ...]) -> None:
        who %= self.world.size
        got = self.steps(self.world.reserve(who, wanted))
        expected = self.model.refusal(wanted, self.world.now)
        if expected is None:
            assert isinstance(got, Grant), got
            assert not got.is_local
            self.count += 1
            self.grants[self.count] = who, got
            self.model.take(self.count, who, self.world.now, wanted)
        else:
            assert isinstance(got, Refusal), expected
            assert (got.limit, got.remaining) == (expected.limit, expected.remaining)
            assert got.retry_after == pytest.approx(expected.retry_after, abs=1e-5)

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        number, who, grant = self.pick(data)
        parts = data.draw(st.lists(st.sampled_from([None, 0, 1, 2, 3]), min_size=5, max_size=5))
        known = [(charge, part) for charge, part in zip(grant.charges, parts, strict=False) if part is not None]
        actual = {charge.limit.key: charge.amount * part // 2 for charge, part in known}
        self.steps(self.world.settle(who, grant, actual))
        self.model.settle(number, self.world.now, actual)

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number, who, grant = self.pick(data)
        self.steps(self.world.release(who, grant))
        self.model.settle(number, self.world.now, dict.fromkeys(KEYS, 0))
        # Twice is once.
        self.steps(self.world.release(who, grant))

    def pick(self, data: st.DataObject) -> tuple[int, int, Grant]:
        number = data.draw(st.sampled_from(sorted(self.grants)))
        return number, *self.grants.pop(number)

    @rule(steps=st.sampled_from([1, 2, 7, 8, 60, 119, 120]))
    def wait(self, steps: int) -> None:
        self.steps(self.world.advance(steps * STEP))

    @rule(who=st.integers(0, 2), used=st.sampled_from([0, 2_999, 10_000]))
    def seed(self, who: int, used: int) -> None:
        self.steps(self.world.seed(who % self.world.size, "budget", used))
        self.model.spent["budget"] = used

    @precondition(lambda self: self.world.size > 1)
    @rule(who=st.integers(0, 2))
    def kill(self, who: int) -> None:
        self.steps(self.world.kill(who))
        self.steps(self.world.advance(self.world.lease))
        self.model.kill(who)
        self.grants = {number: grant for number, grant in self.grants.items() if grant[0] != who}


class MemoryHistories(Histories):
    def make(self) -> World:
        return InMemory(Ledger(SPENT))


class ParentHistories(Histories):
    def make(self) -> World:
        world = WithParent(Ledger(SPENT))
        self.steps(world.open())
        return world


class RedisHistories(Histories):
    def make(self) -> World:
        assert self.port is not None
        world = OnRedis(Ledger(SPENT), self.port)
        self.steps(world.open())
        return world


def agrees_with_the_model(histories: type[Histories], runs: int) -> None:
    run_state_machine_as_test(
        histories,
        settings=settings(
            max_examples=int(RUNS or runs),
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=RUNS is None,
            phases=[Phase.generate, *([] if RUNS else [Phase.shrink])],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def steps() -> Iterator[Steps]:
    made = Histories.steps = Steps()
    yield made
    made.close()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = redis_or_skip()
    yield server
    server.close()


@pytest.mark.requirement("counters.contract")
@pytest.mark.usefixtures("steps")
def test_counters_in_memory_agree_with_the_model() -> None:
    agrees_with_the_model(MemoryHistories, 100)


@pytest.mark.requirement("counters.contract")
@pytest.mark.usefixtures("steps")
def test_counters_of_a_parent_agree_with_the_model() -> None:
    agrees_with_the_model(ParentHistories, 50)


@pytest.mark.requirement("counters.contract")
@pytest.mark.usefixtures("steps")
def test_counters_in_redis_agree_with_the_model(redis: RedisServer) -> None:
    RedisHistories.port = redis.port
    agrees_with_the_model(RedisHistories, 50)


@pytest.mark.requirement("counters.redis_booked_once")
def test_what_a_replaced_connection_still_says_is_not_done_and_what_is_told_twice_is_booked_once(
    steps: Steps, redis: RedisServer
) -> None:
    world = OnRedis(Ledger(SPENT), redis.port, size=1)
    steps(world.open())
    (replica,) = world.replicas
    link, news = replica._link, replica._news
    budget = (Charge(limit("budget", 10_000), 300),)
    grant = steps(world.reserve(0, budget))
    assert isinstance(grant, Grant)
    replica.settle(grant, {"budget": 100})

    def say(epoch: int) -> Any:
        batch = replica._batch([_Asked(budget, steps(future()))])
        batch.was_lost()
        return steps(link.call(batch.names, batch.message(replica._process, epoch)))

    async def future() -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    assert say(link.epoch)[3] == [[1, 10_000 - 2_000 - 100 - 300]]
    assert say(link.epoch)[3] == [[1, 10_000 - 2_000 - 100 - 300]]
    assert say(link.epoch + 1)[3] == [[1, 10_000 - 2_000 - 100 - 300]]
    assert say(link.epoch) == [0]
    assert news.number == 1
    steps(world.close())
