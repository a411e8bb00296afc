from __future__ import annotations

from collections.abc import Iterable
from math import inf
from random import Random

import pytest

from pointsman.access.limits import PURGE_AT_LEAST, Charge, Limit, Refusal
from pointsman.access.slices import (
    KEPT_SECONDS,
    LENT_PARTS,
    MAX_SLOTS,
    Lent,
    Loans,
    Refused,
    Returned,
    Slice,
    Unknown,
    Want,
)

RPM = Limit("rpm", "rate", 320, 60.0)
PLACES = Limit("places", "slots", 6_400)
BUDGET = Limit("budget", "money", 6_400, 86_400.0)
VALID = 60.0 / LENT_PARTS


@pytest.fixture
def loans() -> Loans:
    made = Loans()
    made.borrowers = {1, 2}
    made.seed("budget", 0, 0.0, inf, is_first=True)
    return made


def lend(loans: Loans, limit: Limit, need: int, *, borrower: int = 1, is_eager: bool = True, now: float = 0.0) -> int:
    got = loans.lend(borrower, [Want(limit, need, is_eager)], now)
    assert isinstance(got, list), got
    return got[0].amount


def left(loans: Loans, limit: Limit, now: float = 0.0) -> int:
    got = loans.lend(9, [Want(limit, 10**9, False)], now)
    assert isinstance(got, Refused)
    return got.remaining


@pytest.mark.parametrize(("limit", "amount"), [(RPM, 1 + 10), (PLACES, 1 + MAX_SLOTS), (BUDGET, 1 + 99)])
def test_an_eager_borrower_gets_some_more(loans: Loans, limit: Limit, amount: int) -> None:
    assert lend(loans, limit, 1) == amount
    assert lend(loans, limit, 1, is_eager=False) == 1


@pytest.mark.parametrize(("limit", "slices"), [(RPM, [3, 2, 1, 1]), (PLACES, [3, 2, 1, 1]), (BUDGET, [1, 1, 1, 1])])
def test_slices_shrink_with_what_is_left_to_what_is_needed(loans: Loans, limit: Limit, slices: list[int]) -> None:
    lend(loans, limit, limit.ceiling - 9, is_eager=False)
    assert [lend(loans, limit, 1) for _ in range(4)] == slices
    lend(loans, limit, left(loans, limit), is_eager=False)
    assert left(loans, limit) == 0


def test_what_is_lent_of_a_rate_comes_back_in_small_parts(loans: Loans) -> None:
    limit, taken = Limit("rpm", "rate", 600, 60.0), list[float]()
    for step in range(20 * 150):
        now = step / 20
        if isinstance(loans.lend(1 + step % 2, [Want(limit, 1, False)], now), list):
            taken.append(now)
    for begins in range(90):
        assert 597 <= sum(begins <= at < begins + 60 for at in taken) <= 600


def test_what_is_lent_of_a_rate_and_mostly_returned_comes_back_in_small_parts_too(loans: Loans) -> None:
    limit, taken, chance = Limit("rpm", "rate", 600, 60.0), list[float](), Random(1)
    slices = [Slice(limit) for _ in range(4)]
    loans.borrowers = set(range(4))

    def return_unused(borrowers: Iterable[int], now: float, *, is_called: bool) -> None:
        for number in borrowers:
            if (back := slices[number].give_back(now, is_called=is_called)) is not None:
                loans.take_back(number, back, now)

    for step in range(20 * 150):
        who, now = step % 4, step / 20 + chance.uniform(0, 0.04)
        return_unused(range(4), step / 20, is_called=False)
        if not slices[who].take(now, 1):
            got = loans.lend(who, [Want(limit, 1, True)], now)
            if isinstance(got, Refused):
                return_unused(loans.debtors("rpm", who, now), now, is_called=True)
                got = loans.lend(who, [Want(limit, 1, True)], now)
            if not isinstance(got, list):
                continue
            slices[who].add(got[0], now)
            assert slices[who].take(now, 1)
        taken.append(now)
    for begins in range(90):
        assert 596 <= sum(begins <= at < begins + 60 for at in taken) <= 600


