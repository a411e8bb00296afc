from __future__ import annotations

from decimal import Decimal

from pointsman.telemetry.meters import (
    CLIENT_LEFT,
    FAILED_LAST,
    HEALTHY,
    DeploymentMeter,
    Histogram,
    RouteMeter,
    RoutingMeter,
)
from pointsman.wire.usage import Usage


def meter() -> DeploymentMeter:
    return DeploymentMeter("m", "up", "id", "openai", "/v1/chat/completions")


def test_a_value_on_a_bound_belongs_to_that_bucket() -> None:
    histogram = Histogram((0.1, 1.0))
    assert histogram.is_empty
    for value in (0.0, 0.1, 0.2, 1.0, 5.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 2.0), ("1.0", 4.0), ("+Inf", 5.0)]
    assert histogram.total == 6.3


def test_a_success_counts_its_time_tokens_and_cost() -> None:
    counted = meter()
    usage = Usage(input_tokens=3, output_tokens=4, total_tokens=7, cached_input_tokens=1)
    for _ in range(2):
        counted.observe(200, 0.5, 0.4, 0.1, 0.001, usage, 0.25)
    assert counted.statuses == {200: 2}
    assert counted.successes == 2
    assert (counted.input_tokens, counted.output_tokens, counted.total_tokens, counted.cached_tokens) == (6, 8, 14, 2)
    assert counted.spend_usd == 0.5
    assert counted.first_token.total == 0.2
    assert counted.state == HEALTHY


def test_what_is_unknown_is_not_counted() -> None:
    counted = meter()
    counted.observe(200, 0.5, 0.4, None, 0.001)
    assert counted.first_token.is_empty
    assert (counted.total_tokens, counted.spend_usd) == (0, 0.0)


def test_a_failed_request_counts_as_a_failed_attempt_too() -> None:
    counted = meter()
    counted.fail_attempt("UpstreamTimeout")
    assert counted.failures == {}
    counted.observe(502, 0.5, 0.4, None, 0.001, exception_class="UpstreamBroken")
    assert counted.failures == {"UpstreamBroken": 1}
    assert counted.attempt_failures == {"UpstreamTimeout": 1, "UpstreamBroken": 1}
    assert (counted.successes, counted.state) == (0, FAILED_LAST)


def test_requests_without_a_deployment_are_counted_by_their_route() -> None:
    counted = RouteMeter("/v1/models")
    counted.observe(200)
    counted.observe(401, "Unauthenticated")
    counted.observe(401, "Unauthenticated")
    assert counted.statuses == {200: 1, 401: 2}
    assert counted.failures == {"Unauthenticated": 2}


def test_a_client_that_left_says_nothing_about_the_deployment() -> None:
    counted = meter()
    counted.fail_attempt("UpstreamTimeout")
    counted.observe(CLIENT_LEFT, 0.5, 0.4, None, 0.001)
    assert counted.statuses == {CLIENT_LEFT: 1}
    assert (counted.successes, counted.state) == (0, FAILED_LAST)


def test_an_error_of_the_callers_is_counted_but_not_against_the_deployment() -> None:
    counted = meter()
    counted.observe(400, 0.5, 0.4, None, 0.001, exception_class="InvalidRequest", is_deployments_fault=False)
    assert counted.failures == {"InvalidRequest": 1}
    assert (counted.attempt_failures, counted.state) == ({}, HEALTHY)


def test_what_an_attempt_has_used_is_counted_without_a_request() -> None:
    counted = meter()
    counted.charge(Usage(input_tokens=3, output_tokens=4, total_tokens=7, cached_input_tokens=1), Decimal("0.25"))
    counted.charge(None, None)
    assert (counted.input_tokens, counted.output_tokens, counted.total_tokens, counted.cached_tokens) == (3, 4, 7, 1)
    assert (counted.spend_usd, counted.statuses, counted.successes) == (0.25, {}, 0)


def test_the_beginnings_of_cooldowns_are_counted() -> None:
    counted = meter()
    counted.rest()
    counted.rest()
    assert counted.cooldowns == 2


def test_an_attempt_that_was_outrun_costs_what_is_known_of_it() -> None:
    counted = meter()
    counted.hedge(Decimal("0.5"))
    counted.hedge(None)
    assert (counted.hedged, counted.hedged_spend_usd, counted.spend_usd) == (2, 0.5, 0.5)
    assert (counted.statuses, counted.attempt_failures, counted.state) == ({}, {}, HEALTHY)


def test_decisions_are_counted_by_candidate_and_by_reason() -> None:
    counted = RoutingMeter("auto")
    for chosen, reason in (("small", "gain"), ("small", "session"), ("large", "gain")):
        counted.observe(chosen, reason, 0.0002, 0.25)
    assert counted.decisions == {("small", "gain"): 1, ("small", "session"): 1, ("large", "gain"): 1}
    assert (counted.chosen("small"), counted.chosen("nobody")) == (2, 0)
    assert counted.counts() == {"gain": 2, "session": 1}
    assert counted.predicted_usd == 0.75
    assert not counted.seconds.is_empty


def test_a_cost_that_is_not_known_is_not_added() -> None:
    counted = RoutingMeter("auto")
    counted.observe("small", "unknown", 0.0002, float("nan"))
    assert counted.predicted_usd == 0.0
