"""What is counted, and how it is shown to Prometheus.

Whoever serves a route or calls a deployment binds a meter once; from then on counting is adding to plain numbers,
without labels. :meth:`Metrics.render` reads them all; it takes about half a millisecond for each meter in use, so
with many of them it belongs in a thread of its own, which is safe: counting goes on meanwhile.

All names stand in :data:`METRICS`, LiteLLM's where its dashboards use them. No label ever holds a key, an address,
a user agent or anything else that a caller can choose freely: ``requested_model`` is a configured name or pattern.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pointsman.telemetry.batches import BATCH_METRICS, BatchCounts, batches
from pointsman.telemetry.counts import ConfigCounts, LoadCounts, PoolCounts
from pointsman.telemetry.facts import MetricFact, counter, gauge
from pointsman.telemetry.meters import RESTING, DeploymentMeter, RouteMeter, RoutingMeter
from pointsman.telemetry.stored import STORED, StoreCounts, stored
from pointsman.telemetry.tools import AGENT_METRICS, TOOL_METRICS, AgentMeters, ToolMeters

_Labels: TypeAlias = tuple[str, str, str, str, str]


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
ROUTED: Final = MetricFact(
    "pointsman_routing_decisions_total",
    "counter",
    "Prompts of a routed model by the candidate that was chosen, and why",
    ("requested_model", "chosen_model", "reason"),
)
ROUTING_SECONDS: Final = MetricFact(
    "pointsman_routing_decision_seconds", "histogram", "Seconds that a decision took", ("requested_model",)
)
PREDICTED_SPEND: Final = MetricFact(
    "pointsman_routing_predicted_spend_total",
    "counter",
    "US dollars that routed requests were expected to cost",
    ("requested_model",),
)
CACHE_HITS: Final = MetricFact("litellm_cache_hits_metric_total", "counter", "Answers given from the cache")
CACHE_MISSES: Final = MetricFact(
    "litellm_cache_misses_metric_total", "counter", "Questions that the cache had no answer to"
)
CACHE_BYTES: Final = MetricFact("pointsman_cache_bytes", "gauge", "Memory that cached answers take")
REFUSED: Final = MetricFact("pointsman_requests_refused_total", "counter", "Requests refused because of too much load")
QUEUED: Final = MetricFact("pointsman_requests_queued", "gauge", "Requests that wait for a deployment at its limit")
LAG: Final = MetricFact("pointsman_event_loop_lag_seconds", "gauge", "How late the event loop is")
IN_FLIGHT: Final = MetricFact("litellm_in_flight_requests", "gauge", "Requests being served now")
UPSTREAM_OPEN: Final = MetricFact("pointsman_upstream_connections_open", "gauge", "Connections to upstreams")
UPSTREAM_IDLE: Final = MetricFact("pointsman_upstream_connections_idle", "gauge", "Of these, unused now")
UPSTREAM_WAITING: Final = MetricFact(
    "pointsman_upstream_requests_waiting", "gauge", "Requests that wait for a connection"
)
LOG_DROPS: Final = MetricFact(
    "pointsman_log_records_dropped_total", "counter", "Log records lost because the queue was full"
)
_CHECKPOINT = ("requested_model",)
CHECKPOINT: Final = MetricFact("pointsman_checkpoint_info", "gauge", "Always 1", (*_CHECKPOINT, "strategy", "version"))
CHECKPOINT_LOADED: Final = MetricFact(
    "pointsman_checkpoint_loaded_timestamp_seconds", "gauge", "When the checkpoint in force was read", _CHECKPOINT
)
CHECKPOINT_RELOADS: Final = MetricFact(
    "pointsman_checkpoint_reloads_total", "counter", "Checkpoints that took the place of another one", _CHECKPOINT
)
CHECKPOINT_FAILURES: Final = MetricFact(
    "pointsman_checkpoint_failures_total", "counter", "Checkpoints that could not be used", _CHECKPOINT
)
_LEARNING = ("requested_model",)
FEEDBACK: Final = MetricFact("pointsman_routing_feedback_total", "counter", "Answers that were rated", _LEARNING)
ALARMS: Final = MetricFact(
    "pointsman_routing_changes_total", "counter", "Times that a model was suddenly better or worse", _LEARNING
)
TRIAL_SHARE: Final = MetricFact(
    "pointsman_routing_trial_share", "gauge", "Share of requests that the checkpoint on trial decides", _LEARNING
)
POPULATION_DRIFT: Final = MetricFact(
    "pointsman_routing_population_drift", "gauge", "How far prompts have moved, 1 being what chance brings", _LEARNING
)
UNKNOWN_SHARE: Final = MetricFact(
    "pointsman_routing_unknown_share", "gauge", "Share of prompts that are far from all known ones", _LEARNING
)
CALIBRATION_DRIFT: Final = MetricFact(
    "pointsman_routing_calibration_drift",
    "gauge",
    "Mean rating of a candidate's last answers, less what was expected",
    (*_LEARNING, "chosen_model"),
)
COST_DRIFT: Final = MetricFact(
    "pointsman_routing_cost_ratio",
    "gauge",
    "What a candidate's last answers have cost, by what was expected",
    (*_LEARNING, "chosen_model"),
)
DECISION_DROPS: Final = MetricFact(
    "pointsman_decision_log_dropped_total", "counter", "Events of the decision log that were lost"
)
CONFIG: Final = MetricFact("pointsman_config_info", "gauge", "Always 1", ("hash",))
CONFIG_NUMBER: Final = MetricFact("pointsman_config_number", "gauge", "Snapshots of the config that were in force")
CONFIG_LOADED: Final = MetricFact(
    "pointsman_config_loaded_timestamp_seconds", "gauge", "When the snapshot in force came to be it"
)
CONFIG_RELOADS: Final = MetricFact(
    "pointsman_config_reloads_total", "counter", "Snapshots that took the place of another one"
)
CONFIG_FAILURES: Final = MetricFact(
    "pointsman_config_failures_total", "counter", "Times that a changed config could not be put in force"
)
CONFIG_BROKEN: Final = MetricFact(
    "pointsman_config_broken", "gauge", "1 while what the source holds cannot be put in force"
)
CONFIG_RETIRING: Final = MetricFact(
    "pointsman_config_retiring", "gauge", "Snapshots that requests go on with although another one is in force"
)
CONFIG_REQUESTS: Final = MetricFact(
    "pointsman_config_source_requests_total", "counter", "Times that the source of the config was read"
)
CONFIG_UNCHANGED: Final = MetricFact(
    "pointsman_config_source_unchanged_total", "counter", "Of these, those that were answered with not modified"
)
CONFIG_DOWN: Final = MetricFact("pointsman_config_source_failures_total", "counter", "Of these, those that failed")
BUILD: Final = MetricFact("pointsman_build_info", "gauge", "Always 1", ("version", "python"))

METRICS: Final[tuple[MetricFact, ...]] = (
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
    ROUTED,
    ROUTING_SECONDS,
    PREDICTED_SPEND,
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_BYTES,
    REFUSED,
    QUEUED,
    LAG,
    IN_FLIGHT,
    UPSTREAM_OPEN,
    UPSTREAM_IDLE,
    UPSTREAM_WAITING,
    LOG_DROPS,
    CHECKPOINT,
    CHECKPOINT_LOADED,
    CHECKPOINT_RELOADS,
    CHECKPOINT_FAILURES,
    FEEDBACK,
    ALARMS,
    TRIAL_SHARE,
    POPULATION_DRIFT,
    UNKNOWN_SHARE,
    CALIBRATION_DRIFT,
    COST_DRIFT,
    DECISION_DROPS,
    CONFIG,
    CONFIG_NUMBER,
    CONFIG_LOADED,
    CONFIG_RELOADS,
    CONFIG_FAILURES,
    CONFIG_BROKEN,
    CONFIG_RETIRING,
    CONFIG_REQUESTS,
    CONFIG_UNCHANGED,
    CONFIG_DOWN,
    *TOOL_METRICS,
    *AGENT_METRICS,
    *STORED,
    *BATCH_METRICS,
    BUILD,
)

_OTHER: Final = "other"
LEAVING_SECONDS: Final = 300.0
"""So long the series of what is configured no more wait for a scrape."""
MAX_LEAVING: Final = 200
"""Meters that wait for it."""


class CheckpointCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint of a routed model."""

    routed_model: str
    strategy: str
    version: str
    """Empty where none is there yet."""
    loaded: float
    """Seconds since 1970."""
    reloads: int = 0
    failures: int = 0


class LearningCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a routed model has learnt while serving; ``None`` and no entry where nothing can be said yet."""

    requested_model: str
    ratings: int
    alarms: int
    trial_share: float | None
    population: float | None
    unknown_share: float | None
    calibration: Mapping[str, float]
    """By candidate."""
    cost: Mapping[str, float]


class Metrics:
    """All numbers of one process.

    ``max_series`` bounds the label sets of any one metric; those that come later are counted as ``other``.
    ``is_resting`` says of a deployment id whether the deployment is in cooldown now.
    """

    def __init__(
        self,
        version: str,
        *,
        max_series: int = 2000,
        pool: Callable[[], PoolCounts] | None = None,
        log_drops: Callable[[], int] | None = None,
        is_resting: Callable[[str], bool] | None = None,
        load: Callable[[], LoadCounts] | None = None,
        checkpoints: Callable[[], Iterable[CheckpointCounts]] | None = None,
        learning: Callable[[], Iterable[LearningCounts]] | None = None,
        decision_drops: Callable[[], int] | None = None,
        config: Callable[[], ConfigCounts | None] | None = None,
        store: Callable[[], StoreCounts | None] | None = None,
        batches: Callable[[], BatchCounts | None] | None = None,
    ) -> None:
        self.in_flight = 0
        """Counted up and down by whoever serves requests."""
        self.version = version
        self.tools = ToolMeters(max_series)
        """Calls of tools of MCP servers."""
        self.agents = AgentMeters(max_series)
        """Calls of agents."""
        self._max_series = max_series
        self._pool = pool
        self._log_drops = log_drops
        self._is_resting = is_resting
        self._load = load
        self._checkpoints = checkpoints
        self._learning = learning
        self._decision_drops = decision_drops
        self._config = config
        self._store = store
        self._batches = batches
        self._leaving: dict[_Labels, float] = {}
        self._retried: dict[str, int] = {}
        self._fallbacks: dict[tuple[str, str, bool], int] = {}
        self._routes: dict[str, RouteMeter] = {}
        self._routed: dict[str, RoutingMeter] = {}
        self._deployments: dict[_Labels, DeploymentMeter] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Exposition(self))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def bind_route(self, route: str) -> RouteMeter:
        """Give the meter of a route, named by its pattern; the same one for the same name."""
        meter = self._routes.get(route)
        if meter is None:
            if len(self._routes) >= self._max_series:
                route = _OTHER
            meter = self._routes.setdefault(route, RouteMeter(route))
        return meter

    def bind_deployment(
        self, requested_model: str, model: str, model_id: str, api_provider: str, route: str
    ) -> DeploymentMeter:
        """Give the meter of these labels; the same one for the same labels.

        ``requested_model`` is a configured name or wildcard pattern, never what a caller sent to a wildcard.
        ``model`` is what the upstream calls it.
        """
        key = (requested_model, model, model_id, api_provider, route)
        meter = self._deployments.get(key)
        if meter is None:
            if len(self._deployments) >= self._max_series:
                key = (_OTHER, _OTHER, _OTHER, _OTHER, _OTHER)
            meter = self._deployments.setdefault(key, DeploymentMeter(*key))
        return meter

    def bind_routed(self, model: str) -> RoutingMeter:
        """Give the meter of a routed model; the same one for the same name."""
        return self._routed.setdefault(model, RoutingMeter(model))

    def routing_meters(self) -> Iterable[RoutingMeter]:
        """All meters of routed models."""
        return tuple(self._routed.values())

    def observe_extra(self, requested: str, used: str, *, has_retries: bool, is_success: bool) -> None:
        """Count a request that took more than one attempt; ``requested`` and ``used`` are names of groups."""
        if has_retries:
            has_room = requested in self._retried or len(self._retried) < self._max_series
            _add(self._retried, requested if has_room else _OTHER, 1)
        if requested != used:
            key = (requested, used, is_success)
            has_room = key in self._fallbacks or len(self._fallbacks) < self._max_series
            _add(self._fallbacks, key if has_room else (_OTHER, _OTHER, is_success), 1)

    def retried(self) -> Mapping[str, int]:
        """Requests with retries by the group that was asked for."""
        return dict(self._retried)

    def fallbacks(self) -> Mapping[tuple[str, str, bool], int]:
        """Requests that another group has answered, or failed too, by both groups."""
        return dict(self._fallbacks)

    def load_counts(self) -> LoadCounts:
        """What is held back and kept."""
        return LoadCounts() if self._load is None else self._load()

    def keep_only(self, names: Container[str], model_ids: Container[str], now: float) -> None:
        """Let the series of other deployments and model names go, with the next scrape or after five minutes.

        ``now`` is of any clock that does not go back.
        """
        self._leaving = {
            key: self._leaving.get(key, now + LEAVING_SECONDS)
            for key in tuple(self._deployments)
            if key[0] != _OTHER and not (key[0] in names and key[2] in model_ids)
        }
        late = max(0, len(self._leaving) - MAX_LEAVING)
        # They must not take the room of what is configured.
        self._drop([key for place, (key, due) in enumerate(self._leaving.items()) if place < late or due <= now])
        self._retried = {name: count for name, count in self._retried.items() if name in names or name == _OTHER}
        self._fallbacks = {key: count for key, count in self._fallbacks.items() if key[0] in names and key[1] in names}
        for model in [model for model in self._routed if model not in names]:
            del self._routed[model]
        for meter in self._routed.values():
            meter.keep_only(names)

    def _drop(self, keys: Iterable[_Labels]) -> None:
        for key in keys:
            self._leaving.pop(key, None)
            self._deployments.pop(key, None)

    def render(self) -> tuple[bytes, bytes]:
        """Give the content type and the text of an answer to a scrape."""
        leaving = tuple(self._leaving)
        text = generate_latest(self._registry)
        self._drop(leaving)
        return CONTENT_TYPE_LATEST.encode(), text

    def route_meters(self) -> Iterable[RouteMeter]:
        """All route meters."""
        return tuple(self._routes.values())

    def deployment_meters(self) -> Iterable[DeploymentMeter]:
        """All deployment meters."""
        return tuple(self._deployments.values())

    def is_resting(self, model_id: str) -> bool:
        """Whether a deployment is in cooldown, as far as anybody told."""
        return self._is_resting is not None and self._is_resting(model_id)

    def pool_counts(self) -> PoolCounts | None:
        """What the upstream client has open, if there is one."""
        return None if self._pool is None else self._pool()

    def checkpoint_counts(self) -> Iterable[CheckpointCounts]:
        """The checkpoints of routed models."""
        return () if self._checkpoints is None else self._checkpoints()

    def learning_counts(self) -> Iterable[LearningCounts]:
        """What routed models have learnt while serving."""
        return () if self._learning is None else self._learning()

    def dropped_decisions(self) -> int:
        """How many events of the decision log were lost."""
        return 0 if self._decision_drops is None else self._decision_drops()

    def config_counts(self) -> ConfigCounts | None:
        """The configuration in force, if anybody tells."""
        return None if self._config is None else self._config()

    def store_counts(self) -> StoreCounts | None:
        """The store of keys, if there is one."""
        return None if self._store is None else self._store()

    def batch_counts(self) -> BatchCounts | None:
        """The batches, if anybody has made one."""
        return None if self._batches is None else self._batches()

    def dropped_log_records(self) -> int:
        """How many log records were lost."""
        return 0 if self._log_drops is None else self._log_drops()


class _Exposition(Collector):
    """Shows a :class:`Metrics` in the form of the Prometheus library."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        # Without this the registry would collect once at start to learn the names.
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._models()
        yield from self._deployments()
        yield from self._routing()
        yield from self._checkpoints()
        yield from self._learning()
        yield from self._metrics.tools.collect()
        yield from self._metrics.agents.collect()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        requests = counter(REQUESTS)
        failed = counter(FAILED_REQUESTS)
        statuses: dict[tuple[str, str, int], int] = {}
        failures: dict[tuple[str, str, str], int] = {}
        for requested, meter in self._all_meters():
            for status, count in tuple(meter.statuses.items()):
                _add(statuses, (requested, meter.route, status), count)
            for exception_class, count in tuple(meter.failures.items()):
                _add(failures, (requested, meter.route, exception_class), count)
        for (requested, route, status), count in statuses.items():
            requests.add_metric([requested, route, str(status)], count)
        for labels, count in failures.items():
            failed.add_metric(list(labels), count)
        yield requests
        yield failed

    def _all_meters(self) -> Iterator[tuple[str, RouteMeter | DeploymentMeter]]:
        for route in self._metrics.route_meters():
            yield "", route
        for deployment in self._metrics.deployment_meters():
            yield deployment.requested_model, deployment

    def _models(self) -> Iterator[Metric]:
        histograms = [_histogram(fact) for fact in (TOTAL_LATENCY, UPSTREAM_LATENCY, FIRST_TOKEN, OVERHEAD)]
        counters = [counter(fact) for fact in (SPEND, TOTAL_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS)]
        for meter in self._metrics.deployment_meters():
            labels = [meter.requested_model, meter.model, meter.model_id, meter.api_provider, meter.route]
            seen = (meter.total, meter.upstream, meter.first_token, meter.overhead)
            for shown, histogram in zip(histograms, seen, strict=True):
                if not histogram.is_empty:
                    shown.add_metric(labels, histogram.buckets(), histogram.total)
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

    def _deployments(self) -> Iterator[Metric]:
        totals = counter(DEPLOYMENT_REQUESTS)
        successes = counter(DEPLOYMENT_SUCCESSES)
        failures = counter(DEPLOYMENT_FAILURES)
        states = gauge(DEPLOYMENT_STATE)
        cooldowns, hedged, hedged_spend = counter(COOLDOWNS), counter(HEDGED), counter(HEDGED_SPEND)
        for key, meters in self._by_deployment().items():
            labels = list(key)
            succeeded = sum(meter.successes for meter in meters)
            failed: dict[str, int] = {}
            for meter in meters:
                for exception_class, count in tuple(meter.attempt_failures.items()):
                    _add(failed, exception_class, count)
            totals.add_metric(labels, succeeded + sum(failed.values()))
            successes.add_metric(labels, succeeded)
            for exception_class, count in failed.items():
                failures.add_metric([*labels, exception_class], count)
            cooldowns.add_metric(labels, sum(meter.cooldowns for meter in meters))
            hedged.add_metric(labels, sum(meter.hedged for meter in meters))
            hedged_spend.add_metric(labels, sum(meter.hedged_spend_usd for meter in meters))
            is_resting = self._metrics.is_resting(key[1])
            states.add_metric(labels, RESTING if is_resting else max(meter.state for meter in meters))
        yield from (totals, successes, failures, states, cooldowns, hedged, hedged_spend)
        yield from self._extra_attempts()

    def _extra_attempts(self) -> Iterator[Metric]:
        succeeded, failed, retries = counter(FALLBACK_SUCCESSES), counter(FALLBACK_FAILURES), counter(RETRIES)
        for (requested, used, is_success), count in self._metrics.fallbacks().items():
            (succeeded if is_success else failed).add_metric([requested, used], count)
        for requested, count in self._metrics.retried().items():
            retries.add_metric([requested], count)
        yield from (succeeded, failed, retries)

    def _routing(self) -> Iterator[Metric]:
        decisions, seconds, predicted = counter(ROUTED), _histogram(ROUTING_SECONDS), counter(PREDICTED_SPEND)
        for meter in self._metrics.routing_meters():
            for (chosen, reason), count in meter.decisions.items():
                decisions.add_metric([meter.model, chosen, reason], count)
            if not meter.seconds.is_empty:
                seconds.add_metric([meter.model], meter.seconds.buckets(), meter.seconds.total)
            predicted.add_metric([meter.model], meter.predicted_usd)
        yield from (decisions, seconds, predicted)

    def _by_deployment(self) -> dict[tuple[str, str, str], list[DeploymentMeter]]:
        deployments: dict[tuple[str, str, str], list[DeploymentMeter]] = {}
        for meter in self._metrics.deployment_meters():
            deployments.setdefault((meter.model, meter.model_id, meter.api_provider), []).append(meter)
        return deployments

    def _checkpoints(self) -> Iterator[Metric]:
        info, loaded = gauge(CHECKPOINT), gauge(CHECKPOINT_LOADED)
        reloads, failures = counter(CHECKPOINT_RELOADS), counter(CHECKPOINT_FAILURES)
        for one in self._metrics.checkpoint_counts():
            if one.version:
                info.add_metric([one.routed_model, one.strategy, one.version], 1)
                loaded.add_metric([one.routed_model], one.loaded)
            reloads.add_metric([one.routed_model], one.reloads)
            failures.add_metric([one.routed_model], one.failures)
        yield from (info, loaded, reloads, failures)

    def _learning(self) -> Iterator[Metric]:
        feedback, alarms = counter(FEEDBACK), counter(ALARMS)
        gauges = [gauge(fact) for fact in (TRIAL_SHARE, POPULATION_DRIFT, UNKNOWN_SHARE)]
        calibration, cost = gauge(CALIBRATION_DRIFT), gauge(COST_DRIFT)
        for one in self._metrics.learning_counts():
            name = one.requested_model
            feedback.add_metric([name], one.ratings)
            alarms.add_metric([name], one.alarms)
            for share, value in zip(gauges, (one.trial_share, one.population, one.unknown_share), strict=True):
                if value is not None:
                    share.add_metric([name], value)
            for family, values in ((calibration, one.calibration), (cost, one.cost)):
                for model, value in values.items():
                    family.add_metric([name, model], value)
        yield from (feedback, alarms, *gauges, calibration, cost)
        drops = counter(DECISION_DROPS)
        drops.add_metric([], self._metrics.dropped_decisions())
        yield drops

    def _process(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _one(IN_FLIGHT, metrics.in_flight)
        pool = metrics.pool_counts()
        if pool is not None:
            yield _one(UPSTREAM_OPEN, pool.open)
            yield _one(UPSTREAM_IDLE, pool.idle)
            yield _one(UPSTREAM_WAITING, pool.waiting)
        load = metrics.load_counts()
        for fact, count in ((REFUSED, load.refused), (CACHE_HITS, load.cache_hits), (CACHE_MISSES, load.cache_misses)):
            family = counter(fact)
            family.add_metric([], count)
            yield family
        yield _one(QUEUED, load.queued)
        yield _one(LAG, load.lag_s)
        yield _one(CACHE_BYTES, load.cache_bytes)
        drops = counter(LOG_DROPS)
        drops.add_metric([], metrics.dropped_log_records())
        yield drops
        if (config := metrics.config_counts()) is not None:
            yield from _config(config)
        if (store := metrics.store_counts()) is not None:
            yield from stored(store)
        if (counts := metrics.batch_counts()) is not None:
            yield from batches(counts)
        build = gauge(BUILD)
        build.add_metric([metrics.version, sys.version.partition(" ")[0]], 1)
        yield build


def _config(counts: ConfigCounts) -> Iterator[Metric]:
    info = gauge(CONFIG)
    info.add_metric([counts.hash], 1)
    yield info
    for fact, value in (
        (CONFIG_NUMBER, counts.number),
        (CONFIG_LOADED, counts.loaded),
        (CONFIG_BROKEN, counts.is_broken),
        (CONFIG_RETIRING, counts.retiring),
    ):
        yield _one(fact, value)
    for fact, value in (
        (CONFIG_RELOADS, counts.reloads),
        (CONFIG_FAILURES, counts.failures),
        (CONFIG_REQUESTS, counts.requests),
        (CONFIG_UNCHANGED, counts.unchanged),
        (CONFIG_DOWN, counts.down),
    ):
        family = counter(fact)
        family.add_metric([], value)
        yield family


def _add(counts: dict[Any, int], key: Any, count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def _one(fact: MetricFact, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(fact.name, fact.help, value=value)


def _histogram(fact: MetricFact) -> HistogramMetricFamily:
    return HistogramMetricFamily(fact.name, fact.help, labels=fact.labels)
