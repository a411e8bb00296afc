from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from unit.routing.builders import deployment, member

from pointsman.providers.base import ModelFacts
from pointsman.routing.concurrency import AdaptiveLimit
from pointsman.routing.cooldown import Health, Rules
from pointsman.routing.members import OUTRUNS_IN_A_ROW, SEVERAL_UNANSWERED, Member, model_of
from pointsman.routing.settings import FailureKind as Kind

NOW = 1000.0


def fail(one: Member, kind: Kind, now: float = NOW) -> bool:
    one.enter(now)
    return one.fail(kind, now, now, 0.5, None)


@pytest.mark.parametrize(
    ("upstream", "info", "model"),
    [
        ("my-prod", {"base_model": "azure/gpt-4o"}, "gpt-4o"),
        ("gpt-4o", {}, "gpt-4o"),
        ("org/known", {}, "known"),
        ("org/own", {}, "org/own"),
    ],
)
def test_which_model_a_deployment_is(upstream: str, info: dict[str, str], model: str) -> None:
    known = {"openai": {"org/known": ModelFacts(vendor="openai", model="org/known")}}
    assert model_of(deployment(upstream_model=upstream, info=info), known) == model


def test_a_deployment_without_limits_is_calm_until_it_fails() -> None:
    one = member()
    seen = [one.is_calm]
    fail(one, Kind.INTERNAL)
    seen.append(one.is_calm)
    one.enter(NOW)
    one.succeed(NOW, NOW + 1, None, 0)
    assert [*seen, one.is_calm] == [True, False, True]


@pytest.mark.parametrize(
    "one",
    [member(limit=3), member(adaptive=AdaptiveLimit()), member(rpm=10), member(tpm=10), member(has_rates=True)],
    ids=["limit", "adaptive", "rpm", "tpm", "rates"],
)
def test_one_that_has_a_limit_needs_a_further_look(one: Member) -> None:
    assert not one.is_calm
    assert one.is_sound


@pytest.mark.parametrize("kind", [Kind.AUTHENTICATION, Kind.RATE_LIMIT])
def test_what_speaks_of_the_key_rests_every_deployment_that_has_it(kind: Kind) -> None:
    shared = Health(Rules())
    a, b, other = member("a", credential=shared), member("b", credential=shared), member("c")
    assert fail(a, kind)
    assert [one.is_resting for one in (a, b, other)] == [True, True, False]
    assert [one.admits(NOW + 1) for one in (a, b, other)] == [False, False, True]
    assert a.until == b.until == NOW + 5
    assert not a.health.is_resting


def test_of_deployments_with_one_key_only_one_is_a_probe() -> None:
    shared = Health(Rules())
    a, b = member("a", credential=shared), member("b", credential=shared)
    fail(a, Kind.RATE_LIMIT)
    b.enter(NOW + 5)
    assert not a.admits(NOW + 5)
    b.succeed(NOW + 5, NOW + 6, None, 0)
    assert a.admits(NOW + 6)


@pytest.mark.parametrize("kind", [Kind.NOT_FOUND, Kind.INTERNAL, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.BAD_GATEWAY])
def test_what_speaks_of_the_deployment_leaves_its_key_alone(kind: Kind) -> None:
    shared = Health(Rules())
    a, b = member("a", credential=shared), member("b", credential=shared)
    for _ in range(5):
        fail(a, kind)
    assert (a.is_resting, b.is_resting) == (True, False)


def test_one_whose_key_was_just_refused_is_not_sound_even_if_that_is_allowed() -> None:
    one = member(rules=Rules(allowed_fails_policy={Kind.RATE_LIMIT: 3}))
    assert not fail(one, Kind.RATE_LIMIT)
    assert (one.is_resting, one.is_sound, one.is_calm) == (False, False, False)


