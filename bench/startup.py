"""The start: time to the first answer, CPU of the imports, idle memory, use of the network."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict

from bench import machine
from bench.programs import BENCH, WORK, environment
from bench.scenarios import SETTLE, Figures
from bench.servers import Server, Target

ISOLATED_LIMIT = 150
IMPORT_LIMIT = 120


def run_start(server: Server, *, real_time: bool, is_first: bool) -> Figures:
    """`server` is stopped before and runs afterwards.

    The first round also starts the gateway once without a network, which fills the caches of the file
    system, so that every measured start is a warm one.
    """
    server.stop()
    figures: Figures = {"failures": 0}
    if is_first:
        figures |= _isolated(server.target)
    figures["start_s"] = round(server.start(), 3)
    figures["cpu_to_first_200_s"] = round(machine.cpu_seconds(server.pids), 3)
    time.sleep(SETTLE)
    memory = machine.memory(server.pids)
    figures |= {"idle_rss_mb": round(memory.rss, 1), "idle_pss_mb": round(memory.pss, 1)}
    if server.target.serving_path:
        figures["import_cpu_s"] = _import_seconds(server.target, real_time=real_time)
    return figures


def _import_seconds(target: Target, *, real_time: bool) -> float | None:
    program = f"from time import process_time as t; b = t(); import {target.serving_path}; print(t() - b)"
    done = subprocess.run(
        machine.pinned([target.python, "-c", program], machine.GATEWAY_CPU, real_time=real_time),
        check=False,
        capture_output=True,
        text=True,
        timeout=IMPORT_LIMIT,
        cwd=WORK,
        env=environment(target.environment),
    )
    return round(float(done.stdout.split()[-1]), 3) if done.returncode == 0 else None


def _isolated(target: Target) -> Figures:
    """Start in a network namespace that has a loopback and nothing else, and read its counters."""
    if not machine.can_isolate():
        return {"isolated": None}
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(BENCH / "isolated.py"), json.dumps(asdict(target))],
        check=False,
        capture_output=True,
        text=True,
        timeout=ISOLATED_LIMIT,
    )
    if done.returncode:
        return {"isolated": {"starts": False, "why": done.stderr.strip()[-300:]}}
    return {"isolated": json.loads(done.stdout.splitlines()[-1])}
