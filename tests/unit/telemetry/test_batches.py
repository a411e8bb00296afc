from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pointsman.telemetry.batches import BATCH_METRICS, BatchCounts, LineCounts
from pointsman.telemetry.metrics import METRICS, Metrics


def shown(metrics: Metrics) -> dict[str, float]:
    _, text = metrics.render()
    families = text_string_to_metric_families(text.decode())
    return {
        f"{sample.name} {sample.labels.get('outcome', '')}".strip(): sample.value
        for family in families
        for sample in family.samples
        if "batch" in sample.name
    }


@pytest.mark.requirement("batches.metrics")
def test_the_age_of_batches_their_backlog_and_how_fast_it_goes_are_shown() -> None:
    done = LineCounts(running=3, retried=2)
    done.count(is_failed=False)
    done.count(is_failed=False)
    done.count(is_failed=True)
    counts = BatchCounts(batches=2, lines=70, oldest_seconds=12.5, done=done)
    assert shown(Metrics("0", batches=lambda: counts)) == {
        "pointsman_batches_open": 2,
        "pointsman_batch_oldest_seconds": 12.5,
        "pointsman_batch_lines_waiting": 70,
        "pointsman_batch_lines_running": 3,
        "pointsman_batch_lines_total completed": 2,
        "pointsman_batch_lines_total failed": 1,
        "pointsman_batch_lines_retried_total": 2,
    }


def test_where_nobody_has_made_a_batch_nothing_is_told_of_them() -> None:
    assert shown(Metrics("0", batches=lambda: None)) == {}
    assert shown(Metrics("0")) == {}


def test_they_are_documented() -> None:
    assert set(BATCH_METRICS) <= set(METRICS)
