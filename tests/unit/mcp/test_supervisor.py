from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from pointsman.errors import Overloaded, SessionLost, UpstreamBroken, UpstreamUnreachable
from pointsman.mcp import supervisor as module
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.supervisor import FREE_DEATHS, MAX_WAIT, Restarts, Supervisor
from pointsman.mcp.transports.stdio import Stdio
from pointsman.wire.jsonrpc import request

SERVER = str(Path(__file__).parent / "stdio_server.py")
SECONDS = 20.0
COMMAND = (sys.executable, "-I", "-S", SERVER)
FAILING = (sys.executable, "-I", "-S", "-c", "import sys; print('cannot', file=sys.stderr)")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/home/of", "OPENAI_API_KEY": "sk-secret", "LANG": "C"}


def waits(deaths: Iterable[bool]) -> list[float]:
    """Seconds to wait after each death at time 100; whether the process had been of use."""
    restarts = Restarts()
    found = []
    for is_useful in deaths:
        restarts.note(100.0, is_useful=is_useful)
        found.append(restarts.wait(100.0))
    return found


def test_what_keeps_dying_has_to_wait_longer_each_time() -> None:
    found = waits([False] * 40)
    assert found[:7] == [0.0] * FREE_DEATHS + [0.25, 0.5, 1.0, 2.0, 4.0]
    assert found[-1] == MAX_WAIT


def test_what_was_of_use_is_started_again_at_once() -> None:
    assert waits([False, False, False, True, False, False]) == [0.0, 0.0, 0.25, 0.0, 0.0, 0.25]


def test_a_wait_is_over_after_its_time() -> None:
    restarts = Restarts()
    assert restarts.wait(0.0) == 0.0
    for _ in range(3):
        restarts.note(100.0, is_useful=False)
    assert restarts.wait(100.1) == pytest.approx(0.15)
    assert restarts.wait(100.3) == 0.0


def settings(server: str = "a", command: tuple[str, ...] = COMMAND, **more: Any) -> ServerSettings:
    return ServerSettings(id=server, name=server, transport="stdio", command=command, **more)


async def call(stdio: Stdio, method: str, seconds: float = SECONDS) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + seconds
    answer = await stdio.request(request(id(object()), method), print, headers={}, deadline=deadline)
    return answer.outcome()


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    found = Supervisor(2, ENVIRONMENT)
    yield found
    await found.close()


async def test_a_server_sees_nothing_of_the_environment_but_what_it_needs(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    stdio = supervisor.transport(settings(env={"TOKEN": "t"}, cwd=str(tmp_path)))
    about = await call(stdio, "initialize")
    assert about["env"] == {"PATH": ENVIRONMENT["PATH"], "HOME": "/home/of", "LANG": "C", "TOKEN": "t"} | {
        # The C library of some systems has the interpreter set it.
        name: about["env"][name]
        for name in about["env"]
        if name == "LC_CTYPE"
    }
    assert about["cwd"] == str(tmp_path)


async def test_two_transports_have_two_processes(supervisor: Supervisor) -> None:
    one, two = (supervisor.transport(settings()) for _ in range(2))
    assert (await call(one, "initialize"))["pid"] != (await call(two, "initialize"))["pid"]
    standing = supervisor.standing("a")
    assert standing is not None
    assert (len(standing.pids), standing.starts) == (2, 2)


@pytest.mark.parametrize("last", [0, 1])
async def test_the_one_that_was_used_least_recently_makes_room(supervisor: Supervisor, last: int) -> None:
    both = [supervisor.transport(settings(name)) for name in "ab"]
    for stdio in both:
        await call(stdio, "initialize")
    await call(both[last], "about")
    await call(supervisor.transport(settings("c")), "initialize")
    with pytest.raises(SessionLost):
        await call(both[1 - last], "about")
    assert (await call(both[last], "about"))["pid"]


async def test_those_that_are_in_use_make_no_room(supervisor: Supervisor) -> None:
    busy = [supervisor.transport(settings(name)) for name in "ab"]
    for stdio in busy:
        await call(stdio, "initialize")
    waiting = [asyncio.ensure_future(call(stdio, "hang")) for stdio in busy]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await call(supervisor.transport(settings("c")), "initialize")
    assert caught.value.retry_after
    for each in waiting:
        each.cancel()


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 1000.0)
    monkeypatch.setattr(module, "MAX_WAIT", 1000.0)


async def die_too_often(stdio: Stdio) -> None:
    for _ in range(FREE_DEATHS + 1):
        with pytest.raises(UpstreamUnreachable) as caught:
            await call(stdio, "initialize")
        assert caught.value.retry_after is None


async def test_a_crash_loop_is_broken(supervisor: Supervisor, long_waits: None) -> None:
    stdio = supervisor.transport(settings(command=FAILING))
    await die_too_often(stdio)
    with pytest.raises(UpstreamUnreachable) as caught:
        await call(stdio, "initialize")
    assert caught.value.retry_after == pytest.approx(1000.0, abs=SECONDS)
    assert "cannot" in str(caught.value.operator_detail)
    standing = supervisor.standing("a")
    assert standing is not None
    assert standing.starts == FREE_DEATHS + 1
    assert standing.wait > 0