def test_all_is_lent_or_nothing(loans: Loans) -> None:
    wants = [Want(BUDGET, 10, True), Want(RPM, 321, True)]
    assert loans.lend(1, wants, 0.0) == Refused(1, 320, None)
    assert left(loans, BUDGET) == BUDGET.ceiling


def test_money_that_nobody_has_told_of_has_to_be_told_first(loans: Loans) -> None:
    assert Loans().lend(1, [Want(RPM, 1, True), Want(BUDGET, 1, True)], 0.0) == Unknown(1)
    loans.seed("budget", 5_000, 0.0, inf, is_first=True)
    assert left(loans, BUDGET) == BUDGET.ceiling
    loans.seed("budget", 5_000, 0.0, inf, is_first=False)
    assert left(loans, BUDGET) == 1_400


def test_what_comes_back_can_be_lent_again_and_what_was_spent_cannot(loans: Loans) -> None:
    lend(loans, BUDGET, 100, is_eager=False)
    loans.take_back(1, Returned("budget", 0.0, 30, 20), 1.0)
    assert left(loans, BUDGET) == BUDGET.ceiling - 70
    assert loans.counted("budget") == (20, 50)
    assert loans.counted("nobody's") is None
    loans.take_back(1, Returned("budget", 0.0, 0, 80), 1.0)
    assert left(loans, BUDGET) == BUDGET.ceiling - 100
    loans.take_back(1, Returned("nobody's", 0.0, 1, 1), 1.0)


def test_what_was_spent_without_a_loan_comes_on_top(loans: Loans) -> None:
    lend(loans, BUDGET, 100, is_eager=False)
    loans.take_back(1, Returned("budget", 0.0, -40, 40), 1.0)
    assert left(loans, BUDGET) == BUDGET.ceiling - 140


def test_a_rate_gets_back_what_was_taken_then_and_counts_what_is_beyond_from_now(loans: Loans) -> None:
    lend(loans, RPM, 100, is_eager=False)
    loans.take_back(1, Returned("rpm", 0.0, 30, 0), 10.0)
    assert left(loans, RPM, 10.0) == 250
    loans.take_back(1, Returned("rpm", 0.0, -50, 0), 10.0)
    assert left(loans, RPM, 60.0) == 270


def test_a_borrower_that_is_gone_owes_slots_and_money_no_more_but_rates_were_used(loans: Loans) -> None:
    for limit in (RPM, PLACES, BUDGET):
        lend(loans, limit, 50, is_eager=False)
        lend(loans, limit, 7, borrower=2, is_eager=False)
    loans.drop(1, 1.0)
    assert loans.borrowers == {2}
    assert [limit.ceiling - left(loans, limit) for limit in (RPM, PLACES, BUDGET)] == [57, 7, 7]


def test_those_are_called_who_may_have_something_of_it(loans: Loans) -> None:
    for limit in (RPM, PLACES):
        for borrower in (1, 2):
            lend(loans, limit, 1, borrower=borrower, is_eager=False)
        assert loans.debtors(limit.key, 1, 0.0) == [2]
    assert loans.debtors("rpm", 1, VALID) == []
    assert loans.debtors("places", 1, 1e9) == [2]
    loans.take_back(2, Returned("places", 0.0, 1, 0), 0.0)
    assert loans.debtors("places", 1, 0.0) == []
    assert loans.debtors("nobody's", 1, 0.0) == []


def test_those_are_overdrawn_who_have_what_others_have_used(loans: Loans) -> None:
    lend(loans, BUDGET, 100, is_eager=False)
    lend(loans, BUDGET, 100, borrower=2, is_eager=False)
    assert loans.overdrawn("budget", 0.0) == []
    loans.take_back(2, Returned("budget", 0.0, 0, BUDGET.ceiling), 0.0)
    assert loans.overdrawn("budget", 0.0) == [1]
    assert loans.overdrawn("nobody's", 0.0) == []


