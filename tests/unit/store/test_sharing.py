from __future__ import annotations

import pytest

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store.memory import settle
from pointsman.store.sharing import Known, Share

RPM = Limit("rpm", "rate", 10, 60.0)
FEW = Limit("few", "slots", 2)
BUDGET = Limit("budget", "money", 100)


async def spent(_limit: Limit) -> int:
    return 70


def share(known: Known, count: int = 3) -> Share:
    return Share(count, known, spent, lambda: 1_000.0)


def admitted(share: Share, limit: Limit, amount: int = 1) -> int:
    count = 0
    while isinstance(share.reserve_now((Charge(limit, amount),)), Grant):
        count += 1
    return count


def test_a_share_is_one_part_of_as_many_as_there_are_and_at_least_one() -> None:
    assert admitted(share(Known()), RPM) == 3
    assert admitted(share(Known()), FEW) == 1
    assert admitted(share(Known(), 0), RPM) == 10


def test_of_money_it_is_a_part_of_what_was_left() -> None:
    known = Known()
    known.note("budget", 60, 0.0)
    assert admitted(share(known), BUDGET) == 20
    known.note("budget", 5, 0.0)
    assert admitted(share(known), BUDGET) == 1
    known.note("budget", 4, 0.0)
    assert admitted(share(known, 1), BUDGET) == 0
    known.note("budget", -5, 0.0)
    assert admitted(share(known), BUDGET) == 0


@pytest.mark.parametrize(("left", "at", "expected"), [(6, 990.0, 2), (0, 990.0, 0), (-4, 990.0, 0), (0, 940.0, 3)])
def test_of_a_rate_it_is_a_part_of_what_was_left_until_all_that_was_used_is_a_window_old(
    left: int, at: float, expected: int
) -> None:
    known = Known()
    known.note("rpm", left, at)
    made = share(known)
    assert admitted(made, RPM) == expected
    assert made.let_through() == [("rpm", 60.0, expected)] * bool(expected)
    if not expected:
        assert made.reserve_now((Charge(RPM, 1),)) == Refusal(RPM, 50.0, 0)


async def test_where_nobody_knows_what_is_left_the_ledger_does() -> None:
    made = share(Known())
    charges = (Charge(BUDGET, 8), Charge(RPM, 1))
    assert made.reserve_now(charges) is None
    assert isinstance(await made.reserve(charges), Grant)
    assert made.reserve_now(charges) == Refusal(BUDGET, None, 2)
    assert await made.reserve(charges) == Refusal(BUDGET, None, 2)


def test_a_grant_says_that_it_is_local_and_can_be_settled() -> None:
    made = share(Known())
    grant = made.reserve_now((Charge(FEW, 1),))
    assert isinstance(grant, Grant)
    assert grant.is_local
    settle(grant, {}, 1_000.0)
    assert admitted(made, FEW) == 1


@pytest.mark.parametrize("most", [1, 3])
def test_only_so_much_is_known(most: int) -> None:
    known = Known(most)
    for number in range(5):
        known.note(str(number), number, 0.0)
        known.note(str(number), number + 1, 0.0)
    assert [known.left(str(number)) for number in range(5)] == [None] * (5 - most) + [*range(6 - most, 6)]
