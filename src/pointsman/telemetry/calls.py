"""What is told of requests, and of attempts on deployments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import Metric

from pointsman.telemetry.facts import MetricFact, counter, gauge, histogram
from pointsman.telemetry.meters import RESTING, DeploymentMeter, RouteMeter

_REQUEST = ("requested_model", "route", "status_code")
_FAILURE = ("requested_model", "route", "exception_class")
_MODEL = ("requested_model", "model", "model_id", "api_provider", "route")
_DEPLOYMENT = ("litellm_model_name", "model_id", "api_provider")

REQUESTS: Final = MetricFact(
    "litellm_proxy_total_requests_metric_total", "counter", "Requests answered, by status", _REQUEST
)
FAILED_REQUESTS: Final = MetricFact(
    "litellm_proxy_failed_requests_metric_total", "counter", "Requests answered with an error", _FAILURE
)
TOTAL_LATENCY: Final = MetricFact(
    "litellm_request_total_latency_metric", "histogram", "Seconds from request to last byte of answer", _MODEL
)
UPSTREAM_LATENCY: Final = MetricFact(
    "litellm_llm_api_latency_metric", "histogram", "Seconds spent waiting for the upstream", _MODEL
)
FIRST_TOKEN: Final = MetricFact(
    "litellm_llm_api_time_to_first_token_metric", "histogram", "Seconds to the first token of a stream", _MODEL
)
OVERHEAD: Final = MetricFact(
    "litellm_overhead_latency_metric", "histogram", "Seconds that the gateway itself added", _MODEL
)
SPEND: Final = MetricFact("litellm_spend_metric_total", "counter", "US dollars spent", _MODEL)
TOTAL_TOKENS: Final = MetricFact("litellm_total_tokens_metric_total", "counter", "Input and output tokens", _MODEL)
INPUT_TOKENS: Final = MetricFact("litellm_input_tokens_metric_total", "counter", "Input tokens", _MODEL)
OUTPUT_TOKENS: Final = MetricFact("litellm_output_tokens_metric_total", "counter", "Output tokens", _MODEL)
CACHED_TOKENS: Final = MetricFact(
    "pointsman_cached_input_tokens_total", "counter", "Input tokens that the provider had cached", _MODEL
)
DEPLOYMENT_REQUESTS: Final = MetricFact(
    "litellm_deployment_total_requests_total", "counter", "Attempts on a deployment", _DEPLOYMENT
)
DEPLOYMENT_SUCCESSES: Final = MetricFact(
    "litellm_deployment_success_responses_total", "counter", "Attempts that succeeded", _DEPLOYMENT
)
DEPLOYMENT_FAILURES: Final = MetricFact(
    "litellm_deployment_failure_responses_total",
    "counter",
    "Attempts that failed",
    (*_DEPLOYMENT, "exception_class"),
)
DEPLOYMENT_STATE: Final = MetricFact(
    "litellm_deployment_state", "gauge", "0 healthy, 1 failed last, 2 resting", _DEPLOYMENT
)
COOLDOWNS: Final = MetricFact(
    "litellm_deployment_cooled_down_total",
    "counter",
    "Times that a deployment or its credential went to rest",
    _DEPLOYMENT,
)
HEDGED: Final = MetricFact(
    "pointsman_hedged_attempts_total", "counter", "Attempts given up because another one was quicker", _DEPLOYMENT
)
HEDGED_SPEND: Final = MetricFact(
    "pointsman_hedged_spend_metric_total", "counter", "US dollars spent at least on these attempts", _DEPLOYMENT
)
_FALLBACK = ("requested_model", "fallback_model")
FALLBACK_SUCCESSES: Final = MetricFact(
    "litellm_deployment_successful_fallbacks_total", "counter", "Requests answered by another model group", _FALLBACK
)
FALLBACK_FAILURES: Final = MetricFact(
    "litellm_deployment_failed_fallbacks_total", "counter", "Requests that another model group failed too", _FALLBACK
)
RETRIES: Final = MetricFact(
    "pointsman_retried_requests_total",
    "counter",
    "Requests that took more than one attempt in a group",
    ("requested_model",),
)

CALL_METRICS: Final = (
    REQUESTS,
    FAILED_REQUESTS,
    TOTAL_LATENCY,
    UPSTREAM_LATENCY,
    FIRST_TOKEN,
    OVERHEAD,
    SPEND,
    TOTAL_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    CACHED_TOKENS,
    DEPLOYMENT_REQUESTS,
    DEPLOYMENT_SUCCESSES,
    DEPLOYMENT_FAILURES,
    DEPLOYMENT_STATE,
    COOLDOWNS,
    HEDGED,
    HEDGED_SPEND,
    FALLBACK_SUCCESSES,
    FALLBACK_FAILURES,
    RETRIES,
)


def requests(routes: Iterable[RouteMeter], deployments: Iterable[DeploymentMeter]) -> Iterator[Metric]:
    """Requests, by how they were answered."""
    answered = counter(REQUESTS)
    failed = counter(FAILED_REQUESTS)
    statuses: Counter[tuple[str, str, int]] = Counter()
    failures: Counter[tuple[str, str, str]] = Counter()
    meters: list[tuple[str, RouteMeter | DeploymentMeter]] = [("", one) for one in routes]
    meters += [(one.requested_model, one) for one in deployments]
    for requested, meter in meters:
        for status, count in tuple(meter.statuses.items()):
            statuses[requested, meter.route, status] += count
        for exception_class, count in tuple(meter.failures.items()):
            failures[requested, meter.route, exception_class] += count
    for (requested, route, status), count in statuses.items():
        answered.add_metric([requested, route, str(status)], count)
    for labels, count in failures.items():
        failed.add_metric(list(labels), count)
    yield from (answered, failed)


def models(meters: Iterable[DeploymentMeter]) -> Iterator[Metric]:
    """What the answers of deployments took, used and cost."""
    histograms = [histogram(fact) for fact in (TOTAL_LATENCY, UPSTREAM_LATENCY, FIRST_TOKEN, OVERHEAD)]
    counters = [counter(fact) for fact in (SPEND, TOTAL_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS)]
    for meter in meters:
        labels = [meter.requested_model, meter.model, meter.model_id, meter.api_provider, meter.route]
        seen = (meter.total, meter.upstream, meter.first_token, meter.overhead)
        for shown, observed in zip(histograms, seen, strict=True):
            if not observed.is_empty:
                shown.add_metric(labels, observed.buckets(), observed.total)
        used = (
            meter.spend_usd,
            meter.total_tokens,
            meter.input_tokens,
            meter.output_tokens,
            meter.cached_tokens,
        )
        for family, count in zip(counters, used, strict=True):
            family.add_metric(labels, count)
    yield from histograms
    yield from counters


def deployments(meters: Iterable[DeploymentMeter], is_resting: Callable[[str], bool]) -> Iterator[Metric]:
    """Attempts; ``is_resting`` says of a deployment's id whether it is in cooldown."""
    totals = counter(DEPLOYMENT_REQUESTS)
    successes = counter(DEPLOYMENT_SUCCESSES)
    failures = counter(DEPLOYMENT_FAILURES)
    states = gauge(DEPLOYMENT_STATE)
    cooldowns, hedged, hedged_spend = counter(COOLDOWNS), counter(HEDGED), counter(HEDGED_SPEND)
    for key, own in _by_deployment(meters).items():
        labels = list(key)
        succeeded = sum(meter.successes for meter in own)
        failed: Counter[str] = Counter()
        for meter in own:
            failed.update(dict(meter.attempt_failures))
        totals.add_metric(labels, succeeded + failed.total())
        successes.add_metric(labels, succeeded)
        for exception_class, count in failed.items():
            failures.add_metric([*labels, exception_class], count)
        cooldowns.add_metric(labels, sum(meter.cooldowns for meter in own))
        hedged.add_metric(labels, sum(meter.hedged for meter in own))
        hedged_spend.add_metric(labels, sum(meter.hedged_spend_usd for meter in own))
        states.add_metric(labels, RESTING if is_resting(key[1]) else max(meter.state for meter in own))
    yield from (totals, successes, failures, states, cooldowns, hedged, hedged_spend)


def extra_attempts(fallbacks: Mapping[tuple[str, str, bool], int], retried: Mapping[str, int]) -> Iterator[Metric]:
    """Requests that took more than one attempt: by both groups and whether it helped, and by the group."""
    succeeded, failed, retries = counter(FALLBACK_SUCCESSES), counter(FALLBACK_FAILURES), counter(RETRIES)
    for (requested, used, is_success), count in fallbacks.items():
        (succeeded if is_success else failed).add_metric([requested, used], count)
    for requested, count in retried.items():
        retries.add_metric([requested], count)
    yield from (succeeded, failed, retries)


def _by_deployment(meters: Iterable[DeploymentMeter]) -> dict[tuple[str, str, str], list[DeploymentMeter]]:
    found: dict[tuple[str, str, str], list[DeploymentMeter]] = {}
    for meter in meters:
        found.setdefault((meter.model, meter.model_id, meter.api_provider), []).append(meter)
    return found
