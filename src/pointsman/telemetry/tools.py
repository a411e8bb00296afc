"""Calls of tools and of agents, counted and shown to Prometheus."""

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
_AGENT: Final = ("agent", "operation")
AGENT_CALLS: Final = MetricFact(
    "pointsman_a2a_calls_total", "counter", "Calls of agents, by what came of them", (*_AGENT, "outcome")
)
AGENT_SECONDS: Final = MetricFact(
    "pointsman_a2a_call_seconds", "histogram", "Seconds that they took; of streams, until their end", _AGENT
)
AGENT_METRICS: Final = (AGENT_CALLS, AGENT_SECONDS)
MAX_OUTCOMES: Final = 20
"""Of one of them; whoever is called chooses the codes of its errors."""
OTHER: Final = "other"


class CallMeter:
    """Calls of one of them."""

    __slots__ = ("labels", "outcomes", "seconds")

    def __init__(self, whom: str, what: str) -> None:
        self.labels = (whom, what)
        self.outcomes: dict[str, int] = {}
        self.seconds = Histogram(SECONDS)

    def observe(self, outcome: str, seconds: float) -> None:
        """Count a call that took so long."""
        known = outcome if outcome in self.outcomes or len(self.outcomes) < MAX_OUTCOMES else OTHER
        self.outcomes[known] = self.outcomes.get(known, 0) + 1
        self.seconds.observe(seconds)


class CallMeters:
    """Those of all."""

    def __init__(self, most: int, calls: MetricFact, seconds: MetricFact) -> None:
        """``most`` bounds how many there are; calls of others are counted together."""
        self._most = most
        self._calls = calls
        self._seconds = seconds
        self._meters: dict[tuple[str, str], CallMeter] = {}

    def bind(self, whom: str, what: str) -> CallMeter:
        """Give the meter of what is called; the same one for the same names."""
        meter = self._meters.get((whom, what))
        if meter is None:
            if len(self._meters) >= self._most:
                whom = what = OTHER
            meter = self._meters.setdefault((whom, what), CallMeter(whom, what))
        return meter

    def collect(self) -> Iterator[Metric]:
        """For a scrape."""
        calls = counter(self._calls)
        fact = self._seconds
        seconds = HistogramMetricFamily(fact.name, fact.help, labels=fact.labels)
        for meter in tuple(self._meters.values()):
            for outcome, count in tuple(meter.outcomes.items()):
                calls.add_metric([*meter.labels, outcome], count)
            seconds.add_metric(meter.labels, meter.seconds.buckets(), meter.seconds.total)
        yield from (calls, seconds)


class AgentMeters(CallMeters):
    """Calls of agents, by what is asked."""

    def __init__(self, most: int) -> None:
        super().__init__(most, AGENT_CALLS, AGENT_SECONDS)


class ToolMeters(CallMeters):
    """Calls of tools of MCP servers, and what else is read of them."""

    def __init__(self, most: int) -> None:
        super().__init__(most, CALLS, CALL_SECONDS)
        self._reads: dict[tuple[str, str], int] = {}

    def read(self, server: str, outcome: str) -> None:
        """Count a list that was read from a server; ``outcome`` is one of few words."""
        key = (server, outcome)
        known = key if key in self._reads or len(self._reads) < self._most else (OTHER, outcome)
        self._reads[known] = self._reads.get(known, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """For a scrape."""
        yield from super().collect()
        reads = counter(READS)
        for labels, count in tuple(self._reads.items()):
            reads.add_metric(labels, count)
        yield reads