def both_probed() -> Member:
    """At rest with its key, and both are being tried by one call that began five seconds later."""
    one = member()
    fail(one, Kind.NOT_FOUND)
    fail(one, Kind.AUTHENTICATION)
    one.enter(NOW + 5)
    assert not one.health.admits(NOW + 5)
    assert not one.credential.admits(NOW + 5)
    return one


def test_a_call_without_a_verdict_gives_the_turn_of_a_probe_back() -> None:
    one = both_probed()
    one.leave(NOW + 5)
    assert one.admits(NOW + 5)


def test_a_verdict_on_the_key_gives_the_turn_of_the_deployments_probe_back() -> None:
    one = both_probed()
    one.fail(Kind.RATE_LIMIT, NOW + 5, NOW + 6, 0.5, None)
    assert (one.health.admits(NOW + 6), one.credential.admits(NOW + 6)) == (True, False)


def test_a_verdict_on_the_deployment_gives_the_turn_of_the_keys_probe_back() -> None:
    one = both_probed()
    one.fail(Kind.TIMEOUT, NOW + 5, NOW + 6, 0.5, None)
    assert (one.health.admits(NOW + 6), one.credential.admits(NOW + 6)) == (False, True)


def test_an_answer_is_a_verdict_on_both() -> None:
    one = both_probed()
    one.succeed(NOW + 5, NOW + 6, None, 0)
    one.enter(NOW + 6)
    one.succeed(NOW + 6, NOW + 7, None, 0)
    assert not one.is_resting


@pytest.mark.parametrize("kind", [Kind.BAD_REQUEST, Kind.CONTEXT_WINDOW, Kind.CONTENT_POLICY])
def test_a_bad_request_rests_nothing(kind: Kind) -> None:
    one = member()
    for _ in range(50):
        assert not fail(one, kind)
    assert one.is_sound


def test_a_model_that_is_not_there_does_not_rest_a_deployment_that_serves_any() -> None:
    one = member(name="openai/*", upstream_model="*")
    assert not fail(one, Kind.NOT_FOUND)
    assert one.is_sound
    assert fail(member(), Kind.NOT_FOUND)


def test_its_share_is_the_smaller_one_of_its_own_and_its_keys() -> None:
    one = member()
    fail(one, Kind.RATE_LIMIT)
    for now in (NOW + 6, NOW + 7):
        one.enter(now)
        one.succeed(now, now, None, 0)
    assert one.share(NOW + 7) == pytest.approx(0.1)
    assert one.share(NOW + 17) == 1.0


def test_it_is_full_at_its_limit() -> None:
    one = member(limit=2)
    one.enter(NOW)
    assert not one.is_full()
    one.enter(NOW)
    assert one.is_full()
    one.leave(NOW)
    assert not one.is_full()
    assert not member().is_full()


def test_it_is_full_at_the_limit_that_was_found() -> None:
    adaptive = AdaptiveLimit()
    one = member(adaptive=adaptive)
    for _ in range(100):
        one.enter(NOW)
    assert not one.is_full()
    adaptive.value = 100.0
    assert one.is_full()


def test_its_requests_of_a_minute_can_be_spent() -> None:
    one = member(rpm=2)
    one.enter(NOW)
    assert not one.is_spent(NOW)
    one.enter(NOW)
    assert one.is_spent(NOW)
    assert one.is_spent(NOW + 50)
    assert not one.is_spent(NOW + 60)


def test_its_tokens_of_a_minute_can_be_spent() -> None:
    one = member(tpm=100)
    for tokens in (60, 39):
        one.enter(NOW)
        one.succeed(NOW, NOW, None, tokens)
    assert not one.is_spent(NOW)
    one.enter(NOW)
    one.succeed(NOW, NOW, None, 1)
    assert one.is_spent(NOW)
    assert not one.is_spent(NOW + 60)


def test_without_rates_nothing_is_ever_spent() -> None:
    one = member()
    one.enter(NOW)
    one.succeed(NOW, NOW, None, 10)
    assert not one.is_spent(NOW)
    assert (one.requests.total(NOW), one.tokens.total(NOW)) == (0, 0)


