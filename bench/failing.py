"""Upstreams that fail, or are slow now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaos import failover as chaos
from system.process import Gateway

from bench.parts import (
    Case,
    ModelUpstream,
    OpenLoad,
    Samples,
    Setting,
    closed_load,
    config,
    gateway,
    open_load,
    ratio,
)
from bench.programs import GROUP, MASTER_KEY

FAULTS = ("killed", "frozen", "resetting", "silent", "deaf", "500", "429", "429 with Retry-After")
REQUESTS = 5000
FAILING_SECONDS = 16
"""At least so long, so that the first two rests of a deployment, 5 and 10 s, have ended."""
STREAMED = 1 / 3
CAPACITY_CONNECTIONS = 32
CAPACITY_SECONDS = 3
DEADLINES = "timeout: 1, stream_timeout: 1"
AMPLIFIED_RATE = 500.0
HEDGED_RATE = 400.0
HEDGING_WARM_UP = 2.0
HEDGING = f"{{hedging: {{{GROUP}: {{delay: p95, budget_percent: 5}}}}}}"
BIMODAL = {"seconds": 0.02, "spread": 0.2, "slow_share": 0.02, "slow_seconds": 0.4}


@contextmanager
def two_sides(setting: Setting) -> Iterator[tuple[Gateway, chaos.Side, chaos.Side]]:
    """A gateway before two upstreams, each behind a proxy that can fail."""
    bad, good = chaos.Side(), chaos.Side()
    text = chaos.CONFIG.format(bad=bad.proxy.port, good=good.proxy.port, key=MASTER_KEY)
    try:
        with gateway(text, setting) as running:
            yield running, bad, good
    finally:
        bad.kill()
        good.kill()


def failover(setting: Setting) -> Iterator[Case]:
    """One of two deployments fails under half of the load that the whole chain can carry."""
    with two_sides(setting) as (running, _, _):
        seconds = setting.size(CAPACITY_SECONDS, 1)
        capacity = closed_load(running, CAPACITY_CONNECTIONS, seconds, setting)["rps"]
    for name in FAULTS:
        yield _fail(name, capacity / 2, setting)


def _fail(name: str, rate: float, setting: Setting) -> Case:
    count = setting.size(max(REQUESTS, round(rate * FAILING_SECONDS)), 1000)
    fault = chaos.SCENARIOS[name]
    with two_sides(setting) as (running, bad, _):
        _mixed(running, rate, 1, setting)
        calm = _mixed(running, rate, count / rate, setting)
        fault.fail(bad)
        first = _mixed(running, rate, count / 2 / rate, setting)
        seen = chaos.attempts(running)
        second = _mixed(running, rate, count / 2 / rate, setting)
        # What the proxy cannot see counts from the middle on, when five attempts have failed long ago.
        late = bad.proxy.counts().late if fault.is_counted else chaos.attempts(running) - seen
    hit, rest = Samples(first + second), Samples(first.since(chaos.FIRST_DEADLINE) + second)
    case = Case("failover", name)
    case.figures = {
        "rate": rate,
        "requests": len(hit),
        "errors": calm.errors + hit.errors,
        "late share": late / len(hit),
        "calm p50 ms": calm.took_ms(0.5),
        "calm p99 ms": calm.took_ms(0.99),
        "hit p99 ms": hit.took_ms(0.99),
        "rest p50 ms": rest.took_ms(0.5),
        "rest p99 ms": rest.took_ms(0.99),
        "rest max ms": rest.took_ms(1),
        "outcomes": Samples(calm + hit).outcomes(),
    }
    case.at_most("client errors", case.figures["errors"], 0)
    case.at_most("share of requests that it got after its fifth failure", case.figures["late share"], 0.01)
    case.at_most("p99 after the first deadline, x calm", ratio(rest.took_ms(0.99), calm.took_ms(0.99)), 1.5)
    return case


def _mixed(running: Gateway, rate: float, seconds: float, setting: Setting) -> Samples:
    """Every third request is streamed."""
    whole = OpenLoad(running, rate * (1 - STREAMED), seconds, setting)
    streams = OpenLoad(running, rate * STREAMED, seconds, setting, stream=True)
    return Samples(whole.samples() + streams.samples())


def amplification(setting: Setting) -> Iterator[Case]:
    """Both deployments fail every request."""
    seconds = setting.size(REQUESTS, 1000) / AMPLIFIED_RATE
    for name in ("500", "resetting"):
        with two_sides(setting) as (running, bad, good):
            for side in (bad, good):
                chaos.SCENARIOS[name].fail(side)
            samples = open_load(running, AMPLIFIED_RATE, seconds, setting)
            attempts = sum(side.proxy.counts().begun for side in (bad, good))
        case = Case("amplification", name)
        case.figures = {
            "requests": len(samples),
            "attempts": attempts,
            "attempts / requests": attempts / len(samples),
            "p50 ms": samples.took_ms(0.5),
            "p99 ms": samples.took_ms(0.99),
            "outcomes": samples.outcomes(),
        }
        case.at_most("attempts / requests", case.figures["attempts / requests"], 1.2)
        yield case


def hedging(setting: Setting) -> Iterator[Case]:
    """Two upstreams of which each takes 20 times as long for 2 % of its requests."""
    for stream in (False, True):
        kind = "streams" if stream else "whole answers"
        plain = _bimodal(f"{kind}, without", "{}", setting, stream=stream)
        yield plain
        hedged = _bimodal(f"{kind}, hedged", HEDGING, setting, stream=stream)
        for what in ("p99 ms", "first p99 ms") if stream else ("p99 ms",):
            left = ratio(hedged.figures[what], plain.figures[what])
            hedged.at_least(f"cut of {what.removesuffix(' ms')}", None if left is None else 1 - left, 0.6)
        hedged.at_most("extra attempts", hedged.figures["extra attempts"], 0.06)
        hedged.at_most("client errors", hedged.figures["errors"], 0)
        yield hedged


def _bimodal(name: str, settings: str, setting: Setting, *, stream: bool) -> Case:
    seconds = setting.size(REQUESTS, 1000) / HEDGED_RATE
    with (
        ModelUpstream(**BIMODAL, seed=1) as one,
        ModelUpstream(**BIMODAL, seed=2) as other,
        gateway(config([one.port, other.port], settings=settings), setting) as running,
    ):
        open_load(running, HEDGED_RATE, HEDGING_WARM_UP, setting, stream=stream)
        before = one.state()["asked"] + other.state()["asked"]
        samples = open_load(running, HEDGED_RATE, seconds, setting, stream=stream)
        asked = one.state()["asked"] + other.state()["asked"] - before
    case = Case("hedging", name)
    case.figures = {
        "requests": len(samples),
        "errors": samples.errors,
        "extra attempts": asked / len(samples) - 1,
        "p50 ms": samples.took_ms(0.5),
        "p95 ms": samples.took_ms(0.95),
        "p99 ms": samples.took_ms(0.99),
        "max ms": samples.took_ms(1),
    }
    if stream:
        case.figures["first p99 ms"] = samples.first_ms(0.99)
    return case