def test_loans_of_rates_are_forgotten_when_they_are_not_valid_any_more(loans: Loans) -> None:
    lend(loans, PLACES, 1)
    for number in range(3 * PURGE_AT_LEAST):
        lend(loans, Limit(str(number), "rate", 10, 60.0), 1, now=number * 60.0)
    assert len(loans._lent) <= PURGE_AT_LEAST + 1
    assert loans.debtors("places", 2, 0.0) == [1]


def test_a_slice_gives_what_it_has_and_of_a_rate_only_while_it_is_valid() -> None:
    rate, places = Slice(RPM), Slice(PLACES)
    for part in (rate, places):
        assert not part.take(0.0, 1)
        part.add(Lent(5, 100), 0.0)
        assert part.take(0.0, 3)
        assert not part.take(0.0, 3)
        assert part.remaining == 100
    assert not rate.take(VALID, 1)
    assert rate.take_some(VALID, 1) == 0
    assert places.take_some(VALID, 9) == 2


def test_slots_and_money_stay_here_when_they_are_settled_and_rates_go_back() -> None:
    rate, places, money = Slice(RPM), Slice(PLACES), Slice(BUDGET)
    for part in (rate, places, money):
        part.add(Lent(100, 0), 0.0)
        part.take(0.0, 60)
    assert (rate.settle(60, 50), rate.free) == (10, 40)
    assert (places.settle(60, 0), places.free) == (0, 100)
    assert (money.settle(60, 50), money.free, money.spent) == (0, 50, 50)
    money.take(0.0, 50)
    money.settle(50, 90)
    assert (money.free, money.spent) == (0, 140)
    # Of 100 that were lent nothing is left, and 40 come on top.
    assert money.give_back(0.0) == Returned("budget", 0.0, -40, 140)


def test_a_slice_tells_what_was_spent_and_returns_what_is_called_for_or_has_lain_too_long() -> None:
    money = Slice(BUDGET)
    assert money.give_back(0.0) is None
    money.add(Lent(100, 0), 7.0)
    money.take(7.0, 60)
    money.settle(60, 50)
    assert money.give_back(8.0) == Returned("budget", 7.0, 0, 50)
    assert money.give_back(8.0) is None
    assert not money.is_idle(8.0)
    assert money.give_back(7.0 + KEPT_SECONDS) == Returned("budget", 7.0, 50, 0)
    assert money.is_idle(7.0 + KEPT_SECONDS)
    money.add(Lent(100, 0), 20.0)
    assert money.give_back(20.0, is_called=True) == Returned("budget", 20.0, 100, 0)


def test_a_slice_is_not_idle_while_something_of_it_is_in_use() -> None:
    rate, places = Slice(RPM), Slice(PLACES)
    for part in (rate, places):
        part.add(Lent(1, 0), 0.0)
        part.take(0.0, 1)
    assert rate.is_idle(0.0)
    assert not places.is_idle(0.0)
    places.put_back(1)
    assert places.free == 1


def test_a_refusal_holds_for_a_moment_for_those_who_want_as_much() -> None:
    part, why = Slice(RPM), Refusal(RPM, 1.0, 4)
    assert part.refuses(0.0, Charge(RPM, 9)) is None
    part.refuse(why, 5, 1.0)
    assert part.refuses(0.9, Charge(RPM, 5)) is why
    assert part.refuses(0.9, Charge(RPM, 4)) is None
    assert part.refuses(1.0, Charge(RPM, 5)) is None
    assert part.refuses(0.9, Charge(Limit("rpm", "rate", 400, 60.0), 5)) is None
    part.add(Lent(1, 0), 0.9)
    assert part.refuses(0.9, Charge(RPM, 5)) is None
