from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count, repeat
from random import Random

import pytest

from pointsman.routing.concurrency import FEWEST, UNUSED_SECONDS, AdaptiveLimit

Service = Callable[[Random, float], float]
SERVERS = 50
SECONDS = 0.1
CAPACITY = SERVERS / SECONDS
BEGIN = 3.0
"""When the calm before an overload ends."""


class Simulation:
    """Requests that come whether or not the ones before were answered, to an upstream that works on some at a time and
    lets the others wait. The limiter refuses what is above its limit.
    """

    def __init__(
        self,
        rate: Callable[[float], float],
        service: Service,
        servers: float = SERVERS,
        seed: int = 1,
        leave: float = 0.0,
    ) -> None:
        """``servers``: requests worked on at a time; ``leave``: the share that ends without an answer."""
        self.limit = AdaptiveLimit()
        self.answered: list[tuple[float, float]] = []
        """When each began and ended."""
        self.refused: list[float] = []
        self._rate, self.service, self.servers, self._leave = rate, service, servers, leave
        self._chance = Random(seed)
        self._order = count()
        self._events: list[tuple[float, int, float | None]] = []
        self._queue: deque[float] = deque()
        self._in_flight = self._busy = 0

    def run(self, seconds: float) -> Simulation:
        self._push(0.0, None)
        while self._events:
            now, _, began = heappop(self._events)
            if began is not None:
                self._end(began, now)
                continue
            following = now + self._chance.expovariate(self._rate(now))
            if following < seconds:
                self._push(following, None)
            self._arrive(now)
        return self

    def _push(self, at: float, began: float | None) -> None:
        heappush(self._events, (at, next(self._order), began))

    def _arrive(self, now: float) -> None:
        if self._in_flight >= self.limit.value:
            self.refused.append(now)
            return
        self._in_flight += 1
        self._queue.append(now)
        self._work(now)

    def _work(self, now: float) -> None:
        if self._queue and self._busy < self.servers:
            self._busy += 1
            self._push(now + self.service(self._chance, now), self._queue.popleft())

    def _end(self, began: float, now: float) -> None:
        self._busy -= 1
        if not self._leave or self._chance.random() >= self._leave:
            self.limit.observe(began, now, self._in_flight)
            self.answered.append((began, now))
        self._in_flight -= 1
        self._work(now)

    def goodput(self, start: float, end: float) -> float:
        """Answers a second within that time."""
        return sum(start <= ended < end for _, ended in self.answered) / (end - start)

    def p99(self, start: float) -> float:
        """Of the seconds that those took which were admitted from then on."""
        took = sorted(ended - began for began, ended in self.answered if began >= start)
        return took[int(len(took) * 0.99)]

    def refused_share(self) -> float:
        return len(self.refused) / (len(self.refused) + len(self.answered))


def constant(_chance: Random, _now: float) -> float:
    return SECONDS


def similar(chance: Random, _now: float) -> float:
    return chance.uniform(0.8, 1.2) * SECONDS


def uneven(chance: Random, _now: float) -> float:
    return chance.uniform(0.5, 1.5) * SECONDS


def exponential(chance: Random, _now: float) -> float:
    return chance.expovariate(1 / SECONDS)


def heavy(chance: Random, _now: float) -> float:
    return SECONDS * math.exp(chance.gauss(0, 1) - 0.5)


def ten_times(service: Service, since: float) -> Service:
    return lambda chance, now: service(chance, now) * (10 if now >= since else 1)


def load(times: float, before: float = 0.6) -> Callable[[float], float]:
    """Of the capacity; calm at first."""
    return lambda now: CAPACITY * (times if now >= BEGIN else before)


