from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access.budgets import Budget, Purse, dollars, nanos, seconds_of, window_of


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("duration", "now", "begins", "ends"),
    [
        ("30s", "2026-11-22T23:30:29", "2026-11-22T23:30:00", "2026-11-22T23:30:30"),
        ("1m", "2026-11-22T23:30:29", "2026-11-22T23:30:00", "2026-11-22T23:31:00"),
        ("12h", "2026-11-22T11:59:59", "2026-11-22T00:00:00", "2026-11-22T12:00:00"),
        ("1d", "2026-11-22T23:59:59", "2026-11-22T00:00:00", "2026-11-23T00:00:00"),
        ("7d", "2026-11-22T23:59:59", "2026-11-16T00:00:00", "2026-11-23T00:00:00"),
        ("1w", "2026-11-23T00:00:00", "2026-11-23T00:00:00", "2026-11-30T00:00:00"),
        ("30d", "2026-11-30T23:59:59", "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
        ("1mo", "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("3mo", "2026-11-22T00:00:00", "2026-10-01T00:00:00", "2027-01-01T00:00:00"),
        ("12mo", "2026-11-22T00:00:00", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_a_window_begins_where_people_expect_it(duration: str, now: str, begins: str, ends: str) -> None:
    window = window_of(duration, at(now))
    assert (window.begins, window.ends) == (at(begins), at(ends))


@given(
    duration=st.sampled_from(["1s", "7m", "5h", "1d", "3d", "7d", "30d", "2w", "1mo", "5mo", "999999mo"]),
    now=st.floats(0, 4e9),
)
def test_each_moment_lies_in_one_window_and_the_next_one_follows_at_once(duration: str, now: float) -> None:
    window = window_of(duration, now)
    assert window.begins <= now < window.ends
    if window.ends < 9e9:
        assert window_of(duration, window.ends).begins == window.ends


@pytest.mark.parametrize("duration", ["", "1", "d", "0d", "-1d", "1y", "1 d", "1d ", "1.5d", "9999999d"])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        window_of(duration, 0.0)
    with pytest.raises(ValueError, match="duration"):
        seconds_of(duration)


def test_without_a_duration_money_is_for_ever() -> None:
    assert window_of(None, 1e9).ends == float("inf")


def test_durations_are_told_in_seconds() -> None:
    assert [seconds_of(one) for one in ("30s", "2m", "1h", "1d", "1w", "1mo")] == [
        30,
        120,
        3600,
        86400,
        604800,
        2592000,
    ]


def test_the_counter_of_a_budget_has_another_name_in_each_window_and_after_a_reset() -> None:
    budget = Budget(kind="key", id="k", hard=Decimal(1), duration="1d")
    first, second = (budget.name(budget.window(now)) for now in (1.0, 86_400.0))
    reset = Budget(kind="key", id="k", hard=Decimal(1), duration="1d", since=100.0)
    assert len({first, second, reset.name(reset.window(101.0))}) == 3
    assert reset.name(reset.window(86_401.0)) == second


def test_a_budget_is_counted_by_one_counter_until_its_window_ends() -> None:
    budget = Budget(kind="key", id="k", hard=Decimal("0.5"), duration="1d")
    first = budget.limit(1.0)
    assert first is not None
    assert (first.kind, first.ceiling, first.window) == ("money", 500_000_000, 86_400.0)
    assert budget.limit(86_399.9) is first
    following = budget.limit(86_400.0)
    assert following is not None
    assert following.key != first.key
    ever = Budget(kind="key", id="k", hard=Decimal(1)).limit(5e9)
    assert ever is not None
    assert ever.window == 86_400.0


def test_no_two_budgets_have_the_same_counter() -> None:
    budgets = [
        Budget(kind="key", id="a"),
        Budget(kind="key", id="b"),
        Budget(kind="team", id="a"),
        Budget(kind="key", id="a", model="m"),
        Budget(kind="key", id="a", model="n"),
        Budget(kind="key", id="a", duration="1d"),
    ]
    assert len({one.name(one.window(1.0)) for one in budgets}) == len(budgets)


def test_a_budget_tells_what_is_booked_for_it() -> None:
    assert Budget(kind="team", id="t").booked == {"team_id": "t"}
    # Calls to one model may stand under several names.
    assert Budget(kind="key", id="k", model="m").booked == {"key_id": "k"}


def test_a_soft_budget_is_told_of_when_it_is_reached() -> None:
    budget = Budget(kind="key", id="k", soft=Decimal("0.5"))
    assert budget.limit(0.0) is None
    assert not budget.is_soft_passed(nanos(Decimal("0.5")) - 1)
    assert budget.is_soft_passed(nanos(Decimal("0.5")))


@given(st.decimals(0, 10**9, places=9))
def test_nano_dollars_lose_nothing(amount: Decimal) -> None:
    assert dollars(nanos(amount)) == amount


def test_less_than_a_nano_dollar_counts_as_one() -> None:
    assert nanos(Decimal("1e-12")) == 1


@given(
    ceiling=st.integers(0, 100),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=20),
)
def test_what_is_reserved_and_spent_within_its_reservation_never_passes_the_ceiling(
    ceiling: int, steps: list[tuple[int, int, bool]]
) -> None:
    purse, spent = Purse(), 0
    for amount, actual, is_used in steps:
        held = purse.reserve(amount, ceiling)
        if held is None:
            assert purse.spent + amount > ceiling or purse.spent >= ceiling
            continue
        assert held.spent + held.reserved <= ceiling
        used = min(amount, actual)
        purse = held.settle(amount, used) if is_used else held.release(amount)
        spent += used if is_used else 0
        assert purse == Purse(spent, 0)


def test_what_was_dearer_than_reserved_is_spent_all_the_same() -> None:
    held = Purse(spent=5).reserve(3, 10)
    assert held is not None
    assert held.settle(3, 9) == Purse(14, 0)
    assert Purse(14).reserve(0, 10) is None


def test_two_requests_do_not_get_the_same_money() -> None:
    first = Purse().reserve(6, 10)
    assert first is not None
    assert first.reserve(6, 10) is None
