from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pointsman.mcp import keeper

SECONDS = 20.0
READY = "print('ready', flush=True); "
FOREVER = READY + "__import__('time').sleep(3600)"


class Kept:
    """A keeper and what it keeps."""

    def __init__(self, *command: str, max_bytes: int = 0) -> None:
        listened, self.lifeline = socket.socketpair()
        program = (sys.executable, "-I", "-S", keeper.__file__, str(listened.fileno()), str(max_bytes))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*program, *command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            pass_fds=(listened.fileno(),),
            start_new_session=True,
        )
        listened.close()

    def line(self) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], SECONDS)[0], "nothing came"
        return self.process.stdout.readline().decode().strip()

    def let_go(self) -> None:
        self.lifeline.close()

    def wait(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, errors.decode()

    def close(self) -> None:
        self.let_go()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def kept() -> Iterator[list[Kept]]:
    started: list[Kept] = []
    yield started
    for one in started:
        one.close()


def keep(kept: list[Kept], source: str, *arguments: str, max_bytes: int = 0) -> Kept:
    one = Kept(sys.executable, "-I", "-S", "-c", source, *arguments, max_bytes=max_bytes)
    kept.append(one)
    return one


def ends(pid: int) -> bool:
    """Whether a process that is no child of this one ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], SECONDS)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    ("source", "status"),
    [("raise SystemExit(0)", 0), ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_it_ends_as_its_server_does(kept: list[Kept], source: str, status: int) -> None:
    assert keep(kept, source).wait() == (status, "")


def test_the_server_has_the_pipes_and_the_arguments(kept: list[Kept]) -> None:
    one = keep(kept, "import sys; print(sys.argv[1:], sys.stdin.readline())", "a b", "$HOME")
    out, _ = one.process.communicate(b"hello\n", timeout=SECONDS)
    assert out == b"['a b', '$HOME'] hello\n\n"


def test_the_server_is_not_left_with_signals_that_are_ignored(kept: list[Kept]) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        kept.append(Kept("grep", "SigIgn", "/proc/self/status"))
    finally:
        signal.signal(signal.SIGQUIT, before)
    ignored = int(kept[0].line().split()[1], 16)
    # Two are the C library's own: nobody can set them, and whoever starts the tests may have left them ignored.
    assert ignored & ~sum(1 << (number - 1) for number in (32, 33)) == 0


def test_the_server_has_the_pipes_and_nothing_else_open(kept: list[Kept]) -> None:
    one = keep(kept, "import os; print(*(fd for fd in range(100) if os.path.exists(f'/proc/self/fd/{fd}')))")
    assert one.line() == "0 1 2"


def test_it_says_which_process_the_server_is(kept: list[Kept]) -> None:
    one = keep(kept, "import os; print(os.getpid(), flush=True); " + FOREVER)
    assert one.line() == one.lifeline.recv(100).decode()


def test_a_command_that_is_not_there_is_told(kept: list[Kept]) -> None:
    kept.append(Kept("/nowhere/at-all"))
    assert kept[0].wait() == (127, "pointsman: '/nowhere/at-all' cannot be started: No such file or directory\n")


def test_the_keeper_does_not_hold_the_output_open(kept: list[Kept]) -> None:
    one = keep(kept, "import os, time; os.close(1); time.sleep(3600)")
    assert one.line() == ""


def test_when_the_lifeline_ends_the_server_may_end_by_itself(kept: list[Kept]) -> None:
    one = keep(kept, READY + "import sys; sys.stdin.read(); raise SystemExit(5)")
    assert one.line() == "ready"
    assert one.process.stdin is not None
    one.process.stdin.close()
    assert one.lifeline.recv(100)
    one.let_go()
    assert one.process.wait(SECONDS) == 5


def test_a_server_that_does_not_end_by_itself_is_told_to(kept: list[Kept]) -> None:
    source = "import signal, time; signal.signal(15, lambda *_: exit(6)); " + READY + "time.sleep(3600)"
    one = keep(kept, "import sys; exit = sys.exit; " + source)
    assert one.line() == "ready"
    one.let_go()
    assert one.wait()[0] == 6


def test_a_server_that_will_not_end_is_killed(kept: list[Kept]) -> None:
    one = keep(kept, "import signal; signal.signal(15, signal.SIG_IGN); " + FOREVER)
    assert one.line() == "ready"
    one.let_go()
    assert one.wait()[0] == 137


def test_a_byte_over_the_lifeline_kills_without_asking(kept: list[Kept]) -> None:
    source = "import signal; signal.signal(15, lambda *_: print('asked', flush=True)); "
    one = keep(kept, source + FOREVER)
    assert one.line() == "ready"
    one.lifeline.send(b"!")
    assert one.line() == ""
    assert one.wait()[0] == 137


def test_a_keeper_that_is_told_to_end_ends_its_server(kept: list[Kept]) -> None:
    one = keep(kept, FOREVER)
    assert one.line() == "ready"
    one.process.terminate()
    assert one.wait()[0] == 128 + signal.SIGTERM


HIDING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1)
        time.sleep(3600)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("end", ["", "time.sleep(3600)"])
def test_nothing_that_the_server_started_outlives_it(kept: list[Kept], end: str) -> None:
    one = keep(kept, HIDING + end)
    hidden = int(one.line())
    one.let_go()
    assert ends(hidden)


def test_a_server_does_not_outlive_a_keeper_that_is_killed(kept: list[Kept]) -> None:
    one = keep(kept, "import os; print(os.getpid(), flush=True); " + FOREVER)
    server = int(one.line())
    one.process.kill()
    assert ends(server)


def test_a_server_that_uses_too_much_memory_is_killed(kept: list[Kept]) -> None:
    one = keep(kept, "kept = b'x' * 80_000_000; " + FOREVER, max_bytes=50_000_000)
    status, errors = one.wait()
    assert status == 137
    assert "uses more memory than it may" in errors


def test_the_processes_of_the_machine_are_found() -> None:
    found = {pid: (parent, group) for pid, parent, group, _ in keeper.processes()}
    assert found[os.getpid()] == (os.getppid(), os.getpgrp())


def test_the_pages_of_a_process_are_those_in_memory() -> None:
    told = int(Path("/proc/self/statm").read_text().split()[1])
    pages = next(pages for pid, _, _, pages in keeper.processes() if pid == os.getpid())
    assert pages == pytest.approx(told, rel=0.5)
