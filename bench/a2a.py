"""Measure the A2A gateway beside LiteLLM's: python bench/a2a.py [--quick]."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import http.client
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Run as a script, the folder itself is on the path and the one above is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, peers, programs
from bench.a2a_agent import EVENTS, card
from bench.programs import BENCH, MASTER_KEY, VIRTUAL_KEY, WORK
from bench.servers import ask

UPSTREAM_PORT = 9300
START_LIMIT = 90
SECONDS = 60
ROUNDS = 3
MESSAGES = 1500
STREAMS = 60
WARM_UP = 100
IDLE = 5_000
LITELLM = ["litellm[proxy]==1.106.2", "httptools", "a2a-sdk==1.3.0"]
KB_IN_MIB = 1048.576
UPSTREAM = f"http://127.0.0.1:{UPSTREAM_PORT}"
MESSAGE = "Which train goes to Bern, and from which track does it leave?"


@dataclass(frozen=True)
class Way:
    """Of which version the client is, and of which the agent."""

    name: str
    client: str
    agent: str


WAYS = (
    Way("1.0 over 1.0", "1.0", "modern"),
    Way("0.3 over 0.3", "0.3", "legacy"),
    Way("0.3 over 1.0", "0.3", "modern"),
    Way("1.0 over 0.3", "1.0", "legacy"),
)


@dataclass(frozen=True)
class Target:
    """What is measured."""

    name: str
    port: int
    path: str
    command: list[str]
    ways: tuple[Way, ...] = WAYS
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Client:
    """Sends messages to an agent, one after the other on one connection."""

    port: int
    path: str
    version: str
    key: str

    def __post_init__(self) -> None:
        self._made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def send(self) -> None:
        """One message, and its whole answer."""
        reply = self._ask(("SendMessage", "message/send"), "m")
        body = reply.read()
        if reply.status != http.client.OK or b'"artifacts"' not in body:
            raise RuntimeError(f"a message was answered with {reply.status}: {body[:300]!r}")

    def stream(self) -> None:
        """One message, and all events."""
        reply = self._ask(("SendStreamingMessage", "message/stream"), "m")
        body = reply.read()
        found = sum(line.startswith(b"data:") for line in body.splitlines())
        if found < EVENTS + 1:
            raise RuntimeError(f"a stream had {found} events: {body[:300]!r}")

    def hold(self) -> None:
        """A stream that goes on; nothing else can be sent afterwards."""
        reply = self._ask(("SendStreamingMessage", "message/stream"), "hold")
        if reply.status != http.client.OK or not reply.readline().startswith(b"data:"):
            raise RuntimeError(f"a stream was answered with {reply.status}")

    def close(self) -> None:
        self._made.close()

    def _ask(self, names: tuple[str, str], message_id: str) -> http.client.HTTPResponse:
        is_modern = self.version == "1.0"
        part = {"text": MESSAGE} if is_modern else {"kind": "text", "text": MESSAGE}
        message = {"messageId": message_id, "role": "ROLE_USER" if is_modern else "user", "parts": [part]}
        if not is_modern:
            message["kind"] = "message"
        body = {"jsonrpc": "2.0", "id": 1, "method": names[not is_modern], "params": {"message": message}}
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers |= {"Authorization": f"Bearer {self.key}"} | ({"A2A-Version": "1.0"} if is_modern else {})
        self._made.request("POST", self.path, json.dumps(body), headers)
        return self._made.getresponse()


def agents() -> list[dict[str, Any]]:
    return [{"agent_id": name, "url": f"{UPSTREAM}{path}"} for name, path in (("modern", ""), ("legacy", "/legacy"))]


def targets() -> list[Target]:
    """Pointsman, and LiteLLM where it can be installed."""
    own, theirs = WORK / "a2a.yaml", WORK / "a2a-litellm.yaml"
    own.write_text(json.dumps({"agents": agents(), "general_settings": {"master_key": MASTER_KEY}}))
    program = [sys.executable, "-m", "pointsman", "serve", "--config", str(own), "--host", "127.0.0.1"]
    data = {"POINTSMAN_DATA_DIR": str(WORK / "a2a-data")}
    found = [Target("pointsman", 4310, "/a2a/agents/{agent}", [*program, "--port", "4310"], environment=data)]
    refusal = peers.obtain("litellm-a2a", LITELLM)
    if refusal is not None:
        print(f"litellm: left out, {refusal}")
        return found
    theirs.write_text(json.dumps(litellm()))
    command = [str(peers.home("litellm-a2a") / "bin" / "litellm"), "--config", str(theirs), "--host", "127.0.0.1"]
    command += ["--port", "4311", "--num_workers", "1", "--telemetry", "False"]
    quiet = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return [*found, Target("litellm", 4311, "/a2a/{agent}", command, WAYS[:2], quiet)]


def litellm() -> dict[str, Any]:
    """Its config, with the cards in it; it wants the address where 0.3 has it."""
    entries = [
        {
            "agent_name": one["agent_id"],
            "agent_card_params": card(UPSTREAM_PORT, is_legacy=one["agent_id"] == "legacy") | {"url": one["url"]},
            "litellm_params": {},
        }
        for one in agents()
    ]
    return {"agents": entries, "general_settings": {"master_key": MASTER_KEY}}


@contextlib.contextmanager
def started(target: Target, cpu: int, *, real_time: bool) -> Iterator[list[int]]:
    """The processes of a program that listens at a port."""
    shutil.rmtree(WORK / "a2a-data", ignore_errors=True)
    with (WORK / f"a2a-{target.name}.log").open("wb") as log:
        process = subprocess.Popen(
            machine.pinned(target.command, cpu, real_time=real_time),
            stdout=log,
            stderr=log,
            cwd=WORK,
            env=programs.environment(target.environment),
        )
        try:
            await_port(process, target)
            yield machine.family(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def await_port(process: subprocess.Popen[bytes], target: Target) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", target.port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens at port {target.port}; see {WORK}/a2a-{target.name}.log")


@contextlib.contextmanager
def serving(target: Target, *, real_time: bool) -> Iterator[tuple[list[int], str]]:
    """A target, and the key to ask it with.

    Pointsman's is a virtual key with limits and a budget that nothing here reaches; LiteLLM has those only with a
    database, and is asked with its master key.
    """
    with started(target, machine.GATEWAY_CPU, real_time=real_time) as pids:
        if target.name != "pointsman":
            yield pids, MASTER_KEY
            return
        wanted = {"key": VIRTUAL_KEY, "rpm_limit": 10**9, "max_budget": 10**6}
        wanted["object_permission"] = {"agents": [one["agent_id"] for one in agents()]}
        status = ask(target.port, "/key/generate", json.dumps(wanted).encode())
        if status != http.client.OK:
            raise RuntimeError(f"the key was answered with {status}")
        yield pids, VIRTUAL_KEY


def messages(client: Client, pids: list[int], count: int) -> dict[str, float]:
    """CPU milliseconds of the gateway for a message, and how long a client waited."""
    for _ in range(min(WARM_UP, count // 3)):
        client.send()
    took, before = [], machine.cpu_seconds(pids)
    for _ in range(count):
        began = time.perf_counter()
        client.send()
        took.append(1000 * (time.perf_counter() - began))
    spent = machine.cpu_seconds(pids) - before
    return {"cpu_ms": 1000 * spent / count, "p50_ms": statistics.median(took)}


def streams(client: Client, pids: list[int], count: int) -> dict[str, float]:
    """CPU microseconds of the gateway for an event: what a whole stream costs, divided by how many it has."""
    client.stream()
    before = machine.cpu_seconds(pids)
    for _ in range(count):
        client.stream()
    spent = machine.cpu_seconds(pids) - before
    return {"cpu_us": 1e6 * spent / (count * (EVENTS + 2)), "stream_ms": 1000 * spent / count}


def idle(target: Target, key: str, pids: list[int], count: int) -> dict[str, float]:
    """Kilobytes for each of so many streams that say nothing, and the share of a core that all of them need."""
    held: list[Client] = []
    for number in range(WARM_UP + count):
        if number == WARM_UP:
            before = machine.memory(pids).pss
        client = Client(target.port, target.path.format(agent="modern"), "1.0", key)
        client.hold()
        held.append(client)
    after = machine.memory(pids).pss
    spent, began = machine.cpu_seconds(pids), time.monotonic()
    time.sleep(10)
    share = (machine.cpu_seconds(pids) - spent) / (time.monotonic() - began)
    for client in held:
        client.close()
    return {"count": count, "kb_each": (after - before) * KB_IN_MIB / count, "cpu_percent": 100 * share}


def measure(real_time: bool, scale: float, rounds: int) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []

    def note(target: Target, what: str, number: int, figures: dict[str, float]) -> None:
        runs.append({"target": target.name, "scenario": what, "round": number, **figures})
        told = "  ".join(f"{name} {value:,.2f}" for name, value in figures.items())
        print(f"  {number + 1} {target.name:10} {what:24} {told}", flush=True)

    every = targets()
    for number in range(rounds):
        for target in every[:: 1 if number % 2 == 0 else -1]:
            # A peer that needs ten times as long is known as well by fewer requests.
            share = scale * (1 if target.name == "pointsman" else 0.2)
            with serving(target, real_time=real_time) as (pids, key):
                for way in target.ways:
                    client = Client(target.port, target.path.format(agent=way.agent), way.client, key)
                    note(target, f"message, {way.name}", number, messages(client, pids, max(30, int(MESSAGES * share))))
                    note(target, f"event, {way.name}", number, streams(client, pids, max(5, int(STREAMS * share))))
                    client.close()
    with serving(every[0], real_time=real_time) as (pids, key):
        note(every[0], "idle streams", 0, idle(every[0], key, pids, max(200, int(IDLE * scale))))
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short runs, kept out of bench/results")
    parser.add_argument("--out", type=Path, default=None, help="where the figures go (JSON)")
    given = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    machine.raise_open_files()
    real_time = machine.can_use_real_time()
    at = dt.datetime.now(dt.UTC)
    upstream = Target("agent", UPSTREAM_PORT, "", [sys.executable, str(BENCH / "a2a_agent.py"), str(UPSTREAM_PORT)])
    with started(upstream, machine.HARNESS_CPU, real_time=real_time):
        machine.take_harness_core(real_time=real_time)
        runs = measure(real_time, 0.1 if given.quick else 1, 1 if given.quick else ROUNDS)
    report = {"at": at.isoformat(timespec="seconds"), "machine": machine.facts(), "real_time": real_time, "runs": runs}
    folder = WORK if given.quick else BENCH / "results"
    out = given.out or folder / f"{at:%Y-%m-%d-%H%M}-a2a.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
