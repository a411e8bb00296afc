from __future__ import annotations

from math import inf
from random import Random

import pytest

from pointsman.access.limits import PARTS, PURGE_AT_LEAST, Book, Limit, Money, Refusal, Slots, Window, name_of, refusal

RPM = Limit("rpm", "rate", 10, 60.0)
PLACES = Limit("places", "slots", 2)
BUDGET = Limit("budget", "money", 100, 3_600.0)


def test_a_rate_lets_its_ceiling_through_at_once_and_nothing_more_for_a_window() -> None:
    window = Window(60.0)
    assert window.take(100.0, 10, 10) == 0
    assert window.take(159.9, 10, 1) < 0
    assert window.take(160.0, 10, 9) == 1


def test_no_window_of_a_rate_has_more_than_its_ceiling() -> None:
    chance, window, now, taken = Random(0), Window(60.0), 0.0, list[tuple[float, int]]()
    for _ in range(3_000):
        now += chance.choice((0.0, 0.01, 0.3, 2.0))
        amount = chance.randint(1, 5)
        if window.take(now, 50, amount) >= 0:
            taken.append((now, amount))
            assert sum(n for at, n in taken if now < at + 60.0) <= 50
    assert len(window._parts) <= 3 * PARTS


def test_a_rate_is_kept_in_few_sums_though_nothing_of_what_is_reserved_is_used() -> None:
    window, now = Window(60.0), 0.0
    for _ in range(10_000):
        now += 0.001
        assert window.take(now, 1_000, 10) >= 0
        window.settle(now - 0.005, now, 10, 0)
    assert len(window._parts) <= 3 * PARTS


def test_whoever_asks_for_four_times_as_much_gets_what_there_is_in_each_window() -> None:
    window, taken = Window(60.0), list[float]()
    for step in range(40 * 180):
        now = step / 40
        if window.take(now, 600, 1) >= 0:
            taken.append(now)
    for begins in range(120):
        assert 597 <= sum(begins <= at < begins + 60 for at in taken) <= 600


def test_what_was_not_used_is_free_as_if_it_had_never_been_taken() -> None:
    window = Window(60.0)
    window.take(100.0, 10, 10)
    window.settle(100.0, 130.0, 10, 4)
    assert window.room(130.0, 10) == 6
    window.take(131.0, 10, 6)
    assert window.room(160.0, 10) == 4


def test_what_was_used_beyond_counts_from_when_it_was_told() -> None:
    window = Window(60.0)
    window.take(100.0, 10, 4)
    window.settle(100.0, 130.0, 4, 12)
    assert window.room(131.0, 10) == -2
    assert window.room(160.0, 10) == 2
    assert window.room(190.0, 10) == 10


def test_nothing_is_given_back_of_what_has_left_already() -> None:
    window = Window(60.0)
    window.take(100.0, 10, 5)
    window.take(170.0, 10, 5)
    window.settle(100.0, 171.0, 5, 0)
    assert window.room(171.0, 10) == 5
    window.settle(170.0, 400.0, 5, 0)
    assert window.room(400.0, 10) == 10


def test_what_is_given_back_may_lie_in_several_parts() -> None:
    window = Window(60.0)
    window.take(100.0, 10, 3)
    window.take(110.0, 10, 3)
    window.settle(115.0, 120.0, 5, 0)
    assert window.room(120.0, 10) == 9
    assert window.room(160.0, 10) == 10


@pytest.mark.parametrize(
    ("amount", "seconds"), [(1, 0.0), (2, 0.0), (3, 20.0), (6, 20.0), (7, 30.0), (10, 30.0), (11, None)]
)
def test_a_rate_says_when_there_is_room(amount: int, seconds: float | None) -> None:
    window = Window(60.0)
    window.take(100.0, 10, 4)
    window.take(110.0, 10, 4)
    window.settle(100.0, 140.0, 4, 4)
    assert window.wait(140.0, 10, amount) == seconds


def test_slots_are_free_when_they_are_settled() -> None:
    slots = Slots()
    assert slots.take(0.0, 2, 2) == 0
    assert slots.take(9_999.0, 2, 1) < 0
    slots.settle(0.0, 1.0, 2, 77)
    assert slots.room(1.0, 2) == 2
    assert slots.is_idle(1.0)
    assert slots.wait(1.0, 2, 1) is None


def test_money_is_reserved_and_then_spent() -> None:
    money = Money(50, inf)
    assert money.take(0.0, 100, 49) == 1
    assert money.take(0.0, 100, 2) < 0
    money.settle(0.0, 1.0, 49, 20)
    assert (money.room(1.0, 100), money.used, money.held) == (30, 70, 0)
    assert money.wait(1.0, 100, 31) is None


def test_money_is_idle_when_nothing_has_changed_for_its_time() -> None:
    money = Money(0, 100.0)
    assert not money.is_idle(0.0)
    assert not money.is_idle(99.0)
    money.take(99.0, 10, 5)
    money.settle(99.0, 99.0, 5, 5)
    assert not money.is_idle(150.0)
    assert not money.is_idle(249.0)
    assert money.is_idle(250.0)


def test_a_book_opens_what_it_is_asked_for_except_money_that_it_was_not_told() -> None:
    book = Book()
    assert isinstance(book.open(RPM, 0.0), Window)
    assert isinstance(book.open(PLACES, 0.0), Slots)
    assert book.open(BUDGET, 0.0) is None
    book.seed("budget", 30, 0.0)
    found = book.open(BUDGET, 0.0)
    assert isinstance(found, Money)
    found.take(0.0, 100, 10)
    book.seed("budget", 60, 0.0)
    assert found.room(0.0, 100) == 30


def test_a_book_forgets_what_is_idle_and_nothing_else() -> None:
    book = Book()
    book.seed("money", 1, 0.0)
    slots = book.open(PLACES, 0.0)
    assert slots is not None
    slots.take(0.0, 2, 1)
    for number in range(3 * PURGE_AT_LEAST):
        window = book.open(Limit(str(number), "rate", 10, 1.0), float(number))
        assert window is not None
        window.take(float(number), 10, 1)
    assert len(book.counters) <= PURGE_AT_LEAST + 1
    assert book.counters["places"] is slots
    assert "money" in book.counters


def test_a_refusal_says_what_is_left_and_for_how_long() -> None:
    window = Window(60.0)
    window.take(0.0, 10, 8)
    assert refusal(RPM, window, 15.0, 3) == Refusal(RPM, 45.0, 2)
    window.settle(0.0, 15.0, 8, 20)
    assert refusal(RPM, window, 15.0, 1) == Refusal(RPM, 60.0, 0)


def test_no_two_counters_have_one_name_whatever_ids_are_like() -> None:
    ids = ["al", "al:dear", "al%3Adear", "dear", "", ":"]
    parts = [("rpm", "user", one, *more) for one in ids for more in ((), *((other,) for other in ids))]
    assert len({name_of(*some) for some in parts}) == len(parts)
