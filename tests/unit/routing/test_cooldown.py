from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from pointsman.routing.cooldown import AT_ONCE, HARMLESS, LONGEST_REST, RAMP_SECONDS, Health, Rules
from pointsman.routing.settings import FailureKind as Kind

NOW = 1000.0
COUNTED = sorted(set(Kind) - HARMLESS - AT_ONCE)


def health(**rules: object) -> Health:
    return Health(Rules(**rules))  # type: ignore[arg-type]


def fail(one: Health, kinds: Iterable[Kind], now: float = NOW) -> list[bool]:
    """Failures of calls that began just before; whether a rest began with each."""
    return [one.fail(kind, now, now) for kind in kinds]


def resting(now: float = NOW) -> Health:
    one = health()
    assert fail(one, [Kind.RATE_LIMIT], now) == [True]
    return one


def probe(one: Health, now: float, *, is_good: bool) -> None:
    assert one.admits(now)
    one.enter(now)
    if is_good:
        one.succeed(now, now + 0.1)
    else:
        one.fail(Kind.INTERNAL, now, now + 0.1)


def test_at_first_nothing_speaks_against_it() -> None:
    one = health()
    assert (one.is_calm, one.is_clean, one.is_sound, one.is_resting) == (True, True, True, False)
    assert one.admits(NOW)
    assert one.share(NOW) == 1.0


@pytest.mark.parametrize("kind", COUNTED)
def test_the_fifth_failure_in_a_row_begins_a_rest(kind: Kind) -> None:
    one = health()
    assert fail(one, [kind] * 5) == [False, False, False, False, True]
    assert one.is_resting
    assert (one.until, one.rests_total) == (NOW + 5.0, 1)


def test_it_is_sound_unless_its_last_call_has_failed() -> None:
    one = health()
    seen = []
    for is_good in (True, False, False, True):
        if is_good:
            one.succeed(NOW, NOW)
        else:
            fail(one, [Kind.TIMEOUT])
        seen.append((one.is_sound, one.is_calm, one.is_clean))
    assert seen == [(True, True, True), (False, False, False), (False, False, False), (True, True, False)]


def test_a_success_between_begins_the_count_anew() -> None:
    one = health()
    assert fail(one, [Kind.TIMEOUT] * 4) == [False] * 4
    one.succeed(NOW, NOW)
    assert fail(one, [Kind.TIMEOUT] * 4) == [False] * 4


@pytest.mark.parametrize("kind", sorted(AT_ONCE))
def test_what_would_be_refused_again_begins_a_rest_at_once(kind: Kind) -> None:
    assert fail(health(), [kind]) == [True]


@pytest.mark.parametrize("kind", sorted(HARMLESS))
def test_a_request_that_is_at_fault_says_that_the_deployment_is_well(kind: Kind) -> None:
    one = health()
    assert fail(one, [kind] * 50) == [False] * 50
    assert one.is_sound
    fail(one, [Kind.INTERNAL] * 4)
    fail(one, [kind])
    assert fail(one, [Kind.INTERNAL] * 4) == [False] * 4


def test_half_of_twenty_within_ten_seconds_begin_a_rest() -> None:
    one = health()
    for i in range(9):
        assert fail(one, [Kind.INTERNAL], NOW + i) == [False]
        one.succeed(NOW, NOW + i)
    one.succeed(NOW, NOW + 9)
    assert fail(one, [Kind.INTERNAL], NOW + 9) == [True]


def test_less_than_half_of_them_do_not() -> None:
    one = health()
    for i in range(200):
        if i % 5 in (0, 2):
            assert fail(one, [Kind.INTERNAL], NOW + i / 50) == [False]
        else:
            one.succeed(NOW, NOW + i / 50)


def test_failures_that_are_ten_seconds_old_are_no_part_of_the_half() -> None:
    one = health()
    for i in range(100):
        assert fail(one, [Kind.INTERNAL], NOW + 3 * i) == [False]
        one.succeed(NOW, NOW + 3 * i)


def test_a_number_of_allowed_failures_takes_the_place_of_both() -> None:
    one = health(allowed_fails=7)
    assert fail(one, [Kind.INTERNAL] * 8) == [False] * 7 + [True]
    patient = health(allowed_fails=7)
    for i in range(8):
        assert fail(patient, [Kind.INTERNAL], NOW + 60.5 * i) == [False]