@pytest.mark.requirement("routing.adaptive-limit")
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("service", [constant, similar])
@pytest.mark.parametrize("times", [1.2, 3.0])
def test_overload_leaves_most_of_the_capacity_and_short_waits(times: float, service: Service, seed: int) -> None:
    run = Simulation(load(times), service, seed=seed).run(12)
    assert run.goodput(BEGIN + 2, 12) >= 0.85 * CAPACITY
    assert run.p99(BEGIN + 2) <= 3 * SECONDS


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("service", [exponential, heavy])
def test_so_it_does_when_answers_are_of_very_different_lengths(service: Service, seed: int) -> None:
    run = Simulation(load(3.0), service, seed=seed).run(12)
    calm = Simulation(load(0.6), service, seed=seed).run(12)
    assert run.goodput(BEGIN + 2, 12) >= 0.8 * CAPACITY
    assert run.p99(BEGIN + 2) <= 3 * calm.p99(BEGIN + 2)


@pytest.mark.requirement("routing.adaptive-limit")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("before", "longer"), [(0.9, 3), (0.6, 4)])
def test_an_overload_is_found_before_many_have_to_wait_for_long(before: float, longer: float, seed: int) -> None:
    run = Simulation(load(3.0, before), uneven, seed=seed).run(BEGIN + 20)
    calm = Simulation(load(before, before), uneven, seed=seed).run(BEGIN + 20)
    assert run.p99(BEGIN) <= longer * calm.p99(BEGIN)
    assert run.goodput(BEGIN, BEGIN + 20) >= 0.85 * CAPACITY


def test_it_is_found_as_quickly_after_a_pause() -> None:
    def rate(now: float) -> float:
        return CAPACITY * 3 if now >= BEGIN + 1 else CAPACITY * 0.9 if now < BEGIN else 1

    run = Simulation(rate, uneven).run(BEGIN + 20)
    assert run.p99(BEGIN + 1) <= 4.5 * SECONDS


@pytest.mark.parametrize("service", [constant, exponential])
def test_an_upstream_that_loses_most_of_its_places_is_not_buried(service: Service) -> None:
    run = Simulation(load(0.6), service)

    def breaking(chance: Random, now: float) -> float:
        run.servers = SERVERS if now < BEGIN else SERVERS / 5
        return service(chance, now)

    run.service = breaking
    run.run(40)
    assert run.p99(20) <= 10 * SECONDS
    assert run.goodput(20, 40) >= 0.8 * CAPACITY / 5


def test_an_overload_from_the_first_request_on_is_found_as_well() -> None:
    run = Simulation(lambda _: 3 * CAPACITY, constant).run(15)
    assert run.goodput(8, 15) >= 0.85 * CAPACITY
    assert run.p99(8) <= 3 * SECONDS


@pytest.mark.parametrize("service", [constant, similar, exponential, heavy])
@pytest.mark.parametrize("times", [0.1, 0.5, 0.9])
def test_an_upstream_that_keeps_up_has_hardly_a_limit(times: float, service: Service) -> None:
    run = Simulation(load(times, times), service).run(20)
    assert run.refused_share() <= 0.05


@pytest.mark.parametrize("times", [0.6, 2.0, 6.0])
@pytest.mark.parametrize("service", [constant, similar, uneven])
def test_a_load_that_rises_is_not_taken_for_a_queue(service: Service, times: float) -> None:
    run = Simulation(load(times, 0.2), service, math.inf).run(BEGIN + 5)
    assert run.refused == []


@pytest.mark.parametrize("service", [exponential, heavy])
def test_neither_are_bursts(service: Service) -> None:
    run = Simulation(lambda now: CAPACITY * (1.5 if now % 2 < 0.4 else 0.2), service, math.inf).run(30)
    assert run.refused_share() <= 0.02


@pytest.mark.parametrize("service", [constant, exponential, heavy])
def test_nor_are_those_who_leave_without_an_answer(service: Service) -> None:
    run = Simulation(load(0.6), service, math.inf, leave=0.65).run(30)
    assert len(run.refused) <= 0.05 * 0.6 * CAPACITY * 30


@pytest.mark.requirement("routing.adaptive-limit")
@pytest.mark.parametrize("rate", [20.0, 200.0, 1000.0])
@pytest.mark.parametrize("service", [constant, exponential, heavy])
def test_longer_answers_without_a_queue_do_not_keep_a_limit_for_long(service: Service, rate: float) -> None:
    run = Simulation(lambda _: rate, ten_times(service, BEGIN), math.inf).run(40)
    assert run.refused_share() <= 0.25
    assert run.limit.value == math.inf or run.limit.value > 10 * rate * SECONDS


