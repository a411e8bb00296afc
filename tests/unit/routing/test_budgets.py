from __future__ import annotations

from pointsman.routing.budgets import ExtraAttempts


def spent(budget: ExtraAttempts, now: float) -> int:
    """How many more are allowed now; all of them are taken."""
    count = 0
    while budget.is_open(now):
        budget.spend(now)
        count += 1
    return count


def test_three_are_always_allowed() -> None:
    assert spent(ExtraAttempts(0.2), 100.0) == 3


def test_more_are_allowed_as_a_share_of_the_requests() -> None:
    budget = ExtraAttempts(0.2)
    for _ in range(100):
        budget.request(100.0)
    assert spent(budget, 100.0) == 20


def test_a_share_of_nothing_still_leaves_what_is_always_allowed() -> None:
    budget = ExtraAttempts(0.0, always=1)
    for _ in range(100):
        budget.request(100.0)
    assert spent(budget, 100.0) == 1


def test_after_ten_seconds_both_are_forgotten() -> None:
    budget = ExtraAttempts(0.2)
    for _ in range(100):
        budget.request(100.0)
    assert spent(budget, 100.0) == 20
    assert spent(budget, 109.0) == 0
    assert spent(budget, 111.0) == 3