def test_it_learns_how_quickly_it_answers() -> None:
    one = member()
    one.enter(NOW)
    one.succeed(NOW, NOW + 9, 0.7, 10)
    assert one.latency.value == 0.7


def test_failures_are_no_answers_to_the_adaptive_limit() -> None:
    adaptive = AdaptiveLimit()
    one = member(adaptive=adaptive, rules=Rules(is_on=False))
    for i in range(400):
        began = NOW + i / 100
        one.enter(began)
        if i % 2:
            one.succeed(began, began + 0.2, None, 0)
        else:
            one.fail(Kind.BAD_REQUEST, began, began + 0.001, 0.5, None)
    assert adaptive.baseline == pytest.approx(0.2)
    assert adaptive.value == math.inf


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.TIMEOUT])
def test_one_that_says_that_it_has_too_much_gets_less(kind: Kind) -> None:
    adaptive = AdaptiveLimit()
    one = member(adaptive=adaptive, rules=Rules(is_on=False))
    for i in range(100):
        one.enter(NOW + i / 100)
    for i in range(100):
        one.fail(kind, NOW + i / 100, NOW + 1 + i / 100, 0.5, None)
    assert adaptive.value < 100


@pytest.mark.parametrize("seed", range(10))
def test_what_is_in_flight_is_what_has_entered_and_not_left(seed: int) -> None:
    chance, now = Random(seed), NOW
    shared = Health(Rules())
    members = [member(i, credential=shared, adaptive=AdaptiveLimit(), rpm=50) for i in "ab"]
    under_way: list[tuple[Member, float]] = []
    for _ in range(1000):
        now += chance.choice((0.0, 0.02, 1.0))
        if not under_way or chance.random() < 0.5:
            one = chance.choice(members)
            one.enter(now)
            under_way.append((one, now))
        else:
            one, began = under_way.pop(chance.randrange(len(under_way)))
            what = chance.randrange(3)
            if what == 0:
                one.succeed(began, now, now - began, 5)
            elif what == 1:
                one.leave(began)
            else:
                one.fail(chance.choice(list(Kind)), began, now, chance.random(), chance.choice((None, 0.0, 9.0)))
        for one in members:
            assert one.in_flight == sum(other is one for other, _ in under_way) >= 0


def test_one_that_is_outrun_again_and_again_without_any_answer_is_taken_for_silent() -> None:
    one = member()
    rests = []
    for _ in range(OUTRUNS_IN_A_ROW + 5):
        one.enter(NOW)
        rests.append(one.outrun(NOW, NOW + 1, 0.5))
    assert (rests.count(True), one.is_resting, one.in_flight) == (1, True, 0)


def test_one_answer_between_makes_it_chance_again() -> None:
    one = member()
    for _ in range(4 * OUTRUNS_IN_A_ROW):
        one.enter(NOW)
        one.outrun(NOW, NOW + 1, 0.5)
        one.enter(NOW)
        one.succeed(NOW, NOW + 1, None, 0)
    assert one.is_calm


# Silence


def answering(usual: float = 0.5) -> Member:
    """One that has answered in that time, and has nothing under way."""
    one = member()
    one.enter(NOW - usual)
    one.succeed(NOW - usual, NOW, usual, 0)
    return one


def owing(usual: float = 0.5) -> Member:
    """One that was asked several times after that, at once."""
    one = answering(usual)
    for _ in range(SEVERAL_UNANSWERED):
        one.enter(NOW)
    return one


@pytest.mark.parametrize(("usual", "patience"), [(0.001, 0.1), (0.025, 0.1), (0.125, 0.5)])
def test_it_is_silent_when_it_owes_answers_for_several_times_its_usual_time(usual: float, patience: float) -> None:
    one = owing(usual)
    assert [one.is_silent(NOW + t) for t in (0.0, patience - 0.001, patience + 0.001)] == [False, False, True]