async def test_a_short_wait_is_waited_for(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    stdio = supervisor.transport(settings(command=FAILING))
    for _ in range(2):
        await die_too_often(stdio)


async def test_a_request_that_cannot_wait_for_the_start_is_refused(
    supervisor: Supervisor, long_waits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 5000.0)
    stdio = supervisor.transport(settings(command=FAILING))
    await die_too_often(stdio)
    with pytest.raises(UpstreamUnreachable) as caught:
        await call(stdio, "initialize")
    assert caught.value.retry_after


async def test_a_server_of_use_that_is_killed_again_and_again_is_there_for_the_next_call(
    supervisor: Supervisor,
) -> None:
    stdio = supervisor.transport(settings())
    for _ in range(8):
        pid = (await call(stdio, "initialize"))["pid"]
        assert (await call(stdio, "about"))["pid"] == pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((SessionLost, UpstreamBroken)):
            await call(stdio, "about")
    standing = supervisor.standing("a")
    assert standing is not None
    assert (standing.starts, standing.wait) == (8, 0.0)


async def test_one_that_has_lived_long_has_not_failed_to_start(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
    stdio = supervisor.transport(settings(command=FAILING))
    for _ in range(FREE_DEATHS + 3):
        with pytest.raises(UpstreamUnreachable):
            await call(stdio, "initialize")
    standing = supervisor.standing("a")
    assert standing is not None
    assert standing.wait == 0.0


async def test_a_directory_that_is_not_there_is_a_failed_start(supervisor: Supervisor) -> None:
    stdio = supervisor.transport(settings(cwd="/nowhere/at-all"))
    with pytest.raises(UpstreamUnreachable) as caught:
        await call(stdio, "initialize")
    assert "/nowhere" in str(caught.value.operator_detail)
    assert "/nowhere" not in caught.value.message
    standing = supervisor.standing("a")
    assert standing is not None
    assert standing.pids == ()


async def test_an_end_is_logged_with_its_last_words_and_without_secrets(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    source = "import os, sys; print(f\"no {os.environ['TOKEN']} is good\", file=sys.stderr); sys.exit(9)"
    command = (sys.executable, "-I", "-S", "-c", source)
    stdio = supervisor.transport(settings(command=command, env={"TOKEN": "tok-canary-77"}))
    with caplog.at_level(logging.WARNING), pytest.raises(UpstreamUnreachable) as caught:
        await call(stdio, "initialize")
    assert "the MCP server a has ended (status 9): no *** is good" in caplog.text
    standing = supervisor.standing("a")
    assert standing is not None
    assert standing.words == ("no *** is good",)
    assert "canary" not in caplog.text + str(caught.value.operator_detail)


async def test_an_end_that_was_wanted_is_not_a_death(supervisor: Supervisor, caplog: pytest.LogCaptureFixture) -> None:
    stdio = supervisor.transport(settings())
    for _ in range(FREE_DEATHS + 2):
        await call(stdio, "initialize")
        stdio.rest()
    standing = supervisor.standing("a")
    assert standing is not None
    assert standing.wait == 0.0
    assert caplog.text == ""


async def test_what_is_kept_of_a_server_is_bounded(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    for name in ("a", "b", "a", "c"):
        supervisor.transport(settings(name))
    assert [name for name in "abc" if supervisor.standing(name)] == ["a", "c"]
    assert supervisor.standing("unknown") is None


async def test_other_settings_are_another_start(supervisor: Supervisor) -> None:
    await die_too_often(supervisor.transport(settings(command=FAILING)))
    supervisor.transport(settings())
    standing = supervisor.standing("a")
    assert standing is not None
    assert (standing.starts, standing.wait) == (0, 0.0)


async def test_after_closing_nothing_is_started(supervisor: Supervisor) -> None:
    stdio, other = (supervisor.transport(settings()) for _ in range(2))
    await call(stdio, "initialize")
    await supervisor.close()
    standing = supervisor.standing("a")
    assert standing is not None
    assert standing.pids == ()
    with pytest.raises(SessionLost):
        await call(other, "initialize")
    with pytest.raises(Overloaded):
        await call(supervisor.transport(settings("new")), "initialize")


GATEWAY = """
import asyncio, os, sys
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.supervisor import Supervisor
from pointsman.wire.jsonrpc import request

async def main():
    stdio = Supervisor(2, os.environ).transport(ServerSettings(id="a", name="a", command=tuple(sys.argv[1:])))
    deadline = asyncio.get_running_loop().time() + 20
    pids = []
    for number, method in enumerate(("initialize", "stubborn", "hide")):
        answer = await stdio.request(request(number, method), print, headers={}, deadline=deadline)
        pids.append(answer.outcome().get("pid", 0))
    print(*pids, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_nothing_is_left_of_a_gateway_that_is_killed() -> None:
    command = (sys.executable, "-c", GATEWAY, *COMMAND, "linger")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        server, _, hidden = (int(pid) for pid in gateway.stdout.readline().split())
        handles = [os.pidfd_open(pid) for pid in (server, hidden)]
        gateway.kill()
    for handle in handles:
        assert ended(handle)
        os.close(handle)


def ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], SECONDS)[0])
