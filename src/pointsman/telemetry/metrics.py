"""What is counted, and how it is shown to Prometheus.

Whoever serves a route or calls a deployment binds a meter once; from then on counting is adding to plain numbers,
without labels. :meth:`Metrics.render` reads them all; it takes about half a millisecond for each meter in use, so
with many of them it belongs in a thread of its own, which is safe: counting goes on meanwhile.

All names stand in :data:`METRICS`, LiteLLM's where its dashboards use them. No label ever holds a key, an address,
a user agent or anything else that a caller can choose freely: ``requested_model`` is a configured name or pattern.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pointsman.telemetry import calls, routed
from pointsman.telemetry.batches import BATCH_METRICS, BatchCounts, batches
from pointsman.telemetry.configured import CONFIG_METRICS, configured
from pointsman.telemetry.counts import ConfigCounts, LoadCounts, PoolCounts
from pointsman.telemetry.facts import MetricFact, gauge, single
from pointsman.telemetry.meters import DeploymentMeter, RouteMeter, RoutingMeter
from pointsman.telemetry.routed import CheckpointCounts, LearningCounts
from pointsman.telemetry.stored import STORED, StoreCounts, stored
from pointsman.telemetry.tools import AGENT_METRICS, TOOL_METRICS, AgentMeters, ToolMeters

_Labels: TypeAlias = tuple[str, str, str, str, str]

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
BUILD: Final = MetricFact("pointsman_build_info", "gauge", "Always 1", ("version", "python"))

METRICS: Final[tuple[MetricFact, ...]] = (
    *calls.CALL_METRICS,
    *routed.ROUTED_METRICS,
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
    *CONFIG_METRICS,
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
        self._retried: Counter[str] = Counter()
        self._fallbacks: Counter[tuple[str, str, bool]] = Counter()
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
            self._retried[requested if has_room else _OTHER] += 1
        if requested != used:
            key = (requested, used, is_success)
            has_room = key in self._fallbacks or len(self._fallbacks) < self._max_series
            self._fallbacks[key if has_room else (_OTHER, _OTHER, is_success)] += 1

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
        for name in [name for name in self._retried if name not in names and name != _OTHER]:
            del self._retried[name]
        for key in [key for key in self._fallbacks if not (key[0] in names and key[1] in names)]:
            del self._fallbacks[key]
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
        metrics = self._metrics
        yield from calls.requests(metrics.route_meters(), metrics.deployment_meters())
        yield from calls.models(metrics.deployment_meters())
        yield from calls.deployments(metrics.deployment_meters(), metrics.is_resting)
        yield from calls.extra_attempts(metrics.fallbacks(), metrics.retried())
        yield from routed.decisions(metrics.routing_meters())
        yield from routed.checkpoints(metrics.checkpoint_counts())
        yield from routed.learning(metrics.learning_counts(), metrics.dropped_decisions())
        yield from metrics.tools.collect()
        yield from metrics.agents.collect()
        yield from self._process()

    def _process(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield single(IN_FLIGHT, metrics.in_flight)
        pool = metrics.pool_counts()
        if pool is not None:
            yield single(UPSTREAM_OPEN, pool.open)
            yield single(UPSTREAM_IDLE, pool.idle)
            yield single(UPSTREAM_WAITING, pool.waiting)
        load = metrics.load_counts()
        yield single(REFUSED, load.refused)
        yield single(CACHE_HITS, load.cache_hits)
        yield single(CACHE_MISSES, load.cache_misses)
        yield single(QUEUED, load.queued)
        yield single(LAG, load.lag_s)
        yield single(CACHE_BYTES, load.cache_bytes)
        yield single(LOG_DROPS, metrics.dropped_log_records())
        if (config := metrics.config_counts()) is not None:
            yield from configured(config)
        if (store := metrics.store_counts()) is not None:
            yield from stored(store)
        if (counts := metrics.batch_counts()) is not None:
            yield from batches(counts)
        build = gauge(BUILD)
        build.add_metric([metrics.version, sys.version.partition(" ")[0]], 1)
        yield build
