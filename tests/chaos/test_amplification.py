"""What fails everywhere is not made worse by asking again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from chaos.failover import ERROR, drive, http, running
from chaos.processes import FaultProxy

COUNT = 500
MOST_ATTEMPTS_PER_REQUEST = 1.2

FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "500": lambda proxy: proxy.put(answer=http("500 Oh", ERROR)),
    "429": lambda proxy: proxy.put(answer=http("429 Slow", ERROR)),
    "closing": lambda proxy: proxy.put(stop_at=0),
    "reset": lambda proxy: proxy.put(stop_at=0, stop_by="reset"),
    "garbage": lambda proxy: proxy.put(answer="220 mail.test ESMTP\r\n"),
}


@pytest.mark.requirement("failover.amplification")
@pytest.mark.parametrize("name", FAULTS)
def test_dead_upstreams_see_hardly_more_attempts_than_there_are_requests(name: str, tmp_path: Path) -> None:
    with running(tmp_path) as (gateway, bad, good):
        sides = (bad, good)
        for side in sides:
            FAULTS[name](side.proxy)
        samples = uvloop.run(drive(gateway.port, COUNT))
        attempts = sum(side.proxy.counts().begun for side in sides)
    assert len(samples) == COUNT
    assert all(sample.fault is not None and sample.fault.startswith(("b'5", "b'429")) for sample in samples)
    assert attempts <= MOST_ATTEMPTS_PER_REQUEST * COUNT
    # Even when all is lost, somebody is asked now and then.
    assert attempts >= 5
