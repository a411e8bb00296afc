"""Calls of tools, counted and shown to Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import HistogramMetricFamily, Metric

from pointsman.telemetry.facts import MetricFact, counter
from pointsman.telemetry.meters import SECONDS, Histogram

_TOOL: Final = ("mcp_server", "tool")
CALLS: Final = MetricFact(
    "pointsman_mcp_tool_calls_total",
    "counter",
    "Calls of tools of MCP servers, by what came of them",
    (*_TOOL, "outcome"),
)
CALL_SECONDS: Final = MetricFact("pointsman_mcp_tool_call_seconds", "histogram", "Seconds that they took", _TOOL)
READS: Final = MetricFact(
    "pointsman_mcp_list_reads_total",
    "counter",
    "Lists read from MCP servers, by what came of it",
    ("mcp_server", "outcome"),
)
TOOL_METRICS: Final = (CALLS, CALL_SECONDS, READS)
MAX_OUTCOMES: Final = 20
"""Of one tool; servers choose the codes of their errors."""
OTHER: Final = "other"


class ToolMeter:
    """Calls of one tool."""

    __slots__ = ("labels", "outcomes", "seconds")

    def __init__(self, server: str, tool: str) -> None:
        self.labels = (server, tool)
        self.outcomes: dict[str, int] = {}
        self.seconds = Histogram(SECONDS)

    def observe(self, outcome: str, seconds: float) -> None:
        """Count a call that took so long."""
        known = outcome if outcome in self.outcomes or len(self.outcomes) < MAX_OUTCOMES else OTHER
        self.outcomes[known] = self.outcomes.get(known, 0) + 1
        self.seconds.observe(seconds)


class ToolMeters:
    """Those of all tools."""

    def __init__(self, most: int) -> None:
        """``most`` bounds how many there are; calls of others are counted together."""
        self._most = most
        self._meters: dict[tuple[str, str], ToolMeter] = {}
        self._reads: dict[tuple[str, str], int] = {}

    def bind(self, server: str, tool: str) -> ToolMeter:
        """Give the meter of a tool; the same one for the same names."""
        meter = self._meters.get((server, tool))
        if meter is None:
            if len(self._meters) >= self._most:
                server = tool = OTHER
            meter = self._meters.setdefault((server, tool), ToolMeter(server, tool))
        return meter

    def read(self, server: str, outcome: str) -> None:
        """Count a list that was read from a server; ``outcome`` is one of few words."""
        key = (server, outcome)
        known = key if key in self._reads or len(self._reads) < self._most else (OTHER, outcome)
        self._reads[known] = self._reads.get(known, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """For a scrape."""
        calls = counter(CALLS)
        seconds = HistogramMetricFamily(CALL_SECONDS.name, CALL_SECONDS.help, labels=CALL_SECONDS.labels)
        for meter in tuple(self._meters.values()):
            for outcome, count in tuple(meter.outcomes.items()):
                calls.add_metric([*meter.labels, outcome], count)
            seconds.add_metric(meter.labels, meter.seconds.buckets(), meter.seconds.total)
        reads = counter(READS)
        for labels, count in tuple(self._reads.items()):
            reads.add_metric(labels, count)
        yield from (calls, seconds, reads)
