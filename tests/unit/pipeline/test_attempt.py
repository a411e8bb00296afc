from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pointsman.errors import GatewayError, Overloaded, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.pipeline.race import Outrun, Race
from pointsman.routing.settings import FailureKind, RoutingSettings
from pointsman.wire.usage import Usage

Make = Callable[..., Any]
USAGE = Usage(input_tokens=3, output_tokens=2, total_tokens=5)
NOW = 100.25
"""The clock of a rig."""


def half() -> float:
    return 0.5


def begun(rig: Any, **more: Any) -> Any:
    attempt = rig.attempt(**more)
    attempt.member.enter(attempt.sent)
    return attempt


@pytest.mark.parametrize(("deadline", "ends"), [(500.0, NOW + 7), (105.0, 105.0)])
def test_it_ends_with_its_deployments_time_or_with_the_requests(
    make_rig: Make, deployment: Make, deadline: float, ends: float
) -> None:
    assert make_rig(deployment(timeout=7.0)).attempt(deadline=deadline).deadline == ends


def test_a_stream_has_the_deployments_times_for_streams(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(timeout=7.0, stream_timeout=3.0))
    call = rig.call()
    call.is_stream = True
    assert rig.attempt(call).timeouts.first_byte == 3.0
    assert rig.attempt().timeouts.first_byte == 7.0


@pytest.mark.parametrize(("wished", "allowed"), [(None, 7.0), (2.0, 2.0), (9.0, 7.0)])
def test_a_caller_may_wait_less_than_the_deployment_takes_but_not_more(
    make_rig: Make, deployment: Make, wished: float | None, allowed: float
) -> None:
    attempt = make_rig(deployment(timeout=7.0)).attempt()
    attempt.limit_first_byte(wished)
    assert (attempt.timeouts.first_byte, attempt.patience) == (allowed, wished)


def test_a_pattern_puts_what_it_matched_into_the_upstreams_name(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment("fake/*", "up/*-x"))
    assert rig.attempt(model="fake/nice").upstream_model == "up/nice-x"
    assert make_rig(deployment()).attempt().upstream_model == "up-1"


def test_what_was_used_has_its_price(rig: Any) -> None:
    attempt = rig.attempt()
    attempt.charge(None)
    assert (attempt.usage, attempt.cost) == (None, None)
    attempt.charge(USAGE)
    assert (attempt.usage, attempt.cost) == (USAGE, Decimal("0.007"))
    attempt.expect(Usage(input_tokens=3, output_tokens=0, total_tokens=3))
    assert attempt.expected_cost == Decimal("0.003")


def test_whoever_commits_first_wins_the_race(rig: Any) -> None:
    alone, quick, slow = rig.attempt(), rig.attempt(), rig.attempt()
    quick.race = slow.race = race = Race()
    alone.commit()
    quick.commit()
    assert race.winner is quick
    with pytest.raises(Outrun):
        slow.commit()


def test_an_answer_is_a_success_of_the_deployment(rig: Any) -> None:
    attempt = begun(rig)
    for _ in range(2):
        attempt.member.health.fail(FailureKind.BAD_GATEWAY, NOW, NOW)
    attempt.is_answered = True
    assert attempt.conclude(NOW + 1, half) is False
    assert (attempt.member.in_flight, attempt.member.is_sound) == (0, True)


@pytest.mark.parametrize(
    ("error", "is_sound"),
    [
        (UpstreamBroken(), False),
        (UpstreamTimeout(), False),
        (UpstreamRejected(status=500, kind="server_error"), False),
        (UpstreamRejected(status=400, kind="invalid_request_error"), True),
        (Overloaded(), True),
    ],
)
def test_a_failure_counts_against_the_deployment_if_it_is_the_upstreams(
    rig: Any, error: GatewayError, is_sound: bool
) -> None:
    attempt = begun(rig)
    attempt.error = error
    assert attempt.conclude(NOW + 1, half) is False
    assert (attempt.member.in_flight, attempt.member.is_sound) == (0, is_sound)


def test_an_attempt_that_was_given_up_says_nothing_about_the_deployment(rig: Any) -> None:
    attempt = begun(rig)
    attempt.member.health.fail(FailureKind.BAD_GATEWAY, NOW, NOW)
    assert attempt.conclude(NOW + 1, half) is False
    assert (attempt.member.in_flight, attempt.member.is_sound) == (0, False)


@pytest.mark.parametrize(
    ("ttft", "answered", "latency"), [(0.2, NOW + 5, 0.2), (None, NOW + 5, 5.0), (None, None, 7.0)]
)
def test_a_deployment_is_as_quick_as_its_first_output(
    make_rig: Make, deployment: Make, ttft: float | None, answered: float | None, latency: float
) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings(strategy="latency-based-routing"))
    attempt = begun(rig)
    attempt.ttft, attempt.answered, attempt.is_answered = ttft, answered, True
    attempt.conclude(NOW + 7, half)
    assert attempt.member.latency.value == latency


def test_tokens_are_counted_towards_the_deployments_share(make_rig: Make, deployment: Make) -> None:
    attempt = begun(make_rig(deployment(tpm=5)))
    attempt.is_answered = True
    attempt.charge(USAGE)
    assert not attempt.member.is_spent(NOW)
    attempt.conclude(NOW + 1, half)
    assert attempt.member.is_spent(NOW + 1)


@pytest.mark.parametrize(
    ("patience", "seconds", "error", "is_sound"),
    [
        (1.0, 1.0, UpstreamTimeout(), True),
        (6.5, 6.6, UpstreamTimeout(), True),
        (1.0, 7.0, UpstreamTimeout(), False),
        (1.0, 1.0, UpstreamBroken(), False),
        (5.0, 1.0, UpstreamTimeout(), False),
        (None, 1.0, UpstreamTimeout(), False),
    ],
)
def test_a_caller_who_could_not_wait_says_nothing_about_a_deployment_that_had_time_left(
    make_rig: Make, deployment: Make, patience: float | None, seconds: float, error: GatewayError, is_sound: bool
) -> None:
    attempt = begun(make_rig(deployment(timeout=7.0)))
    attempt.patience, attempt.error = patience, error
    attempt.conclude(attempt.sent + seconds, half)
    assert (attempt.member.in_flight, attempt.member.is_sound) == (0, is_sound)


def test_it_tells_when_a_rest_begins(rig: Any) -> None:
    attempt = begun(rig)
    attempt.error = UpstreamRejected(status=401, kind="authentication_error")
    assert attempt.conclude(NOW + 1, half) is True
    assert attempt.member.is_resting
    assert attempt.failure_name == "UpstreamRejected"


def test_a_rest_is_as_long_as_the_upstream_asks_for(rig: Any) -> None:
    attempt = begun(rig)
    attempt.error = UpstreamRejected(status=429, kind="rate_limit_error", retry_after=40)
    attempt.conclude(NOW + 1, half)
    assert attempt.member.until == NOW + 41
