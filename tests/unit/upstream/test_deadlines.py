from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from pointsman.upstream.deadlines import Sweeper


class Handle:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """The two methods of a loop that the sweeper needs, and a hand to turn the clock."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.due: list[tuple[float, Callable[[], None], Handle]] = []

    def time(self) -> float:
        return self.seconds

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        self.due.append((self.seconds + delay, callback, handle))
        return handle

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        due, self.due = self.due, []
        for _, callback, handle in due:
            if not handle.is_cancelled:
                callback()


class Member:
    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.seen: list[float] = []
        self.then = then

    def sweep(self, now: float) -> None:
        self.seen.append(now)
        self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweeper(clock: Clock) -> Sweeper:
    return Sweeper(cast("asyncio.AbstractEventLoop", clock), tick=0.1)


def test_members_are_swept_once_per_tick_with_the_time_of_the_tick(clock: Clock, sweeper: Sweeper) -> None:
    member = Member()
    sweeper.add(member)
    sweeper.start()
    clock.advance(0.1)
    clock.advance(0.1)
    assert member.seen == [pytest.approx(100.1), pytest.approx(100.2)]
    assert sweeper.now == clock.time()


def test_a_member_that_left_is_not_swept(clock: Clock, sweeper: Sweeper) -> None:
    member = Member()
    sweeper.add(member)
    sweeper.discard(member)
    sweeper.discard(member)
    sweeper.start()
    clock.advance(0.1)
    assert member.seen == []


def test_members_may_come_and_go_while_they_are_swept(clock: Clock, sweeper: Sweeper) -> None:
    late = Member()

    def take_over() -> None:
        sweeper.discard(leaving)
        sweeper.add(late)

    leaving = Member(take_over)
    sweeper.add(leaving)
    sweeper.start()
    clock.advance(0.1)
    clock.advance(0.1)
    assert len(leaving.seen) == 1
    assert len(late.seen) == 1


def test_nobody_is_judged_on_the_first_tick_after_a_stall_but_on_the_second(clock: Clock, sweeper: Sweeper) -> None:
    member = Member()
    sweeper.add(member)
    sweeper.start()
    clock.advance(3.0)
    assert member.seen == []
    assert sweeper.now == clock.time()
    clock.advance(3.0)
    assert len(member.seen) == 1


def test_starting_twice_ticks_once_and_stopping_ends_it(clock: Clock, sweeper: Sweeper) -> None:
    sweeper.start()
    sweeper.start()
    assert len(clock.due) == 1
    sweeper.stop()
    sweeper.stop()
    before = sweeper.now
    clock.advance(0.1)
    assert clock.due == []
    assert sweeper.now == before


def test_the_clock_is_read_anew_when_it_starts_again(clock: Clock, sweeper: Sweeper) -> None:
    sweeper.stop()
    clock.seconds = 500.0
    sweeper.start()
    assert sweeper.now == 500.0


@pytest.mark.parametrize(
    ("ticks", "lag"),
    [
        ([0.1, 0.1], 0.0),
        ([0.1, 0.7], 0.0),
        ([0.7, 0.1], 0.0),
        ([0.3, 0.7], 0.2),
        ([0.7, 0.3], 0.2),
        ([0.7, 0.7, 0.1], 0.0),
        ([0.05, 0.05], 0.0),
    ],
)
def test_the_loop_lags_by_the_smaller_lateness_of_two_ticks(
    clock: Clock, sweeper: Sweeper, ticks: list[float], lag: float
) -> None:
    sweeper.start()
    assert sweeper.lag == 0.0
    for seconds in ticks:
        clock.advance(seconds)
    assert sweeper.lag == pytest.approx(lag, abs=1e-9)
