from __future__ import annotations

from collections import Counter
from random import Random

from unit.routing.builders import chances, member

from pointsman.routing.strategies.latency import latency

NOW = 1000.0


def test_the_quicker_of_two_is_named_whichever_was_drawn_first() -> None:
    quick, slow = members = [member("quick"), member("slow")]
    quick.latency.observe(0.1, NOW)
    slow.latency.observe(1.0, NOW)
    assert {latency(members, NOW, chances(at)) for at in (0.0, 0.99)} == {quick}


def test_requests_that_it_has_make_the_quicker_one_the_worse() -> None:
    quick, slow = members = [member("quick"), member("slow")]
    quick.latency.observe(0.1, NOW)
    slow.latency.observe(0.35, NOW)
    quick.in_flight = 2
    assert latency(members, NOW, chances(0.0)) is quick
    quick.in_flight = 3
    assert latency(members, NOW, chances(0.0)) is slow


def test_one_that_was_never_measured_gets_one_request_to_measure() -> None:
    known, new = members = [member("known"), member("new")]
    known.latency.observe(0.1, NOW)
    assert latency(members, NOW, chances(0.0)) is new
    new.in_flight = 1
    assert latency(members, NOW, chances(0.99)) is known


def test_of_many_only_two_that_were_drawn_are_compared() -> None:
    members = [member(ident) for ident in "abc"]
    for one, seconds in zip(members, (0.1, 0.2, 0.3), strict=True):
        one.latency.observe(seconds, NOW)
    chance = Random(7).random
    counts = Counter(latency(members, NOW, chance).deployment.id for _ in range(600))
    # Each pair is drawn a third of the time: the quickest wins two of them, the slowest none.
    assert counts["c"] == 0
    assert 340 <= counts["a"] <= 460


def test_one_that_was_slow_once_is_not_left_alone_for_ever() -> None:
    good, once = members = [member("good"), member("once")]
    once.latency.observe(60.0, NOW)
    named = []
    for second in range(1000):
        now = NOW + second
        good.latency.observe(0.5, now)
        named.append(latency(members, now, chances(0.0)))
    assert named[0] is good
    assert once in named


def test_the_only_one_is_named() -> None:
    only = member()
    assert latency([only], NOW, chances(0.5)) is only
