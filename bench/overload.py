"""More load than can be carried: by the upstream, and by the gateway itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import uvloop
from system.process import Gateway

from bench.parts import (
    MOST_CONNECTIONS,
    Case,
    ModelUpstream,
    OpenLoad,
    Samples,
    Setting,
    closed_load,
    config,
    gateway,
    probe,
    quantile,
    ratio,
)
from bench.programs import MOCK_PORT, Harness

SLOTS = 50
SERVICE_SECONDS = 0.1
SPREAD = 0.5
CAPACITY = SLOTS / SERVICE_SECONDS
TIMES = 3
CALM_CONNECTIONS = 55
CALM_SECONDS = 10
WARM_UP_SECONDS = 5
SECONDS = 20
TRANSIENT = 2.0
OWN_CONNECTIONS = 32
OWN_SECONDS = 10
OWN_MOST_CONNECTIONS = 2000  # however many there are, all are soon in use; more would not fit into the listening queue
OWN_PROTECTIONS = {
    "3 x its own core": "",
    "3 x, max_in_flight: 200": "max_in_flight_requests_per_worker: 200",
}
PROTECTIONS = {
    "adaptive limit": ("", "{adaptive_concurrency: true}"),
    "max_parallel_requests: 50": (f"max_parallel_requests: {SLOTS}", "{}"),
}


def overload(setting: Setting) -> Iterator[Case]:
    """Three times what can be carried, at an upstream with 50 places, and at one that takes everything."""
    for name, (params, settings) in PROTECTIONS.items():
        upstream = ModelUpstream(slots=SLOTS, seconds=SERVICE_SECONDS, spread=SPREAD)
        with upstream, gateway(config([upstream.port], params=params, settings=settings), setting) as running:
            yield _upstreams_limit(name, running, upstream, setting)
    harness = Harness(real_time=setting.real_time)
    try:
        for name, general in OWN_PROTECTIONS.items():
            with gateway(config([MOCK_PORT], general=general), setting) as running:
                yield _own_limit(name, running, setting)
    finally:
        harness.close()


def _upstreams_limit(name: str, running: Gateway, upstream: ModelUpstream, setting: Setting) -> Case:
    seconds = setting.size(SECONDS, 6)
    closed_load(running, CALM_CONNECTIONS, setting.size(WARM_UP_SECONDS, 2), setting)
    calm = closed_load(running, CALM_CONNECTIONS, setting.size(CALM_SECONDS, 3), setting)
    samples, health = _flood(running, TIMES * CAPACITY, seconds, setting)
    case = Case("overload", name)
    figures = _figures(calm, samples, seconds) | {"at the upstream": upstream.state()["most"]}
    case.figures = figures | _health(health)
    settled = samples.since(TRANSIENT)
    case.at_least("goodput / peak", figures["goodput/s"] / calm["rps"], 0.85)
    case.at_most("p99 of the admitted, x calm", ratio(samples.good.took_ms(0.99), calm["p99"] / 1000), 3)
    case.at_most("the same without 2 s", ratio(settled.good.took_ms(0.99), calm["p99"] / 1000), 3)
    case.at_most("p99 of refusals, ms", figures["refused p99 ms"], 10)
    case.at_most("p99 of liveliness, ms", quantile(health, 0.99), 50)
    return case


def _own_limit(name: str, running: Gateway, setting: Setting) -> Case:
    seconds = setting.size(OWN_SECONDS, 3)
    calm = closed_load(running, OWN_CONNECTIONS, setting.size(4, 1), setting)
    samples, health = _flood(running, TIMES * calm["rps"], seconds, setting, OWN_MOST_CONNECTIONS)
    case = Case("overload", name)
    case.figures = _figures(calm, samples, seconds) | _health(health)
    return case


def _flood(
    running: Gateway, rate: float, seconds: float, setting: Setting, connections: int = MOST_CONNECTIONS
) -> tuple[Samples, list[float]]:
    load = OpenLoad(running, rate, seconds, setting, connections=connections)
    health = uvloop.run(probe(running.port, load))
    return load.samples(), health


def _figures(calm: dict[str, Any], samples: Samples, seconds: float) -> dict[str, Any]:
    return {
        "requests": len(samples),
        "peak/s": calm["rps"],
        "goodput/s": samples.goodput(0, seconds),
        "after 2 s": samples.goodput(TRANSIENT, seconds),
        "calm p99 ms": calm["p99"] / 1000,
        "calm failures": calm["bad"] + calm["errors"],
        "admitted p50 ms": samples.good.took_ms(0.5),
        "p99 ms": samples.good.took_ms(0.99),
        "p99 ms after 2 s": samples.since(TRANSIENT).good.took_ms(0.99),
        "refused": len(samples.refused),
        "refused p50 ms": samples.refused.took_ms(0.5),
        "refused p99 ms": samples.refused.took_ms(0.99),
        "neither": samples.other,
        "outcomes": samples.outcomes(),
        # Good answers in each second, to see how it found its way.
        "by second": [round(samples.goodput(at, at + 1)) for at in range(int(seconds))],
    }


def _health(times: list[float]) -> dict[str, Any]:
    return {"live p99 ms": quantile(times, 0.99), "live max ms": quantile(times, 1)}
