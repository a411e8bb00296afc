"""While one of two deployments fails, no client sees it, and it is soon left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from chaos.failover import CONFIG, SCENARIOS, Result, Sample, Scenario, Side, drive, run, running
from chaos.test_aborts import settle

COUNT = 300
"""Requests under each fault; ``python -m chaos.failover`` sends more and prints latencies."""
CALM = 60
MOST_LATE = COUNT // 100
TRIES = 3
LAG = 0.25
IN_FLIGHT = 20
LEAST_SHARE = 0.2
PATIENCE = 20.0
FORGIVING = CONFIG + "router_settings: {{cooldown_time: 0.2}}\n"
HELD = CONFIG.replace("openai/either", "openai/slow-head, order: 0", 1)
"""The first deployment gets all requests, and answers none."""


def run_undisturbed(scenario: Scenario, home: Path) -> Result:
    """A run during which the machine did not stand still: with deadlines of a second, everybody seems to fail then.

    Where the gateway alone stood still, which nobody has measured, it has sent all that came meanwhile at once.
    """
    for number in range(TRIES):
        folder = home / str(number)
        folder.mkdir()
        result = run(scenario, folder, CALM, COUNT)
        if result.lag < LAG and result.late <= MOST_LATE:
            break
    return result


@pytest.mark.requirement("failover.one-of-two")
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_client_sees_that_one_of_two_deployments_is(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    result = run_undisturbed(scenario, tmp_path)
    assert result.faults == []
    assert len(result.hit) == COUNT
    assert result.late <= MOST_LATE
    assert result.failed_over or not scenario.is_counted


@pytest.mark.requirement("failover.one-of-two")
@pytest.mark.parametrize("end", [Side.kill, lambda side: side.proxy.put(is_closed=True)], ids=["killed", "reset"])
async def test_requests_that_an_upstream_takes_along_when_it_dies_are_answered_by_the_other(
    end: Callable[[Side], None], tmp_path: Path
) -> None:
    with running(tmp_path, HELD) as (gateway, bad, _):

        def load() -> list[Sample]:
            return uvloop.run(drive(gateway.port, IN_FLIGHT))

        loading = asyncio.get_running_loop().run_in_executor(None, load)
        await asyncio.to_thread(settle, lambda: bad.upstream.state()["held"] >= IN_FLIGHT // 2, "nothing is held")
        end(bad)
        samples = await loading
    assert [sample.fault for sample in samples] == [None] * IN_FLIGHT


@pytest.mark.requirement("failover.one-of-two")
@pytest.mark.parametrize(
    "fault",
    [
        {"slice": 5},
        {"latency": 0.002, "jitter": 0.01, "slice": 100},
        {"bandwidth": 20_000},
    ],
    ids=["in small pieces", "at an uneven pace", "narrow"],
)
def test_an_upstream_that_is_only_awkward_keeps_its_share(fault: dict[str, Any], tmp_path: Path) -> None:
    with running(tmp_path) as (gateway, awkward, _):
        awkward.proxy.put(**fault)
        samples = uvloop.run(drive(gateway.port, CALM))
        counts = awkward.proxy.counts()
    assert [sample.fault for sample in samples] == [None] * CALM
    assert LEAST_SHARE * CALM <= counts.begun <= CALM


@pytest.mark.requirement("failover.one-of-two")
def test_a_deployment_that_has_recovered_is_asked_again(tmp_path: Path) -> None:
    with running(tmp_path, FORGIVING) as (gateway, bad, _):
        bad.proxy.put(stop_at=0)
        samples = uvloop.run(drive(gateway.port, CALM))
        bad.proxy.put()
        deadline = time.monotonic() + PATIENCE
        while bad.proxy.counts().begun < CALM:
            assert time.monotonic() < deadline, "it is left alone"
            samples += uvloop.run(drive(gateway.port, CALM))
    assert [sample.fault for sample in samples if sample.fault is not None] == []
