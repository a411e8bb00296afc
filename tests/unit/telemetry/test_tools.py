from __future__ import annotations

import pytest

from pointsman.telemetry.metrics import METRICS, Metrics
from pointsman.telemetry.tools import AGENT_METRICS, MAX_OUTCOMES, TOOL_METRICS, ToolMeters


@pytest.mark.requirement("mcp.metrics")
def test_calls_are_told_by_server_tool_and_outcome() -> None:
    metrics = Metrics("1")
    for outcome in ("success", "success", "error"):
        metrics.tools.bind("a", "x").observe(outcome, 0.02)
    _, text = metrics.render()
    lines = text.decode().splitlines()
    assert 'pointsman_mcp_tool_calls_total{mcp_server="a",outcome="success",tool="x"} 2.0' in lines
    assert 'pointsman_mcp_tool_calls_total{mcp_server="a",outcome="error",tool="x"} 1.0' in lines
    assert 'pointsman_mcp_tool_call_seconds_bucket{le="0.025",mcp_server="a",tool="x"} 3.0' in lines


def test_a_tool_has_one_meter() -> None:
    meters = ToolMeters(10)
    assert meters.bind("a", "x") is meters.bind("a", "x")


def test_tools_beyond_the_bound_are_counted_together() -> None:
    meters = ToolMeters(2)
    for number in range(9):
        meters.bind("a", f"t{number}").observe("success", 1.0)
    calls, *_ = meters.collect()
    assert [(sample.labels["tool"], sample.value) for sample in calls.samples] == [("t0", 1), ("t1", 1), ("other", 7)]


def test_outcomes_beyond_the_bound_are_counted_together() -> None:
    meter = ToolMeters(2).bind("a", "x")
    for number in range(100):
        meter.observe(f"rpc {number}", 0.0)
    assert len(meter.outcomes) == MAX_OUTCOMES + 1
    assert meter.outcomes["other"] == 100 - MAX_OUTCOMES


def test_lists_that_cannot_be_read_are_told_by_server() -> None:
    meters = ToolMeters(2)
    for server, outcome in (("a", "ok"), ("a", "timeout"), ("a", "ok"), ("b", "ok")):
        meters.read(server, outcome)
    *_, reads = meters.collect()
    found = {tuple(sample.labels.values()): sample.value for sample in reads.samples}
    assert found == {("a", "ok"): 2, ("a", "timeout"): 1, ("other", "ok"): 1}


def test_they_are_documented() -> None:
    assert set(TOOL_METRICS) <= set(METRICS)


@pytest.mark.requirement("a2a.metrics")
def test_calls_of_agents_are_told_by_operation_and_outcome() -> None:
    metrics = Metrics("1")
    metrics.agents.bind("a", "send").observe("success", 0.02)
    lines = metrics.render()[1].decode().splitlines()
    assert 'pointsman_a2a_calls_total{agent="a",operation="send",outcome="success"} 1.0' in lines
    assert 'pointsman_a2a_call_seconds_bucket{agent="a",le="0.025",operation="send"} 1.0' in lines
    assert set(AGENT_METRICS) <= set(METRICS)
