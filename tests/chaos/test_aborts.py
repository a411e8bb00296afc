from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from chaos.load import Plans, Tally, request_for, run_load
from system.process import Gateway, read_reply

KEY = "sk-chaos"
COUNT = int(os.environ.get("POINTSMAN_CHAOS_REQUESTS", "100000"))
WARM_UP = max(1000, COUNT // 10)
CONNECTIONS = 32
ABORTED_SHARE = 0.3
SEED = 20_261_122
SETTLE_SECONDS = 10.0
MEGABYTE = 1_000_000
PAGE = os.sysconf("SC_PAGE_SIZE")
CONFIG = """
model_list:
  - model_name: "*"
    litellm_params: {{model: openai/*, api_base: "http://127.0.0.1:{port}/v1", api_key: x}}
general_settings:
  master_key: {key}
"""


class Upstream:
    """The upstream's process, and what it says of itself."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("upstream_process.py"))], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.stop()


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, CONFIG.format(port=upstream.port, key=KEY)) as running:
        running.key = KEY
        yield running


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    sockets: int
    rss: int
    in_flight: float
    waiting: float
    busy_upstreams: float


def rss(gateway: Gateway) -> int:
    return int(Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1]) * PAGE


def footprint(gateway: Gateway) -> Footprint:
    """Measured while no client is connected but the one that asks, whose own connection may still be closing."""
    text = gateway.get("/metrics").body.decode()
    opened_sockets = open_sockets(gateway)
    opened, idle = connections(text)
    # One that the upstream closes between the two looks would be taken off without having been counted.
    if connections(gateway.get("/metrics").body.decode()) != (opened, idle):
        return footprint(gateway)
    return Footprint(
        sockets=opened_sockets - int(idle),
        rss=rss(gateway),
        in_flight=gauge(text, "litellm_in_flight_requests") - 1,
        waiting=gauge(text, "pointsman_upstream_requests_waiting"),
        busy_upstreams=opened - idle,
    )


def connections(text: str) -> tuple[float, float]:
    """To the upstream: open ones, and how many of them are idle."""
    return gauge(text, "pointsman_upstream_connections_open"), gauge(text, "pointsman_upstream_connections_idle")


def open_sockets(gateway: Gateway) -> int:
    count = 0
    for entry in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        # One that closes meanwhile is not open.
        with contextlib.suppress(FileNotFoundError):
            count += str(entry.readlink()).startswith("socket:")
    return count


def gauge(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def settle(condition: Callable[[], bool], what: str) -> None:
    """Poll until something that another process does has come about."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def settled(gateway: Gateway, sockets: int) -> Footprint:
    """The footprint once it is no larger than at rest."""
    last = footprint(gateway)

    def is_at_rest() -> bool:
        nonlocal last
        last = footprint(gateway)
        return last.sockets <= sockets and not (last.in_flight or last.waiting or last.busy_upstreams)

    settle(is_at_rest, f"not at rest, or more than {sockets} sockets")
    return last


def load(gateway: Gateway, count: int, seed: int) -> Tally:
    plans = Plans(KEY, seed, ABORTED_SHARE)
    return uvloop.run(run_load(gateway.port, plans, count, CONNECTIONS))


@pytest.mark.requirement("wire.no-leaks")
def test_after_many_requests_with_random_aborts_everything_is_where_it_began(gateway: Gateway) -> None:
    begun = footprint(gateway).sockets
    load(gateway, WARM_UP, SEED)
    before = settled(gateway, begun)
    tally = load(gateway, COUNT, SEED + 1)
    after = settled(gateway, before.sockets)
    assert tally.faults == []
    assert tally.complete + tally.aborted == COUNT
    assert abs(tally.aborted / COUNT - ABORTED_SHARE) < 0.05
    # Allocators keep some pages; a leak of 20 bytes per request would be 2 MB.
    assert after.rss - before.rss < 2 * MEGABYTE
    assert gateway.get("/v1/models").status == 200


def state(upstream_port: int) -> dict[str, int]:
    with socket.create_connection(("127.0.0.1", upstream_port), 10) as sock:
        sock.sendall(b"GET /state HTTP/1.1\r\nHost: a\r\n\r\n")
        found: dict[str, int] = json.loads(read_reply(sock).body)
        return found


@pytest.mark.requirement("wire.disconnect")
@pytest.mark.parametrize("phase", ["slow-head", "slow-token", "slow-middle"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_cancels_its_upstream(
    gateway: Gateway, upstream: Upstream, phase: str, *, stream: bool
) -> None:
    left = state(upstream.port)["left"]
    sock = gateway.connect()
    sock.sendall(request_for(phase, KEY, stream=stream))
    settle(lambda: state(upstream.port)["held"] == 1, "the request did not reach the upstream")
    if phase == "slow-middle" and stream:
        # The client has seen the first tokens.
        received = b""
        while b"token 2" not in received:
            received += sock.recv(1 << 16)
    sock.close()
    settle(lambda: state(upstream.port)["left"] == left + 1, "the upstream was not let go")
    assert footprint(gateway).busy_upstreams == 0
    assert footprint(gateway).in_flight == 0


@pytest.mark.requirement("wire.backpressure")
def test_a_client_that_does_not_read_slows_its_upstream_and_costs_no_memory(
    gateway: Gateway, upstream: Upstream
) -> None:
    gateway.post("/v1/chat/completions", {"model": "flood-1", "messages": [], "stream": True})
    before, taken = rss(gateway), state(upstream.port)["flooded"]
    with gateway.connect() as sock:
        sock.sendall(request_for("flood-200", KEY, stream=True))
        last = -1

        def has_stopped() -> bool:
            nonlocal last
            now = state(upstream.port)["flooded"]
            # Asking twice with a round trip through the gateway between them gives it time to take more.
            gateway.get("/health/liveliness")
            is_same, last = now == last and now > taken, now
            return is_same

        settle(has_stopped, "the upstream was never held back")
        assert state(upstream.port)["flooded"] - taken < 20 * MEGABYTE
        assert rss(gateway) - before < 10 * MEGABYTE
        received = 0
        while received < 50 * MEGABYTE:
            received += len(sock.recv(1 << 20))
        assert rss(gateway) - before < 10 * MEGABYTE
    settle(lambda: footprint(gateway).busy_upstreams == 0, "the upstream was not let go")
