from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from unit.routing.builders import chances, deployment, member

from pointsman.routing.members import Member
from pointsman.routing.strategies.shuffle import shares, shuffle


def drawn(members: list[Member], times: int = 1000) -> dict[str, int]:
    return dict(Counter(shuffle(members, 0.0, chances(i / times)).deployment.id for i in range(times)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"weight": 3}, {"weight": 1}),
        ({"rpm": 300}, {"rpm": 100}),
        ({"tpm": 3000}, {"tpm": 1000}),
        ({"weight": 3, "rpm": 1}, {"weight": 1, "rpm": 100, "tpm": 9}),
        ({"rpm": 3, "tpm": 1}, {"rpm": 1, "tpm": 100}),
    ],
)
def test_traffic_is_shared_by_weight_else_rpm_else_tpm(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert drawn([member("a", **first), member("b", **second)]) == {"a": 750, "b": 250}


def test_without_numbers_all_share_alike() -> None:
    assert drawn([member(ident) for ident in "abcd"]) == dict.fromkeys("abcd", 250)


@pytest.mark.parametrize("idle", [{"weight": 0}, {}])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_without_weight_beside_others_that_have_one_is_never_drawn(idle: dict[str, Any], place: int) -> None:
    members = [member("a", weight=1), member("b", weight=1)]
    members.insert(place, member("idle", **idle))
    assert drawn(members) == {"a": 500, "b": 500}


def test_where_all_weights_are_nought_they_say_nothing() -> None:
    assert drawn([member("a", weight=0), member("b", weight=0)]) == {"a": 500, "b": 500}


def test_shares_are_weights_as_they_are() -> None:
    assert shares([deployment(weight=0.5), deployment(weight=2)]) == [0.5, 2.0]
