"""Clients that leave, and workers that do."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop
from chaos import restarts as chaos
from chaos import test_disconnects as clients
from chaos.test_aborts import open_sockets, settled
from system.process import Gateway

from bench.parts import HEALTH, Case, Setting, gateway, quantile

MIB = 1 << 20
LEAVING = 10_000
RESTARTS = 10
RESTARTED_REQUESTS = 20_000
RESTARTED_STREAMS = 500
KILLED_AFTER = 1000
REPLACED_LIMIT = 30


def disconnects(setting: Setting) -> Iterator[Case]:
    """Clients leave in each phase of a request; all phases have the same gateway."""
    yield from uvloop.run(_leave(setting))


async def _leave(setting: Setting) -> list[Case]:
    count = setting.size(LEAVING, 800) // len(clients.PHASES)
    cases: list[Case] = []
    async with clients.scripted() as (script, port):
        text = clients.CONFIG.format(port=port, key=clients.KEY)
        # It blocks this loop, which has nothing else to do while it starts and stops and when it is measured.
        with gateway(text, setting) as running:
            running.key = clients.KEY
            for phase in clients.PHASES:
                await clients.leave_often(script, running.port, phase, clients.AT_ONCE)
            before = settled(running, open_sockets(running))
            for phase in clients.PHASES:
                seconds = await clients.leave_often(script, running.port, phase, count)
                cases.append(_left(phase, [1000 * one for one in seconds]))
            after = settled(running, before.sockets)
    rest = Case("disconnects", "at rest after all")
    rest.figures = {
        "clients": count * len(clients.PHASES),
        "sockets before": before.sockets,
        "sockets after": after.sockets,
        "RSS before MiB": before.rss / MIB,
        "RSS after MiB": after.rss / MIB,
        "in flight": after.in_flight + after.waiting + after.busy_upstreams,
    }
    rest.at_most("sockets left", after.sockets - before.sockets, 0)
    return [*cases, rest]


def _left(phase: str, milliseconds: list[float]) -> Case:
    case = Case("disconnects", phase)
    case.figures = {
        "clients": len(milliseconds),
        "p50 ms": quantile(milliseconds, 0.5),
        "p99 ms": quantile(milliseconds, 0.99),
        "max ms": quantile(milliseconds, 1),
    }
    case.at_most("p99 until the upstream is let go, ms", case.figures["p99 ms"], 100)
    return case


def restarts(setting: Setting) -> Iterator[Case]:
    """Two workers are replaced under load, and one is killed."""
    count = setting.size(RESTARTS, 2)
    part = count / RESTARTS
    with tempfile.TemporaryDirectory() as home:
        begun = time.monotonic()
        wanted = (round(RESTARTED_REQUESTS * part), round(RESTARTED_STREAMS * part))
        seen = uvloop.run(chaos.session(Path(home), count, *wanted))
        took = time.monotonic() - begun
    case = Case("restarts", f"{count} x SIGUSR2")
    case.figures = _seen(seen) | {"seconds": took, "slowest ms": 1000 * seen.slowest}
    case.at_most("failed and truncated", len(seen.faults), 0)
    yield case
    with tempfile.TemporaryDirectory() as home:
        yield uvloop.run(_kill(Path(home)))
    with tempfile.TemporaryDirectory() as home:
        yield uvloop.run(_replace(Path(home)))


def _seen(seen: chaos.Outcome) -> dict[str, object]:
    return {
        "kept": seen.kept,
        "single": seen.single,
        "streams": seen.streams,
        "failed": len(seen.faults),
        "kinds": ", ".join(sorted({fault.partition("(")[0][:60] for fault in seen.faults})) or "none",
    }


async def _kill(home: Path) -> Case:
    async with chaos.under_load(home) as (running, load):
        victim = min(chaos.workers_of(running))
        await chaos.until(lambda: load.outcome.requests > KILLED_AFTER, "no requests were served")
        os.kill(victim, signal.SIGKILL)
        await chaos.until(lambda: load.outcome.requests > 2 * KILLED_AFTER, "no more requests were served")
        lost = len(load.outcome.faults)
        await chaos.until(lambda: load.outcome.requests > 3 * KILLED_AFTER, "no more requests were served")
        seen = await load.stop()
    case = Case("restarts", "SIGKILL of a worker")
    case.figures = _seen(seen)
    case.at_most("lost of what it was serving", lost, chaos.KEPT + chaos.SINGLE + chaos.STREAMING)
    case.at_most("lost after that", len(seen.faults) - lost, 0)
    return case


async def _replace(home: Path) -> Case:
    """The other worker is frozen, so that the first answer is that of the new one."""
    async with chaos.under_load(home, is_idle=True) as (running, _):
        await chaos.until(lambda: "workers serve" in running.stderr, "the workers did not start")
        victim, other = sorted(chaos.workers_of(running))
        os.kill(other, signal.SIGSTOP)
        os.kill(victim, signal.SIGKILL)
        begun = time.monotonic()
        try:
            await asyncio.to_thread(_await_answer, running)
        finally:
            os.kill(other, signal.SIGCONT)
        took = time.monotonic() - begun
    case = Case("restarts", "SIGKILL, until replaced")
    case.figures = {"seconds": took}
    case.at_most("seconds until a new worker answers", took, 2)
    return case


def _await_answer(running: Gateway) -> None:
    """It waits in the listening queue, which the workers have in common."""
    with running.connect(REPLACED_LIMIT) as sock:
        sock.sendall(HEALTH)
        if not sock.recv(4096).startswith(b"HTTP/1.1 200 "):
            raise RuntimeError("the gateway is not live")