def test_successes_between_do_not_make_up_for_more_than_are_allowed() -> None:
    one = health(allowed_fails=2)
    for _ in range(2):
        assert fail(one, [Kind.INTERNAL]) == [False]
        one.succeed(NOW, NOW)
    assert fail(one, [Kind.TIMEOUT]) == [True]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_can_have_a_number_of_its_own(kind: Kind) -> None:
    one = health(allowed_fails=0, allowed_fails_policy={kind: 2})
    assert fail(one, [kind] * 3) == [False, False, True]
    other = next(other for other in COUNTED if other is not kind)
    assert fail(health(allowed_fails=0, allowed_fails_policy={kind: 2}), [other]) == [True]


def test_without_cooldowns_nothing_rests_but_it_is_known_that_it_fails() -> None:
    one = health(is_on=False)
    assert fail(one, [Kind.AUTHENTICATION, Kind.INTERNAL] * 20) == [False] * 40
    assert (one.is_resting, one.is_sound, one.is_calm) == (False, False, False)
    one.succeed(NOW, NOW)
    assert (one.is_sound, one.is_calm, one.is_clean) == (True, True, True)


def test_while_it_rests_nobody_is_let_in_and_then_one_at_a_time() -> None:
    one = resting()
    assert [one.admits(at) for at in (NOW, NOW + 4.9, NOW + 5)] == [False, False, True]
    one.enter(NOW + 5)
    assert not one.admits(NOW + 5)
    one.leave(NOW + 5)
    assert one.admits(NOW + 5)


def test_two_probes_that_succeed_end_it() -> None:
    one = resting()
    seen = []
    for now in (NOW + 5, NOW + 6):
        seen.append((one.is_resting, one.is_sound))
        probe(one, now, is_good=True)
    assert [*seen, (one.is_resting, one.is_sound)] == [(True, False), (True, False), (False, True)]


def test_two_probes_must_succeed_one_after_the_other() -> None:
    one, seen = resting(), []
    for is_good in (True, False, True, True):
        probe(one, one.until + 1, is_good=is_good)
        seen.append(one.is_resting)
    assert seen == [True, True, True, False]


def recovered(one: Health) -> Health:
    probe(one, one.until, is_good=True)
    probe(one, one.until, is_good=True)
    assert not one.is_resting
    return one


def test_what_failed_before_a_rest_is_forgotten_with_it() -> None:
    one = health(rest=1.0)
    for _ in range(3):
        fail(one, [Kind.INTERNAL] * 4)
        one.succeed(NOW, NOW)
    assert fail(one, [Kind.INTERNAL] * 5)[-1]
    recovered(one)
    for _ in range(2):
        assert fail(one, [Kind.INTERNAL] * 4, NOW + 2) == [False] * 4
        one.succeed(NOW + 2, NOW + 2)


def test_so_are_the_failures_of_its_minute() -> None:
    one = health(allowed_fails=2)
    assert fail(one, [Kind.INTERNAL] * 3)[-1]
    recovered(one)
    assert fail(one, [Kind.INTERNAL] * 2, NOW + 6) == [False, False]


def test_a_probe_that_fails_doubles_the_rest_up_to_a_cap() -> None:
    one, now, rests = resting(), NOW, []
    for _ in range(8):
        now = one.until
        probe(one, now, is_good=False)
        rests.append(round(one.until - now - 0.1, 6))
    assert rests == [10, 20, 40, 80, 160, LONGEST_REST, LONGEST_REST, LONGEST_REST]
    assert one.rests_total == 9


def test_after_it_came_back_rests_are_short_again() -> None:
    one = resting()
    probe(one, one.until, is_good=False)
    for _ in range(2):
        probe(one, one.until, is_good=True)
    assert not one.is_resting
    fail(one, [Kind.RATE_LIMIT], 2000.0)
    assert one.until == 2005.0


@pytest.mark.parametrize(("chance", "rest"), [(0.0, 4.5), (0.5, 5.0), (1.0, 5.5)])
def test_chance_spreads_the_rests_of_several_gateways(chance: float, rest: float) -> None:
    one = health()
    one.fail(Kind.RATE_LIMIT, NOW, NOW, chance=chance)
    assert one.until == NOW + rest


