"""Stands between the gateway and one stdio server, so that no process of that server outlives either of them.

It is run as a program of its own, before anything else of this package: ``python -I -S keeper.py LIFELINE MAX_BYTES
COMMAND ...``. It starts the command, which inherits its pipes, says over the lifeline which process that is, and waits
until one of these happens:

1. The server ends. Whatever it has started is killed.
2. The lifeline, a socket whose other end nobody but the gateway holds, closes: the gateway wants the server to end, or
   has been killed. The server has seen the end of its input by then; it has a second to leave, is then sent SIGTERM,
   and after another second all is killed. A byte that comes over the lifeline means that there is no time for that.
3. It is told to end by SIGTERM: as if the lifeline had closed.
4. All processes of its group use more than ``MAX_BYTES`` of memory (0: they may): all is killed.

On Linux it adopts what its descendants leave behind, so none of them gets away by leaving the group, and the kernel
kills the server should the keeper itself be killed. Elsewhere what has left the group is missed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

GRACE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 2.0
"""Between two looks at the memory in use."""
CANNOT_START: Final = 127
_SET_PDEATHSIG: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_IS_LINUX: Final = sys.platform == "linux"


def main(lifeline: int, max_bytes: int, command: list[str]) -> int:
    """Keep one server; gives its exit status, negative for a signal."""
    os.set_inheritable(lifeline, False)
    woken = _wake_up()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    server = _start(command)
    with suppress(OSError):
        os.write(lifeline, b"%d" % server)
    _let_go()
    poll = select.poll()
    for each in (lifeline, woken):
        poll.register(each, select.POLLIN)
    code = _watch(server, lifeline, woken, max_bytes, poll)
    kill_all()
    return code


def _watch(server: int, lifeline: int, woken: int, max_bytes: int, poll: select.poll) -> int:
    while (code := _reaped(server)) is None:
        ready = {found for found, _ in poll.poll(LOOK_SECONDS * 1000 if max_bytes else None)}
        if max_bytes and memory() > max_bytes:
            os.write(2, b"\npointsman: the server was ended, because it uses more memory than it may\n")
            return _kill(server)
        if lifeline in ready:
            return _kill(server) if _is_urgent(lifeline) else _persuade(server, woken)
        if woken in ready and signal.SIGTERM in os.read(woken, 64):
            return _persuade(server, woken)
    return code


def _is_urgent(lifeline: int) -> bool:
    # An end that is closed before the other side has read what it was told is a reset.
    with suppress(OSError):
        return os.read(lifeline, 1) != b""
    return False


def _persuade(server: int, woken: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = _await(server, woken)
    if code is None:
        os.killpg(0, signal.SIGTERM)
        code = _await(server, woken)
    return _kill(server) if code is None else code


def _kill(server: int) -> int:
    os.kill(server, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])


def _await(server: int, woken: int) -> int | None:
    """The server's exit status, if it ends within the grace."""
    end = time.monotonic() + GRACE_SECONDS
    while (code := _reaped(server)) is None and (left := end - time.monotonic()) > 0:
        if select.select([woken], [], [], left)[0]:
            os.read(woken, 64)
    return code


def kill_all() -> None:
    """Kill whatever descends from this process, and wait until it is gone."""
    if not _IS_LINUX:
        os.killpg(0, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            # The children of each that dies become children of this process, and are found in the next turn.
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                _kill_children()
                os.waitpid(-1, 0)


def _kill_children() -> None:
    own = os.getpid()
    for pid, parent, _, _ in processes():
        if parent == own:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def memory() -> int:
    """Bytes that the processes of this group have in memory, this one not counted."""
    own = os.getpid()
    pages = sum(pages for pid, _, group, pages in processes() if group == own and pid != own)
    return pages * os.sysconf("SC_PAGESIZE")


def processes() -> Iterator[tuple[int, int, int, int]]:
    """Of each process on this machine: its id, its parent, its group, and the pages that it has in memory."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes longer to import than the rest takes to run
        if name.isdigit():
            # It may be gone by now.
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                # The name of the program stands in parentheses, and may hold anything.
                fields = file.read().rpartition(b")")[2].split()
                yield int(name), int(fields[1]), int(fields[2]), int(fields[21])


def _reaped(server: int) -> int | None:
    """The server's exit status once it has ended."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == server:
                return os.waitstatus_to_exitcode(found[1])
    return None


def _wake_up() -> int:
    """What can be read when a signal has come."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    for each in (signal.SIGCHLD, signal.SIGTERM):
        # There has to be a handler for the wake-up to be written.
        signal.signal(each, lambda *_: None)
    return woken


def _start(command: list[str]) -> int:
    keeper = os.getpid()
    server = os.fork()
    if server:
        return server
    # There is one thread, so anything may be done between fork and exec.
    try:
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        # Python ignores some of them, and a shell that has started the gateway in the background some others.
        for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if signal.getsignal(each) is signal.SIG_IGN:
                signal.signal(each, signal.SIG_DFL)
        if os.getppid() == keeper:
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"pointsman: {command[0]!r} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_START)


def _let_go() -> None:
    """Of the server's input and output, whose ends are to be seen by the other side."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


def _prctl(option: int, value: int) -> None:
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    status = main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    sys.exit(status if status >= 0 else 128 - status)
