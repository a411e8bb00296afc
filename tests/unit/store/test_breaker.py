from __future__ import annotations

import pytest

from pointsman.store.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("the database", slow=0.5, failures=3, rest=1.0, now=clock)


def open_it(breaker: Breaker) -> None:
    for _ in range(3):
        assert breaker.admits()
        breaker.failed("refused")


def test_a_few_failures_in_a_row_open_it_and_an_answer_between_them_does_not_count(breaker: Breaker) -> None:
    breaker.failed("refused")
    breaker.failed("refused")
    breaker.answered(0.1)
    breaker.failed("refused")
    breaker.failed("refused")
    assert not breaker.is_open
    breaker.failed("refused")
    assert breaker.is_open


def test_slow_is_a_failure(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.answered(0.6)
    assert breaker.is_open


def test_while_it_is_open_one_call_is_let_through_now_and_then(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    assert not breaker.admits()
    clock.time += 1.0
    assert breaker.admits()
    assert not breaker.admits()
    breaker.failed("refused")
    clock.time += 1.0
    assert breaker.admits()


def test_an_answer_in_time_closes_it(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.time += 1.0
    assert breaker.admits()
    breaker.answered(0.6)
    assert not breaker.admits()
    breaker.answered(0.1)
    assert all(breaker.admits() for _ in range(5))


def test_each_change_of_state_is_told_once(breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        breaker.failed("refused")
    for _ in range(50):
        clock.time += 1.0
        breaker.answered(0.1)
    assert [record.getMessage() for record in caplog.records] == [
        "the database is down: refused",
        "the database is back",
    ]
