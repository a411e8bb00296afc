"""Processes of a stdio server that are started and killed again and again, in every way in which they can end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from chaos.test_aborts import PAGE

from pointsman.errors import SessionLost, UpstreamBroken
from pointsman.mcp import supervisor as module
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.supervisor import Supervisor
from pointsman.mcp.transports.stdio import Stdio
from pointsman.wire.jsonrpc import request

SERVER = Path(__file__).parents[1] / "unit" / "mcp" / "stdio_server.py"
CYCLES = int(os.environ.get("POINTSMAN_CHAOS_SPAWNS", "1000"))
AT_ONCE = 4
MEGABYTE = 1_000_000
SECONDS = 30.0
"""For one call, on a machine that does nothing but start processes."""
MARK = "chaos-of-spawning"


def left() -> Iterator[str]:
    """The command lines of all processes that were started here."""
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if MARK.encode() in line:
            yield line.decode(errors="replace")


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def call(stdio: Stdio, method: str) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + SECONDS
    answer = await stdio.request(request(1, method), print, headers={}, deadline=deadline)
    return answer.outcome()


async def end(supervisor: Supervisor, stdio: Stdio, server: str, cycle: int) -> None:
    """One life of a process."""
    pid = (await call(stdio, "initialize"))["pid"]
    if cycle % 3 == 0 and cycle % 4 != 1:
        await call(stdio, "hide")
    standing = supervisor.standing(server)
    assert standing is not None
    match cycle % 4:
        case 0:
            os.kill(pid, signal.SIGKILL)
        case 1:
            os.kill(standing.pids[-1], signal.SIGKILL)
        case 2:
            stdio.rest()
        case _:
            with pytest.raises(UpstreamBroken):
                await call(stdio, "die")
    with pytest.raises(SessionLost):
        await stdio.listen(print, headers={})


async def cycles(supervisor: Supervisor, server: str, count: int) -> None:
    command = (sys.executable, "-I", "-S", str(SERVER), MARK)
    stdio = supervisor.transport(ServerSettings(id=server, name=server, transport="stdio", command=command))
    for cycle in range(count):
        await end(supervisor, stdio, server, cycle)
    await stdio.close()


async def spawn(count: int) -> tuple[int, int]:
    """Have so many lives; gives the bytes and descriptors that this process has grown by after a tenth of them."""
    supervisor = Supervisor(2 * AT_ONCE, {})
    found = []
    try:
        for part in (count // 10, count - count // 10):
            await asyncio.gather(*(cycles(supervisor, f"s{number}", part // AT_ONCE) for number in range(AT_ONCE)))
            found.append((memory(), descriptors()))
    finally:
        await supervisor.close()
    return found[1][0] - found[0][0], found[1][1] - found[0][1]


@pytest.mark.requirement("mcp.orphans")
def test_nothing_is_left_of_servers_however_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody waits here for what keeps dying.
    monkeypatch.setattr(module, "FREE_DEATHS", CYCLES)
    grown, opened = uvloop.run(spawn(CYCLES))
    assert list(left()) == []
    assert grown < 10 * MEGABYTE
    assert opened <= 0