@pytest.mark.parametrize(
    ("asked", "rest"), [(None, 5.0), (0.0, 5.0), (3.0, 5.0), (30.0, 30.0), (LONGEST_REST + 1, LONGEST_REST)]
)
def test_an_upstream_may_ask_for_a_longer_rest(asked: float | None, rest: float) -> None:
    one = health()
    one.fail(Kind.RATE_LIMIT, NOW, NOW, retry_after=asked)
    assert one.until == NOW + rest


def test_an_operator_may_set_a_rest_beyond_the_cap_which_then_does_not_double() -> None:
    one = health(rest=900.0)
    fail(one, [Kind.NOT_FOUND])
    assert one.until == NOW + 900
    probe(one, one.until, is_good=False)
    assert one.until == NOW + 1800.1


def test_calls_that_began_before_the_rest_say_nothing_about_it() -> None:
    one = resting()
    for _ in range(3):
        one.succeed(NOW - 1, NOW + 6)
    assert one.is_resting
    assert not one.fail(Kind.INTERNAL, NOW - 1, NOW + 6)
    assert one.until == NOW + 5


def test_a_late_verdict_does_not_end_the_turn_of_a_probe() -> None:
    one = resting()
    one.enter(NOW + 5)
    one.fail(Kind.INTERNAL, NOW - 1, NOW + 5.1)
    one.succeed(NOW - 1, NOW + 5.2)
    one.leave(NOW - 1)
    assert not one.admits(NOW + 5.3)


def test_calls_that_are_made_all_the_same_are_probes_as_well() -> None:
    one = resting()
    one.enter(NOW + 1)
    one.succeed(NOW + 1, NOW + 2)
    one.enter(NOW + 2)
    one.succeed(NOW + 2, NOW + 3)
    assert not one.is_resting
    assert one.until <= NOW + 3


def test_such_a_call_that_fails_during_the_rest_does_not_make_it_longer() -> None:
    one = resting()
    one.enter(NOW + 1)
    assert not one.fail(Kind.INTERNAL, NOW + 1, NOW + 2)
    assert (one.until, one.rests_total) == (NOW + 5, 1)


def test_of_many_that_fail_together_after_a_rest_only_the_first_makes_it_longer() -> None:
    one = resting()
    for _ in range(10):
        one.enter(NOW + 6)
    for _ in range(10):
        one.fail(Kind.INTERNAL, NOW + 6, NOW + 7)
    assert (one.until, one.rests_total) == (NOW + 17, 2)


def test_a_probe_that_a_new_rest_has_overtaken_does_not_keep_the_next_one_out() -> None:
    one = resting()
    one.enter(NOW + 4)
    one.enter(NOW + 5)
    one.fail(Kind.INTERNAL, NOW + 4, NOW + 5.1)
    one.succeed(NOW + 5, NOW + 5.2)
    assert one.is_resting
    assert one.admits(one.until)


def test_after_a_rest_its_share_grows_to_the_whole_within_ten_seconds() -> None:
    one = resting()
    for now in (NOW + 5, NOW + 6):
        probe(one, now, is_good=True)
    back = NOW + 6.1
    assert [round(one.share(back + t), 2) for t in (0, 5, 9)] == [0.1, 0.55, 0.91]
    one.succeed(back, back + 9)
    assert (one.is_calm, one.is_sound) == (False, True)
    assert one.share(back + RAMP_SECONDS) == 1.0
    assert (one.is_calm, one.is_sound) == (True, True)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_can_be_called_again_some_time(seed: int) -> None:
    chance, one, now = Random(seed), health(), NOW
    under_way: list[float] = []
    for _ in range(2000):
        now += chance.choice((0.0, 0.01, 1.0, 7.0))
        if one.admits(now) or chance.random() < 0.3:
            one.enter(now)
            under_way.append(now)
        while under_way and chance.random() < 0.5:
            began = under_way.pop(chance.randrange(len(under_way)))
            what = chance.randrange(4)
            if what == 0:
                one.succeed(began, now)
            elif what == 1:
                one.leave(began)
            else:
                one.fail(chance.choice(list(Kind)), began, now, chance=chance.random())
        assert one.is_calm <= one.is_sound
        assert one.is_clean <= one.is_calm
        assert one.until - now <= LONGEST_REST * 1.1
    for began in under_way:
        one.leave(began)
    assert one.admits(max(now, one.until))
