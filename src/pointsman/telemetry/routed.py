"""What is told of routed models: decisions, checkpoints, and what was learnt while serving."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from prometheus_client.core import Metric

from pointsman.telemetry.facts import MetricFact, counter, gauge, histogram, single
from pointsman.telemetry.meters import RoutingMeter

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

ROUTED_METRICS: Final = (
    ROUTED,
    ROUTING_SECONDS,
    PREDICTED_SPEND,
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
)


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


def decisions(meters: Iterable[RoutingMeter]) -> Iterator[Metric]:
    """What was decided, how quickly, and at what cost."""
    chosen_models, seconds, predicted = counter(ROUTED), histogram(ROUTING_SECONDS), counter(PREDICTED_SPEND)
    for meter in meters:
        for (chosen, reason), count in meter.decisions.items():
            chosen_models.add_metric([meter.model, chosen, reason], count)
        if not meter.seconds.is_empty:
            seconds.add_metric([meter.model], meter.seconds.buckets(), meter.seconds.total)
        predicted.add_metric([meter.model], meter.predicted_usd)
    yield from (chosen_models, seconds, predicted)


def checkpoints(counts: Iterable[CheckpointCounts]) -> Iterator[Metric]:
    """Those in force, and those that could not be."""
    info, loaded = gauge(CHECKPOINT), gauge(CHECKPOINT_LOADED)
    reloads, failures = counter(CHECKPOINT_RELOADS), counter(CHECKPOINT_FAILURES)
    for one in counts:
        if one.version:
            info.add_metric([one.routed_model, one.strategy, one.version], 1)
            loaded.add_metric([one.routed_model], one.loaded)
        reloads.add_metric([one.routed_model], one.reloads)
        failures.add_metric([one.routed_model], one.failures)
    yield from (info, loaded, reloads, failures)


def learning(counts: Iterable[LearningCounts], dropped: int) -> Iterator[Metric]:
    """What was learnt, and how many events of the decision log were lost."""
    feedback, alarms = counter(FEEDBACK), counter(ALARMS)
    gauges = [gauge(fact) for fact in (TRIAL_SHARE, POPULATION_DRIFT, UNKNOWN_SHARE)]
    calibration, cost = gauge(CALIBRATION_DRIFT), gauge(COST_DRIFT)
    for one in counts:
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
    yield single(DECISION_DROPS, dropped)
