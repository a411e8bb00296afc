from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.mcp.transports.pulse import Pulse


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that waits for input."""
    command = [sys.executable, "-I", "-S", "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as found:
        assert found.stdout is not None
        found.stdout.readline()
        yield found
        found.kill()


def test_the_pulse_of_a_living_process_beats(process: subprocess.Popen[bytes]) -> None:
    pulse = Pulse(process.pid)
    assert pulse.beats
    assert pulse.beats
    pulse.close()
    pulse.close()


def test_it_stops_at_the_moment_of_the_kill(process: subprocess.Popen[bytes]) -> None:
    pulse = Pulse(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    assert not pulse.beats
    pulse.close()


def test_the_dead_have_none_before_and_after_they_are_buried(process: subprocess.Popen[bytes]) -> None:
    pulse = Pulse(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not pulse.beats
    process.wait()
    assert not pulse.beats
    pulse.close()


def test_a_name_may_hold_anything(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to(sys.executable)
    command = [str(program), "-I", "-S", "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as found:
        assert found.stdout is not None
        found.stdout.readline()
        pulse = Pulse(found.pid)
        beats = [pulse.beats]
        found.kill()
        beats.append(pulse.beats)
        assert beats == [True, False]
        pulse.close()


def test_where_nothing_is_told_it_beats() -> None:
    assert Pulse(2**22 + 1).beats