def test_a_few_answers_may_take_long() -> None:
    one = answering()
    for at in (0, 0, 9):
        one.enter(NOW + at)
    assert not one.is_silent(NOW + 9)
    one.enter(NOW + 9)
    assert one.is_silent(NOW + 9)


def test_of_one_that_has_never_answered_nothing_is_expected() -> None:
    one = member()
    for _ in range(9):
        one.enter(NOW)
    assert not one.is_silent(NOW + 0.9)


def test_its_silence_begins_with_the_first_request_after_its_last_sign_of_life() -> None:
    one = answering()
    for at in (60, 60.5, 61, 61.5):
        one.enter(NOW + at)
    assert [one.is_silent(NOW + at) for at in (62.0, 62.1)] == [False, True]


def test_a_silent_one_is_asked_once_in_a_while_and_less_often_the_longer_it_is_silent() -> None:
    one, asked = owing(), []
    for tenth in range(21, 600):
        now = NOW + tenth / 10
        if not one.is_silent(now):
            one.enter(now)
            asked.append(now)
    pauses = [later - earlier for earlier, later in pairwise([NOW + 2, *asked])]
    assert len(asked) < 15
    assert pauses[1:4] == pytest.approx([1.0, 1.1, 1.4], abs=0.11)
    assert 10 < max(pauses) < 15


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.TIMEOUT, Kind.BAD_GATEWAY}))
def test_any_answer_is_a_sign_of_life(kind: Kind) -> None:
    one = owing()
    one.fail(kind, NOW, NOW + 2.5, 0.5, None)
    assert (one.unanswered, one.is_silent(NOW + 2.5)) == (0, False)


def test_the_first_output_of_a_stream_is_a_sign_of_life_and_so_is_the_end_of_an_answer() -> None:
    one, other = owing(), owing()
    one.hear(2.5)
    other.succeed(NOW, NOW + 2.5, 2.5, 0)
    assert one.unanswered == other.unanswered == 0
    assert one.usual == other.usual == 2.5


def test_an_attempt_that_ends_without_an_answer_is_one_less_to_wait_for() -> None:
    for kind in (Kind.TIMEOUT, Kind.BAD_GATEWAY, None):
        one = owing()
        one.enter(NOW)
        left = []
        for _ in range(SEVERAL_UNANSWERED + 1):
            if kind is None:
                one.leave(NOW)
            else:
                one.fail(kind, NOW, NOW + 0.9, 0.5, None)
            left.append(one.unanswered)
        assert left == [4, 3, 2, 1, 0]


def test_one_that_was_asked_before_the_last_sign_of_life_is_not_waited_for_already() -> None:
    one = answering()
    one.enter(NOW)
    one.hear(0.5)
    one.enter(NOW + 1)
    one.leave(NOW)
    assert one.unanswered == 1
    one.hear(0.5)
    one.leave(NOW + 1)
    assert one.unanswered == 0


def test_what_is_usual_goes_up_at_once_and_down_slowly_whoever_looks_at_latencies() -> None:
    one = Member(deployment(), Health(Rules()), Health(Rules()), has_latency=False)
    seen = []
    for latency in (1.0, 5.0, 1.0):
        one.enter(NOW)
        one.succeed(NOW, NOW + latency, latency, 0)
        seen.append(one.usual)
    assert seen == [1.0, 5.0, 4.875]
    for _ in range(300):
        one.enter(NOW)
        one.succeed(NOW, NOW + 1, 1.0, 0)
    assert one.usual == pytest.approx(1.0, abs=0.001)
    assert one.latency.value == 0.0


def test_a_stream_tells_once_how_long_it_took() -> None:
    one = answering(1.0)
    one.enter(NOW)
    one.hear(0.5)
    assert one.usual == 1.0
    one.succeed(NOW, NOW + 60, 0.5, 0)
    assert one.usual == pytest.approx(1 - 0.5 / 32)
