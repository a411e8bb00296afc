"""Measure the MCP gateway beside FastMCP's proxy: python bench/mcp.py [--quick]."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Run as a script, the folder itself is on the path and the one above is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, peers, programs
from bench.mcp_client import Client, timed
from bench.programs import BENCH, MASTER_KEY, VIRTUAL_KEY, WORK
from bench.servers import ask

UPSTREAM_PORT = 9200
START_LIMIT = 30
ROUNDS = 3
CALLS = 1500
WARM_UP = 100
SESSIONS = 10_000
STREAMS = 1_000
FASTMCP = ["fastmcp==4.1.2"]
KB_IN_MIB = 1048.576
CALL = ("tools/call", {"name": "tool_7", "arguments": {"station": "Bern"}})
LIST = ("tools/list", dict[str, Any]())
UPSTREAM = f"http://127.0.0.1:{UPSTREAM_PORT}/mcp"
CONFIG = {
    "mcp_servers": {"bench": {"url": UPSTREAM, "transport": "http"}},
    "general_settings": {"master_key": MASTER_KEY},
}


@dataclass(frozen=True)
class Target:
    """What is measured."""

    name: str
    port: int
    path: str
    command: list[str]

    def client(self) -> Client:
        return Client(self.port, self.path, VIRTUAL_KEY)


def targets() -> list[Target]:
    """Pointsman, and FastMCP's proxy where it can be installed."""
    file = WORK / "mcp.yaml"
    file.write_text(json.dumps(CONFIG))
    program = [str(Path(sys.executable)), "-m", "pointsman", "serve", "--config", str(file), "--host", "127.0.0.1"]
    found = [Target("pointsman", 4210, "/mcp/bench", [*program, "--port", "4210"])]
    refusal = peers.obtain("fastmcp", FASTMCP)
    if refusal is not None:
        print(f"fastmcp: left out, {refusal}")
        return found
    proxy = [str(peers.home("fastmcp") / "bin" / "python"), "-P", str(BENCH / "mcp_proxy.py"), UPSTREAM, "4211"]
    return [*found, Target("fastmcp", 4211, "/mcp", proxy)]


@contextlib.contextmanager
def started(command: list[str], port: int, cpu: int, *, real_time: bool) -> Iterator[list[int]]:
    """The processes of a program that listens at a port."""
    data = WORK / "mcp-data"
    shutil.rmtree(data, ignore_errors=True)
    with (WORK / f"mcp-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            machine.pinned(command, cpu, real_time=real_time),
            stdout=log,
            stderr=log,
            cwd=WORK,
            env=programs.environment({"POINTSMAN_DATA_DIR": str(data)}),
        )
        try:
            await_port(process, port)
            yield machine.family(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def await_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens at port {port}; see {WORK}/mcp-{port}.log")


@contextlib.contextmanager
def serving(target: Target, *, real_time: bool) -> Iterator[list[int]]:
    """A target with the virtual key let in, where it knows keys: limits and a budget that nothing here reaches."""
    with started(target.command, target.port, machine.GATEWAY_CPU, real_time=real_time) as pids:
        if target.name == "pointsman":
            wanted = {"key": VIRTUAL_KEY, "rpm_limit": 10**9, "max_budget": 10**6}
            wanted["object_permission"] = {"mcp_servers": ["bench"]}
            status = ask(target.port, "/key/generate", json.dumps(wanted).encode())
            if status != 200:
                raise RuntimeError(f"the key was answered with {status}")
        yield pids


def requests(
    target: Target, pids: list[int], order: tuple[str, dict[str, Any]], count: int, *, is_legacy: bool
) -> dict[str, float]:
    """CPU milliseconds of the gateway for a request, and how long a client waited."""
    client = target.client()
    if is_legacy:
        client.initialize()
    timed(client, *order, min(WARM_UP, count // 3))
    before = machine.cpu_seconds(pids)
    took = timed(client, *order, count)
    spent = machine.cpu_seconds(pids) - before
    client.close()
    return {"cpu_ms": 1000 * spent / count, "p50_ms": statistics.median(took)}


def held(
    target: Target, pids: list[int], count: int, take: Callable[[Client], None], *, is_closed: bool
) -> dict[str, float]:
    """Kilobytes for each of so many that are kept; ``is_closed``: without their connections."""
    clients = []
    for number in range(WARM_UP + count):
        if number == WARM_UP:
            before = machine.memory(pids).pss
        client = target.client()
        take(client)
        if is_closed:
            client.close()
        else:
            clients.append(client)
    after = machine.memory(pids).pss
    for client in clients:
        client.close()
    return {"count": count, "kb_each": (after - before) * KB_IN_MIB / count}


def called(client: Client) -> None:
    """A session that has called a tool once."""
    client.initialize()
    client.ask(*CALL)


def measure(real_time: bool, scale: float, rounds: int) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []

    def note(target: Target, what: str, number: int, figures: dict[str, float]) -> None:
        runs.append({"target": target.name, "scenario": what, "round": number, **figures})
        print(
            f"  {number + 1} {target.name:10} {what:16} " + "  ".join(f"{k} {v:,.2f}" for k, v in figures.items()),
            flush=True,
        )

    for number in range(rounds):
        for target in targets()[:: 1 if number % 2 == 0 else -1]:
            # A peer that needs a hundred times as long is known as well by fewer requests.
            count = max(50, int(CALLS * scale * (1 if target.name == "pointsman" else 0.05)))
            with serving(target, real_time=real_time) as pids:
                for what, order, is_legacy in (
                    ("call, modern", CALL, False),
                    ("call, legacy", CALL, True),
                    ("list, modern", LIST, False),
                    ("list, legacy", LIST, True),
                ):
                    note(target, what, number, requests(target, pids, order, count, is_legacy=is_legacy))
    own = targets()[0]
    for what, count, take, is_closed in (
        ("idle sessions", SESSIONS, Client.initialize, True),
        ("called sessions", SESSIONS, called, True),
        ("listen streams", STREAMS, Client.listen, False),
    ):
        with serving(own, real_time=real_time) as pids:
            note(own, what, 0, held(own, pids, max(200, int(count * scale)), take, is_closed=is_closed))
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
    upstream = [sys.executable, str(BENCH / "mcp_server.py"), str(UPSTREAM_PORT)]
    with started(upstream, UPSTREAM_PORT, machine.HARNESS_CPU, real_time=real_time):
        machine.take_harness_core(real_time=real_time)
        runs = measure(real_time, 0.1 if given.quick else 1, 1 if given.quick else ROUNDS)
    report = {"at": at.isoformat(timespec="seconds"), "machine": machine.facts(), "real_time": real_time, "runs": runs}
    folder = WORK if given.quick else BENCH / "results"
    out = given.out or folder / f"{at:%Y-%m-%d-%H%M}-mcp.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
