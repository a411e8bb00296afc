from __future__ import annotations

import pytest
from unit.telemetry.showing import shown_by

from pointsman.telemetry.meters import RoutingMeter
from pointsman.telemetry.routed import CheckpointCounts, LearningCounts, checkpoints, decisions, learning

LEARNING = LearningCounts(
    requested_model="auto",
    ratings=12,
    alarms=1,
    trial_share=0.05,
    population=1.5,
    unknown_share=None,
    calibration={"small": -0.25},
    cost={"small": 2.0, "large": 1.5},
)


def test_decisions_are_told_by_what_was_chosen_and_why() -> None:
    meter, unused = RoutingMeter("auto"), RoutingMeter("other")
    meter.observe("small", "gain", 0.0002, 0.5)
    meter.observe("small", "gain", 0.0002, 0.25)
    meter.observe("large", "quality", 0.0002, 0.25)
    shown = shown_by(decisions([meter, unused]))
    assert shown["pointsman_routing_decisions_total{chosen_model=small,reason=gain,requested_model=auto}"] == 2
    assert shown["pointsman_routing_decisions_total{chosen_model=large,reason=quality,requested_model=auto}"] == 1
    assert shown["pointsman_routing_predicted_spend_total{requested_model=auto}"] == 1.0
    assert shown["pointsman_routing_predicted_spend_total{requested_model=other}"] == 0
    assert shown["pointsman_routing_decision_seconds_count{requested_model=auto}"] == 3
    assert "pointsman_routing_decision_seconds_count{requested_model=other}" not in shown


@pytest.mark.requirement("routing.drift.gauges")
def test_what_was_learnt_is_shown_as_far_as_anything_can_be_said() -> None:
    assert shown_by(learning([LEARNING], 3)) == {
        "pointsman_routing_feedback_total{requested_model=auto}": 12,
        "pointsman_routing_changes_total{requested_model=auto}": 1,
        "pointsman_routing_trial_share{requested_model=auto}": 0.05,
        "pointsman_routing_population_drift{requested_model=auto}": 1.5,
        "pointsman_routing_calibration_drift{chosen_model=small,requested_model=auto}": -0.25,
        "pointsman_routing_cost_ratio{chosen_model=small,requested_model=auto}": 2.0,
        "pointsman_routing_cost_ratio{chosen_model=large,requested_model=auto}": 1.5,
        "pointsman_decision_log_dropped_total": 3,
    }


def test_a_checkpoint_is_told_with_its_version_and_what_became_of_others() -> None:
    one = CheckpointCounts(routed_model="auto", strategy="knn", version="0123", loaded=7.5, reloads=2, failures=1)
    assert shown_by(checkpoints([one])) == {
        "pointsman_checkpoint_info{requested_model=auto,strategy=knn,version=0123}": 1,
        "pointsman_checkpoint_loaded_timestamp_seconds{requested_model=auto}": 7.5,
        "pointsman_checkpoint_reloads_total{requested_model=auto}": 2,
        "pointsman_checkpoint_failures_total{requested_model=auto}": 1,
    }


def test_a_checkpoint_that_is_not_there_yet_counts_what_could_not_be_used() -> None:
    awaited = CheckpointCounts(routed_model="auto", strategy="", version="", loaded=0.0, failures=2)
    assert shown_by(checkpoints([awaited])) == {
        "pointsman_checkpoint_reloads_total{requested_model=auto}": 0,
        "pointsman_checkpoint_failures_total{requested_model=auto}": 2,
    }
