from __future__ import annotations

from pointsman.access.limits import Charge, Grant, Limit
from pointsman.store.counting import nothing_spent, nothing_used

RPM = Limit("rpm", "rate", 10, 60.0)
BUDGET = Limit("budget", "money", 100)


async def test_who_keeps_no_ledger_has_spent_nothing() -> None:
    assert await nothing_spent(BUDGET) == 0


def test_a_release_says_of_each_limit_that_nothing_was_used() -> None:
    assert nothing_used(Grant((Charge(RPM, 3), Charge(BUDGET, 9)), 0.0)) == {"rpm": 0, "budget": 0}
