"""What is measured, and how one run of it becomes figures."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from bench import machine, programs
from bench.programs import CHAT, EMBEDDINGS, VIRTUAL_KEY, Harness, Load
from bench.servers import Server

Figures = dict[str, Any]
HOLD_LIMIT = 60
SETTLE = 1.5  # seconds of silence before memory is read


@dataclass(frozen=True)
class Scenario:
    name: str
    load: Load
    what: str
    is_fresh: bool = False  # on a process that has done nothing before
    has_direct: bool = True
    only: str | None = None  # the target that it means something to
    warm_up: float = 1.0

    def for_target(self, server: Server) -> Scenario:
        """The same load where a slow peer could not show anything with it.

        Paced streams are as many as the target carries, as the cost of a chunk is asked for and not the rate;
        many connections get the time that it takes to answer them all.
        """
        if self.name == "sse-paced":
            return replace(self, load=replace(self.load, connections=server.target.paced_streams))
        if self.name.startswith("wait-"):
            return replace(self, load=replace(self.load, seconds=max(self.load.seconds, server.target.wait_seconds)))
        return self


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("chat", Load("closed", CHAT, "chat", 32, 4), "chat, 1 kB, 32 connections"),
        Scenario("chat-100k", Load("closed", CHAT, "chat-100k", 16, 4), "chat, 100 kB prompt, 16 connections"),
        Scenario("embeddings", Load("closed", EMBEDDINGS, "embeddings", 32, 4), "embeddings, 1536 floats"),
        Scenario("sse-burst", Load("stream", CHAT, "sse-burst", 16, 4), "SSE, 50 chunks at once, 16 streams"),
        Scenario(
            "translated",
            Load("stream", CHAT, "translated", 16, 4),
            "the same from Anthropic, translated",
            has_direct=False,
            only="pointsman",
        ),
        Scenario("sse-paced", Load("stream", CHAT, "sse-paced", 100, 5), "SSE, 50 chunks 20 ms apart, 100 streams"),
        Scenario("ttft", Load("stream", CHAT, "sse-paced", 2, 4), "time to first token, 2 paced streams"),
        Scenario("wait-1000", Load("closed", CHAT, "chat-wait", 1000, 4), "60 ms upstream, 1,000 connections"),
        Scenario("wait-2000", Load("closed", CHAT, "chat-wait", 2000, 4), "60 ms upstream, 2,000 connections"),
        Scenario(
            "idle-streams",
            Load("hold", CHAT, "sse-hold", 1000, HOLD_LIMIT),
            "1,000 idle streams",
            is_fresh=True,
            has_direct=False,
        ),
        Scenario("start", Load("closed", CHAT, "chat", 1, 1), "start", is_fresh=True, has_direct=False),
        # The last one, because from then on there is a store of keys.
        Scenario(
            "key",
            Load("closed", CHAT, "chat", 32, 4, key=VIRTUAL_KEY),
            "chat with a virtual key, two limits, a budget and the ledger in SQLite",
            has_direct=False,
            only="pointsman",
        ),
    )
}


def run_load(server: Server, scenario: Scenario, harness: Harness) -> Figures:
    """One warm-up and one measured run."""
    load = scenario.load
    warm = _timed(server, replace(load, seconds=scenario.warm_up), harness)
    server.calm_down()
    figures = _timed(server, load, harness)
    figures["warm_up"] = {k: warm[k] for k in ("max", "failures", "unfinished", "complaint", "losses") if k in warm}
    figures["failures"] += warm["failures"]
    server.calm_down()
    return figures


def _timed(server: Server, load: Load, harness: Harness) -> Figures:
    lost_before = machine.network_losses()
    process = harness.start_load(load, server.target.port)
    programs.expect_line(process.stdout, "go")
    began, gateway, mock = time.monotonic(), machine.cpu_seconds(server.pids), harness.mock_seconds()
    connecting = machine.cpu_seconds([process.pid])
    finished_before = harness.load_seconds()
    figures = programs.result(process, load.seconds)
    wall = time.monotonic() - began
    gateway = machine.cpu_seconds(server.pids) - gateway
    mock = harness.mock_seconds() - mock
    loading = harness.load_seconds() - finished_before - connecting
    figures["losses"] = {key: n - lost_before[key] for key, n in machine.network_losses().items()}
    figures["failures"] = figures["bad"] + figures["errors"]
    figures["cpu"] = round(gateway / wall, 3)
    figures["harness_cpu"] = round((mock + loading) / wall, 3)
    figures["rps"] = round(figures["ok"] / figures["seconds"], 1)
    figures["cpu_us_per_request"] = _share(gateway, figures["ok"] + figures["late"])
    if load.mode == "stream":
        figures["chunks_per_s"] = round(figures["chunks"] / figures["seconds"], 1)
        figures["cpu_us_per_chunk"] = _share(gateway, figures["chunks"] + figures["late_chunks"])
    return figures


def _share(cpu_seconds: float, count: int) -> float | None:
    return round(cpu_seconds * 1e6 / count, 2) if count else None


def run_idle_streams(server: Server, scenario: Scenario, harness: Harness) -> Figures:
    """Memory of the gateway without and with the streams. Kernel memory of the sockets is not in it.

    A few streams are opened first, for what is allocated once. The process is a new one: memory that an
    earlier load left free would hide what the streams take.
    """
    few = replace(scenario.load, connections=8)
    _held(server, few, harness)
    before = machine.memory(server.pids)
    held, during = _held(server, scenario.load, harness)
    count = held["held"]
    return held | {
        "failures": held["bad"] + held["errors"] + (scenario.load.connections - count),
        "pss_before_mb": round(before.pss, 2),
        "pss_during_mb": round(during.pss, 2),
        "kib_per_stream": round((during.pss - before.pss) * 1024 / count, 2) if count else None,
    }


def _held(server: Server, load: Load, harness: Harness) -> tuple[Figures, machine.Memory]:
    process = harness.start_load(load, server.target.port)
    programs.expect_line(process.stdout, "go")
    programs.expect_line(process.stdout, "held")
    time.sleep(SETTLE)
    during = machine.memory(server.pids)
    figures = programs.result(process, load.seconds)
    server.calm_down()
    return figures, during
