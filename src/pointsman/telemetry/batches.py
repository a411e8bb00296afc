"""What is told of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from prometheus_client.core import Metric

from pointsman.telemetry.facts import MetricFact, counter, single

OPEN: Final = MetricFact("pointsman_batches_open", "gauge", "Batches that have not ended, of the whole gateway")
AGE: Final = MetricFact("pointsman_batch_oldest_seconds", "gauge", "Age of the oldest of these")
BACKLOG: Final = MetricFact("pointsman_batch_lines_waiting", "gauge", "Their lines that are not done")
RUNNING: Final = MetricFact("pointsman_batch_lines_running", "gauge", "Lines that this process runs now")
DONE: Final = MetricFact(
    "pointsman_batch_lines_total", "counter", "Lines that this process has brought to their end", ("outcome",)
)
RETRIED: Final = MetricFact(
    "pointsman_batch_lines_retried_total", "counter", "Times that a line was refused, and is tried again"
)
BATCH_METRICS: Final = (OPEN, AGE, BACKLOG, RUNNING, DONE, RETRIED)


class LineCounts(msgspec.Struct):
    """Lines that a process runs."""

    running: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0

    def count(self, *, is_failed: bool) -> None:
        """One has come to its end."""
        if is_failed:
            self.failed += 1
        else:
            self.completed += 1


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The queue, and what this process does of it."""

    batches: int
    lines: int
    oldest_seconds: float
    done: LineCounts


def batches(counts: BatchCounts) -> Iterator[Metric]:
    """For a scrape."""
    done = counts.done
    yield single(OPEN, counts.batches)
    yield single(AGE, counts.oldest_seconds)
    yield single(BACKLOG, counts.lines)
    yield single(RUNNING, done.running)
    ended = counter(DONE)
    for outcome, count in (("completed", done.completed), ("failed", done.failed)):
        ended.add_metric([outcome], count)
    yield ended
    yield single(RETRIED, done.retried)
