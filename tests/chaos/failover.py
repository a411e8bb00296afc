"""A steady load on a group of two deployments, one of which fails, in every way of :data:`SCENARIOS`.

``python -m chaos.failover [REQUESTS] [SCENARIO ...]``, from the folder of the tests, prints a table: 5,000 requests for
each way, by default. Times are in milliseconds; a large lag says that the machine was busy with something else, and
that the figures are worth nothing.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from chaos.load import Client, Plan, request_for, told
from chaos.processes import FaultProxy, Upstream
from system.process import Gateway

KEY = "sk-chaos"
CONFIG = """
model_list:
  - model_name: m
    litellm_params: {{model: openai/either, api_base: "http://127.0.0.1:{bad}/v1", api_key: sk-upstream-1, timeout: 1, stream_timeout: 1}}
    model_info: {{id: bad}}
  - model_name: m
    litellm_params: {{model: openai/either, api_base: "http://127.0.0.1:{good}/v1", api_key: sk-upstream-1, timeout: 1, stream_timeout: 1}}
    model_info: {{id: good}}
general_settings:
  master_key: {key}
"""  # noqa: E501  # YAML
RATE = 300.0
"""Requests a second, in the suite."""
FULL_RATE = 1000.0
"""By hand: about half of what two cores do that run client, proxies and upstreams too."""
AT_ONCE = 2000
STREAMED_EVERY = 3
FIRST_DEADLINE = 1.5
GUARD = 15.0
ATTEMPTS = re.compile(r'^litellm_deployment_total_requests_total\{[^}]*model_id="bad"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass
class Side:
    """One upstream behind a fault proxy."""

    upstream: Upstream = field(default_factory=Upstream)

    def __post_init__(self) -> None:
        self.proxy = FaultProxy(self.upstream.port)

    def freeze(self) -> None:
        """Let the upstream hang, and the proxy begin to count."""
        self.proxy.put()
        self.upstream.freeze()

    def kill(self) -> None:
        """End both."""
        self.proxy.kill()
        self.upstream.kill()


@dataclass(frozen=True)
class Scenario:
    """A way to fail."""

    fail: Callable[[Side], None]
    is_counted: bool = True
    """Whether the proxy sees the requests that it fails."""


def faulty(**fault: object) -> Scenario:
    """A way that the proxy knows."""
    return Scenario(lambda bad: bad.proxy.put(**fault))


def answering(whole: str, stream: str | None = None, **more: object) -> Scenario:
    """A way to answer."""
    return faulty(answer=whole, stream_answer=stream, **more)


def http(status: str, body: str, *lines: str, kind: str = "application/json") -> str:
    """A whole answer."""
    head = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head) + "\r\n\r\n" + body


ERROR = '{"error": {"message": "It failed", "type": "server_error", "param": null, "code": null}}'
ROLE = (
    'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
)
# A whole answer that says to be longer than it is, and a stream that lasts as long as its connection.
CUT_WHOLE = (
    'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{"id": "c", "choices": [{"mess'
)
CUT_STREAM = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{ROLE}"
HTML = "<!doctype html><html><body>It works!</body></html>"

SCENARIOS: dict[str, Scenario] = {
    "killed": Scenario(lambda bad: bad.proxy.kill(), is_counted=False),
    "frozen": Scenario(lambda bad: bad.freeze()),
    "deaf": Scenario(lambda bad: bad.proxy.put(is_deaf=True), is_counted=False),
    "silent": faulty(is_silent=True),
    "closing": faulty(stop_at=0),
    "resetting": faulty(stop_at=0, stop_by="reset"),
    "resetting in the head": faulty(stop_at=30, stop_by="reset"),
    "stalling in the head": faulty(stop_at=30, stop_by="stall"),
    "stalling before the first token": answering(CUT_WHOLE, CUT_STREAM, stop_at=len(CUT_WHOLE), stop_by="stall"),
    "cut before the first token": answering(CUT_WHOLE, CUT_STREAM, stop_at=len(CUT_WHOLE)),
    "500": answering(http("500 Oh", ERROR)),
    "429": answering(http("429 Slow", ERROR)),
    "429 with Retry-After": answering(http("429 Slow", ERROR, "retry-after: 7")),
    "HTML": answering(http("200 OK", HTML, kind="text/html")),
    "HTML as JSON": answering(http("200 OK", HTML)),
    "empty": answering(http("200 OK", ""), http("200 OK", "", kind="text/event-stream")),
    "error inside": answering(http("200 OK", ERROR), http("200 OK", f"data: {ERROR}\n\n", kind="text/event-stream")),
    "not HTTP": answering("220 mail.test ESMTP\r\n"),
    "corrupt": faulty(corrupt_at=9),
}


@dataclass(frozen=True)
class Sample:
    """One request; times in seconds."""

    begun: float
    lag: float
    """How much later than planned it was sent."""
    took: float
    fault: str | None


@dataclass(frozen=True)
class Result:
    """What came of one scenario."""

    calm: list[Sample]
    hit: list[Sample]
    failed_over: int
    """Requests that the failing deployment got at all, where they are counted."""
    late: int
    """Those that it got after its fifth failure; where the proxy does not see them: in the second half of the load."""

    @property
    def faults(self) -> list[str]:
        """What clients saw other than a good answer."""
        return [sample.fault for sample in (*self.calm, *self.hit) if sample.fault is not None]

    @property
    def lag(self) -> float:
        """How long the machine stood still, as far as this process has noticed."""
        return max(sample.lag for sample in (*self.calm, *self.hit))

    @property
    def rest(self) -> list[Sample]:
        """The requests that began when the first deadline had passed."""
        return [sample for sample in self.hit if sample.begun - self.hit[0].begun > FIRST_DEADLINE]


async def drive(port: int, count: int, rate: float = RATE) -> list[Sample]:
    """Send requests at the rate, every third one streamed, whether or not the last ones are answered."""
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(AT_ONCE)
    idle: list[Client] = []
    samples: list[Sample] = []
    started = time.perf_counter()

    async def send(number: int, begun: float) -> None:
        lag = time.perf_counter() - begun
        client = idle.pop() if idle else None
        if client is None or not client.is_open:
            _, client = await loop.create_connection(Client, "127.0.0.1", port)
        is_stream = number % STREAMED_EVERY == 0
        try:
            async with asyncio.timeout(GUARD):
                fault = await client.run(Plan(request_for("m", KEY, stream=is_stream), is_stream))
        except TimeoutError:
            fault = "no answer"
        samples.append(
            Sample(begun, lag, time.perf_counter() - begun, fault or verdict(client.received, is_stream=is_stream))
        )
        if client.is_open and fault is None:
            idle.append(client)
        else:
            client.close()
        places.release()

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            begun = started + number / rate
            await asyncio.sleep(max(0.0, begun - time.perf_counter()))
            await places.acquire()
            tasks.create_task(send(number, begun))
    for client in idle:
        client.close()
    return sorted(samples, key=lambda sample: sample.begun)


def verdict(reply: bytes, *, is_stream: bool) -> str | None:
    """What is wrong with a reply of status 200 whose framing is whole."""
    is_good = (
        b"token 11" in reply and b"data: [DONE]" in reply and b'"error"' not in reply
        if is_stream
        else b'"Clear"' in reply
    )
    return None if is_good else told(reply)


@contextmanager
def running(home: Path, config: str = CONFIG) -> Iterator[tuple[Gateway, Side, Side]]:
    """A gateway, the side that will fail, and the one that will not."""
    bad, good = Side(), Side()
    try:
        with Gateway(home, config.format(bad=bad.proxy.port, good=good.proxy.port, key=KEY)) as gateway:
            gateway.key = KEY
            yield gateway, bad, good
    finally:
        bad.kill()
        good.kill()


def run(scenario: Scenario, home: Path, calm: int, count: int, rate: float = RATE) -> Result:
    """Load the gateway before and under a fault."""
    with running(home) as (gateway, bad, _):
        before = uvloop.run(drive(gateway.port, calm, rate))
        scenario.fail(bad)
        hit = uvloop.run(drive(gateway.port, count // 2, rate))
        middle = attempts(gateway)
        hit += uvloop.run(drive(gateway.port, count - count // 2, rate))
        if scenario.is_counted:
            counts = bad.proxy.counts()
            return Result(before, hit, counts.begun, counts.late)
        return Result(before, hit, 0, attempts(gateway) - middle)


def attempts(gateway: Gateway) -> int:
    """How many the failing deployment has had, as the gateway counts them when they end."""
    return sum(int(float(value)) for value in ATTEMPTS.findall(gateway.get("/metrics").body.decode()))


def quantile(samples: list[Sample], share: float) -> float:
    """Milliseconds within which that share of the requests was answered."""
    times = sorted(sample.took for sample in samples) or [math.nan]
    return 1000 * times[min(len(times) - 1, int(share * len(times)))]


def main(count: int, names: list[str]) -> None:
    """Print the table."""
    heads = (
        "fault",
        "errors",
        "got",
        "late",
        "share",
        "calm p50",
        "p99",
        "hit p50",
        "p99",
        "rest p50",
        "p99",
        "ratio",
        "lag",
    )
    row = "{:32}" + "{:>9}" * (len(heads) - 1)
    print(row.format(*heads))  # noqa: T201  # a table for whoever runs it
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory() as home:
            result = run(SCENARIOS[name], Path(home), count, count, FULL_RATE)
        figures = [quantile(part, share) for part in (result.calm, result.hit, result.rest) for share in (0.5, 0.99)]
        cells = [f"{value:.1f}" for value in (*figures, figures[5] / figures[1], 1000 * result.lag)]
        share = f"{100 * result.late / count:.2f}%"
        print(row.format(name, len(result.faults), result.failed_over, result.late, share, *cells), flush=True)  # noqa: T201
        for fault in sorted(set(result.faults))[:3]:
            print("   ", fault)  # noqa: T201


if __name__ == "__main__":
    begun = time.monotonic()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000, sys.argv[2:])
    print(f"{time.monotonic() - begun:.0f} s")  # noqa: T201
