from __future__ import annotations

from unit.routing.builders import chances, member

from pointsman.routing.strategies.least_busy import least_busy


def test_whoever_has_the_fewest_requests_is_named() -> None:
    a, b, c = members = [member(ident) for ident in "abc"]
    a.in_flight, b.in_flight, c.in_flight = 3, 1, 2
    assert {least_busy(members, 0.0, chances(at)) for at in (0.0, 0.5, 0.99)} == {b}


def test_equals_share_the_traffic_by_weight() -> None:
    a, b, c = members = [member("a", weight=1), member("b", weight=3), member("c", weight=9)]
    c.in_flight = 1
    assert [least_busy(members, 0.0, chances(at)) for at in (0.0, 0.24, 0.26, 0.99)] == [a, a, b, b]
