"""What a metric is, as it is documented and shown."""

from __future__ import annotations

from typing import Literal

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

Kind = Literal["counter", "gauge", "histogram"]


class MetricFact(msgspec.Struct, frozen=True):
    """One metric, as it is documented."""

    name: str
    """As exposed; a counter's ends in ``_total``, a histogram has ``_bucket``, ``_count`` and ``_sum``."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def counter(fact: MetricFact) -> CounterMetricFamily:
    """A counter without values yet."""
    return CounterMetricFamily(fact.name.removesuffix("_total"), fact.help, labels=fact.labels)


def gauge(fact: MetricFact) -> GaugeMetricFamily:
    """A gauge without values yet."""
    return GaugeMetricFamily(fact.name, fact.help, labels=fact.labels)


def histogram(fact: MetricFact) -> HistogramMetricFamily:
    """A histogram without values yet."""
    return HistogramMetricFamily(fact.name, fact.help, labels=fact.labels)


def single(fact: MetricFact, value: float) -> CounterMetricFamily | GaugeMetricFamily:
    """A counter or gauge without labels."""
    family = gauge(fact) if fact.kind == "gauge" else counter(fact)
    family.add_metric([], value)
    return family
