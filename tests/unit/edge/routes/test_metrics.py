from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pointsman.edge.routes.metrics import metrics

Make = Callable[..., Any]


async def test_a_scrape_gets_the_numbers_in_prometheus_text(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    serving = make_serving()
    serving.metrics.in_flight = 3
    await metrics(serving, make_exchange(), {})
    assert wire.status == 200
    assert wire.headers["content-type"].startswith("text/plain; version=")
    assert wire.headers["x-request-id"] == "req-1"
    assert b"\nlitellm_in_flight_requests 3.0\n" in wire.body