def test_the_limit_is_lifted_when_it_was_not_needed_for_long() -> None:
    def rate(now: float) -> float:
        return CAPACITY * (3.0 if BEGIN <= now < 6 else 0.3)

    run = Simulation(rate, constant).run(12 + UNUSED_SECONDS)
    assert run.refused
    assert run.limit.value == math.inf


def test_an_upstream_that_became_slower_for_good_is_followed() -> None:
    run = Simulation(load(0.3, 0.3), ten_times(constant, BEGIN), servers=300).run(20)
    assert run.limit.value == math.inf
    assert run.limit.baseline == pytest.approx(10 * SECONDS, rel=0.1)


def observations(limit: AdaptiveLimit, start: float, end: float, *, in_flight: int, is_refusal: Iterator[bool]) -> None:
    """Of an upstream without a queue."""
    now = start
    while now < end:
        at_work = int(min(in_flight, limit.value))
        now += SECONDS / at_work
        limit.observe(now - SECONDS, now, at_work, is_refusal=next(is_refusal))


def test_nothing_is_limited_before_anything_was_seen() -> None:
    limit = AdaptiveLimit()
    assert (limit.value, limit.baseline) == (math.inf, math.inf)


def test_an_upstream_that_refuses_more_than_a_tenth_gets_less_and_less_but_never_nothing() -> None:
    limit = AdaptiveLimit()
    observations(limit, 100, 101, in_flight=100, is_refusal=repeat(True))
    assert FEWEST < limit.value <= 80
    observations(limit, 101, 160, in_flight=100, is_refusal=repeat(True))
    assert limit.value == FEWEST


def test_nor_can_it_refuse_a_fifth() -> None:
    limit = AdaptiveLimit()
    observations(limit, 100, 110, in_flight=100, is_refusal=(i % 5 == 0 for i in count()))
    assert limit.value < 100


def test_the_time_that_answers_take_is_followed_downwards_and_slowly_upwards() -> None:
    limit = AdaptiveLimit()

    def baseline_after(start: float, seconds: float, took: float) -> float:
        for i in range(int(seconds * 100)):
            limit.observe(start + i / 100 - took, start + i / 100, 10)
        return limit.baseline

    assert baseline_after(100, 10, 0.2) == pytest.approx(0.2)
    assert baseline_after(110, 100, 0.1) == pytest.approx(0.1, rel=0.01)
    assert 0.101 < baseline_after(210, 10, 0.15) < 0.12
    limit.value = 10.0
    before = limit.baseline
    assert baseline_after(220, 10, 0.15) == before


def test_a_refusal_now_and_then_changes_nothing() -> None:
    limit = AdaptiveLimit()
    observations(limit, 100, 110, in_flight=100, is_refusal=(i % 20 == 0 for i in count()))
    assert limit.value == math.inf


def test_a_limit_that_is_used_grows_while_answers_are_quick() -> None:
    limit = AdaptiveLimit()
    observations(limit, 100, 105, in_flight=10, is_refusal=repeat(False))
    limit.value = 10.0
    observations(limit, 105, 106, in_flight=9, is_refusal=repeat(False))
    assert limit.value > 11
    limit.value = 100.0
    observations(limit, 106, 110, in_flight=89, is_refusal=repeat(False))
    assert limit.value == 100


@pytest.mark.parametrize("seed", range(10))
def test_whatever_it_sees_the_limit_stays_a_usable_number(seed: int) -> None:
    chance, limit, now = Random(seed), AdaptiveLimit(), 100.0
    for _ in range(5000):
        now += chance.choice((0.0, 0.001, 0.01, 1.0))
        began = now - chance.choice((0.0, 0.01, 0.5, 60.0))
        limit.observe(began, now, chance.randrange(1, 200), is_refusal=chance.random() < 0.1)
        assert limit.value >= FEWEST
        assert limit.baseline >= 0
