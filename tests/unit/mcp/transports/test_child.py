from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from pointsman.mcp.protocol.lines import TooLong
from pointsman.mcp.transports import child as module
from pointsman.mcp.transports.child import Child, Command, Inlet

SECONDS = 20.0
ECHO = "import sys\nfor line in sys.stdin: print('<' + line.strip() + '>', flush=True)"
FOREVER = "import sys, time; print('ready', flush=True); time.sleep(3600)"


class Heard:
    """What a process has said."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes | TooLong] = asyncio.Queue()
        self.words: asyncio.Queue[bytes | TooLong] = asyncio.Queue()
        self.ends: list[int] = []
        self.gone = asyncio.Event()

    def on_line(self, line: bytes | TooLong) -> None:
        self.lines.put_nowait(line)

    def on_word(self, line: bytes | TooLong) -> None:
        self.words.put_nowait(line)

    def on_gone(self, status: int) -> None:
        self.ends.append(status)
        self.gone.set()

    async def line(self) -> bytes | TooLong:
        return await asyncio.wait_for(self.lines.get(), SECONDS)

    async def end(self) -> int:
        await asyncio.wait_for(self.gone.wait(), SECONDS)
        return self.ends[0]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def started(heard: Heard) -> AsyncIterator[list[Child]]:
    found: list[Child] = []
    yield found
    for one in found:
        one.kill()
        await heard.end()


async def run(started: list[Child], heard: Heard, source: str, max_line: int = 10_000, **more: object) -> Child:
    argv = (sys.executable, "-I", "-S", "-c", source)
    command = Command(argv=argv, max_line=max_line, **{"env": {}, **more})  # type: ignore[arg-type]
    child = Child(command, heard)
    assert not child.is_started
    await child.start()
    started.append(child)
    return child


async def test_lines_go_in_and_come_out(started: list[Child], heard: Heard) -> None:
    child = await run(started, heard, ECHO)
    assert await child.write(b"one\n") == 4
    assert await child.write(b"three\n") == 10
    assert [await heard.line(), await heard.line()] == [b"<one>", b"<three>"]
    assert child.is_alive
    assert child.is_started


async def test_the_process_has_the_environment_and_the_place_that_it_is_given(
    started: list[Child], heard: Heard, tmp_path: Path
) -> None:
    source = "import os; print(os.environ.get('NAME'), 'PATH' in os.environ, os.getcwd(), flush=True)"
    await run(started, heard, source, env={"NAME": "value"}, cwd=str(tmp_path))
    assert await heard.line() == f"value False {tmp_path}".encode()


async def test_a_group_of_its_own_has_the_process(started: list[Child], heard: Heard) -> None:
    child = await run(started, heard, "import os; print(os.getpgrp(), os.getsid(0), flush=True); input()")
    assert await heard.line() == f"{child.pid} {child.pid}".encode()
    assert child.pid != os.getpgrp()


async def test_empty_lines_are_passed_over_and_long_ones_are_not_kept(started: list[Child], heard: Heard) -> None:
    await run(started, heard, "print('\\n\\n' + 'x' * 50 + '\\nshort', flush=True); input()", max_line=20)
    assert isinstance(await heard.line(), TooLong)
    assert await heard.line() == b"short"


async def test_error_output_is_heard_apart(started: list[Child], heard: Heard) -> None:
    await run(started, heard, "import sys; print('oh', file=sys.stderr); print('out')")
    assert await asyncio.wait_for(heard.words.get(), SECONDS) == b"oh"
    assert await heard.line() == b"out"


async def test_the_end_is_told_once_with_its_status(started: list[Child], heard: Heard) -> None:
    child = await run(started, heard, "import sys; print('out'); sys.exit(4)")
    assert await heard.end() == 4
    assert heard.lines.get_nowait() == b"out"
    assert not child.is_alive
    assert not child.is_ending
    child.kill()
    assert heard.ends == [4]


async def test_one_that_closes_its_output_has_to_end(started: list[Child], heard: Heard) -> None:
    child = await run(started, heard, "import os, time; os.close(1); time.sleep(3600)")
    assert await heard.end() == 128 + signal.SIGTERM
    assert not child.is_alive


async def test_what_it_has_read_is_known_when_it_is_gone(started: list[Child], heard: Heard) -> None:
    source = "import os, time; os.read(0, 5); print('read', flush=True); time.sleep(3600)"
    child = await run(started, heard, source)
    first = await child.write(b"four\n")
    second = await child.write(b"more that nobody reads\n")
    assert await heard.line() == b"read"
    child.kill()
    await heard.end()
    assert first <= child.bytes_read < second


async def test_one_that_is_told_to_end_may_do_so_by_itself(started: list[Child], heard: Heard) -> None:
    child = await run(started, heard, "import sys; print('ready', flush=True); sys.stdin.read(); sys.exit(5)")
    assert await heard.line() == b"ready"
    child.end()
    assert not child.is_alive
    assert child.is_ending
    assert await heard.end() == 5


async def test_when_the_keeper_is_killed_its_group_is(started: list[Child], heard: Heard) -> None:
    source = "import os, time; pid = os.fork(); pid or time.sleep(3600); print(pid, flush=True); time.sleep(3600)"
    child = await run(started, heard, source)
    line = await heard.line()
    assert isinstance(line, bytes)
    handle = os.pidfd_open(int(line))
    dead = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, dead.set)
    os.kill(child.pid, signal.SIGKILL)
    assert await heard.end() == 137
    await asyncio.wait_for(dead.wait(), SECONDS)
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)


async def test_one_whose_server_was_killed_is_not_alive_from_that_moment(started: list[Child], heard: Heard) -> None:
    child = await run(started, heard, "import os, time; print(os.getpid(), flush=True); time.sleep(3600)")
    line = await heard.line()
    assert isinstance(line, bytes)
    found = [child.is_alive]
    os.kill(int(line), signal.SIGKILL)
    found.append(child.is_alive)
    assert found == [True, False]


async def test_output_that_somebody_unknown_holds_open_is_not_waited_for(
    started: list[Child], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMNANT_SECONDS", 0.01)
    source = "import os, time; os.fork() or (os.setsid(), print(os.getpid(), flush=True)); time.sleep(3600)"
    child = await run(started, heard, source)
    line = await heard.line()
    assert isinstance(line, bytes)
    os.kill(child.pid, signal.SIGKILL)
    assert await heard.end() == 137
    os.kill(int(line), signal.SIGKILL)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_directory_that_is_not_there_leaves_nothing_open(started: list[Child], heard: Heard) -> None:
    before = descriptors()
    with pytest.raises(OSError, match="nowhere"):
        await run(started, heard, ECHO, cwd="/nowhere/at-all")
    assert descriptors() == before
    assert started == []


async def test_what_the_pipe_does_not_take_waits_and_more_has_to_wait_for_room() -> None:
    reader, writer = os.pipe()
    inlet = Inlet(writer)
    assert inlet.put(b"a" * 2_000_000) == 2_000_000
    waiting = asyncio.ensure_future(inlet.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    got = b""
    os.set_blocking(reader, False)
    while len(got) < 2_000_000:
        await asyncio.sleep(0)
        with suppress(BlockingIOError):
            got += os.read(reader, 100_000)
        assert inlet.bytes_read == len(got)
    await asyncio.wait_for(waiting, SECONDS)
    assert inlet.put(b"b") == 2_000_001
    assert os.read(reader, 10) == b"b"
    inlet.close()
    inlet.close()
    assert os.read(reader, 10) == b""
    os.close(reader)


async def test_who_waits_for_room_is_let_go_when_the_pipe_closes() -> None:
    reader, writer = os.pipe()
    inlet = Inlet(writer)
    inlet.put(b"a" * 2_000_000)
    waiting = asyncio.ensure_future(inlet.room())
    await asyncio.sleep(0)
    inlet.close()
    await asyncio.wait_for(waiting, SECONDS)
    assert inlet.put(b"b") == 2_000_001
    os.close(reader)


async def test_what_nobody_can_read_any_more_counts_as_unread() -> None:
    reader, writer = os.pipe()
    inlet = Inlet(writer)
    inlet.put(b"abc")
    os.read(reader, 2)
    os.close(reader)
    assert inlet.put(b"def") == 6
    assert inlet.bytes_read == 2
    inlet.close()
