"""What is told of the configuration in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from pointsman.telemetry.counts import ConfigCounts
from pointsman.telemetry.facts import MetricFact, gauge, single

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

CONFIG_METRICS: Final = (
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
)


def configured(counts: ConfigCounts) -> Iterator[Metric]:
    """For a scrape."""
    info = gauge(CONFIG)
    info.add_metric([counts.hash], 1)
    yield info
    for fact, value in (
        (CONFIG_NUMBER, counts.number),
        (CONFIG_LOADED, counts.loaded),
        (CONFIG_BROKEN, counts.is_broken),
        (CONFIG_RETIRING, counts.retiring),
        (CONFIG_RELOADS, counts.reloads),
        (CONFIG_FAILURES, counts.failures),
        (CONFIG_REQUESTS, counts.requests),
        (CONFIG_UNCHANGED, counts.unchanged),
        (CONFIG_DOWN, counts.down),
    ):
        yield single(fact, value)
