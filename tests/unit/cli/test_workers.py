from __future__ import annotations

import asyncio
import importlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from pointsman.cli.workers import MAX_LEAVING, MAX_PAUSE, Supervisor, Worker, pause_after, spawn
from pointsman.edge.drain import READY
from pointsman.edge.line import packed

TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL
module = importlib.import_module("pointsman.cli.workers")


class FakeProcess:
    """A worker's process that ends when it is told to, unless it is busy."""

    def __init__(self, pid: int, line: socket.socket, *, is_busy: bool) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.signals: list[int] = []
        self.said: list[Any] = []
        self.line = line
        self.is_busy = is_busy
        self._ended = asyncio.Event()

    def take(self, what: int) -> None:
        if self.returncode is not None:
            return
        self.signals.append(what)
        if what == KILL or not self.is_busy:
            self.exit(-KILL if what == KILL else 0)

    def exit(self, code: int) -> None:
        self.returncode = code
        self.line.close()
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def heard(self) -> list[Any]:
        """All messages that its parent has sent so far."""
        with suppress(BlockingIOError):
            while data := self.line.recv(65_536, socket.MSG_DONTWAIT):
                self.said += map(json.loads, data.splitlines())
        return self.said

    @property
    def is_retired(self) -> bool:
        """Whether the parent has closed its end."""
        try:
            while self.line.recv(1024, socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            return False
        return True


class Pauses:
    """Keeps the failures that are rested after, and rests as long as the test says."""

    def __init__(self) -> None:
        self.failures: list[int] = []
        self.seconds = 0.0

    def __call__(self, failures: int) -> float:
        self.failures.append(failures)
        return self.seconds


class Stage:
    """Spawns processes as the test says, and runs their supervisor."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.listener = socket.socket()
        self.outcomes: list[str] = []
        """Of the next starts: ``serves`` (the default), ``busy``, ``fails``, ``hangs``, ``no room`` or ``late``."""
        self.room = asyncio.Event()
        self.running: asyncio.Task[int] | None = None
        self.supervisor: Supervisor

    async def spawn(self) -> Worker:
        outcome = self.outcomes.pop(0) if self.outcomes else "serves"
        if outcome == "late":
            await self.room.wait()
        if outcome == "no room":
            raise BlockingIOError(11, "Resource temporarily unavailable")
        ours, theirs = socket.socketpair()
        process = FakeProcess(len(self.processes) + 1, theirs, is_busy=outcome == "busy")
        self.processes.append(process)
        if outcome in ("serves", "busy", "late"):
            theirs.send(READY)
        elif outcome == "fails":
            process.exit(1)
        return Worker(process, ours, lambda _, what: process.take(what))

    def begin(self, count: int, patience: float = 60.0) -> None:
        self.supervisor = Supervisor(self.spawn, self.listener, count=count, patience=patience)
        self.running = asyncio.create_task(self.supervisor.run())

    async def serving(self, *pids: int) -> None:
        """Wait until exactly these serve."""
        await until(lambda: {w.process.pid for w in self.supervisor._serving()} == {*pids})

    async def result(self) -> int:
        assert self.running is not None
        async with asyncio.timeout(5):
            return await self.running

    def alive(self) -> list[FakeProcess]:
        return [process for process in self.processes if process.returncode is None]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    for process in made.alive():
        process.exit(-KILL)
    if made.running is not None and not made.running.done():
        made.supervisor.end(TERM)
        await made.running
    made.listener.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made = Pauses()
    monkeypatch.setattr(module, "pause_after", made)
    return made


@pytest.mark.parametrize("how", [TERM, INT])
async def test_what_ends_the_parent_ends_every_worker(stage: Stage, how: signal.Signals) -> None:
    stage.begin(3)
    await stage.serving(1, 2, 3)
    stage.supervisor.end(how)
    assert await stage.result() == 0
    assert [process.signals for process in stage.processes] == [[how]] * 3
    # A backlog in which nobody looks would hold clients back.
    assert stage.listener.fileno() == -1


async def test_a_worker_that_has_just_begun_is_told_with_the_signal_that_it_understands(stage: Stage) -> None:
    stage.outcomes = ["hangs"]
    stage.begin(2)
    await stage.serving(2)
    stage.supervisor.end(INT)
    assert await stage.result() == 0
    assert [process.signals[0] for process in stage.processes] == [TERM, INT]


async def test_a_worker_that_was_on_its_way_when_the_end_came_is_told_too(stage: Stage) -> None:
    stage.outcomes = ["serves", "late"]
    stage.begin(2)
    await stage.serving(1)
    stage.supervisor.end(INT)
    stage.room.set()
    assert await stage.result() == 0
    assert stage.processes[1].signals == [TERM]


async def test_a_second_signal_kills(stage: Stage) -> None:
    stage.outcomes = ["busy"]
    stage.begin(1)
    await stage.serving(1)
    stage.supervisor.end(TERM)
    stage.supervisor.end(TERM)
    assert await stage.result() == 1
    assert stage.processes[0].signals == [TERM, KILL]


async def test_a_worker_that_does_not_end_is_killed_in_the_end(stage: Stage) -> None:
    stage.outcomes = ["busy"]
    stage.begin(1, patience=0.0)
    await stage.serving(1)
    stage.supervisor.end(TERM)
    assert await stage.result() == 1
    assert stage.processes[0].signals == [TERM, KILL]


async def test_a_worker_that_cannot_start_has_time_to_say_why(stage: Stage) -> None:
    stage.outcomes = ["hangs"]
    stage.begin(1)
    await until(lambda: len(stage.processes) == 1)
    stage.processes[0].line.close()
    await until(lambda: stage.supervisor._is_ending)
    assert stage.processes[0].signals == []
    stage.processes[0].exit(1)
    assert await stage.result() == 1


async def test_a_worker_that_was_lost_before_does_not_make_the_end_unclean(stage: Stage) -> None:
    stage.begin(2)
    await stage.serving(1, 2)
    stage.processes[0].line.close()
    await stage.serving(2, 3)
    stage.supervisor.end(TERM)
    stage.processes[0].exit(-KILL)
    assert await stage.result() == 0


@pytest.mark.parametrize("outcome", ["fails", "no room"])
async def test_workers_that_cannot_start_end_the_gateway(stage: Stage, outcome: str) -> None:
    stage.outcomes = ["serves", outcome]
    stage.begin(2)
    assert await stage.result() == 1
    assert stage.alive() == []


async def test_a_worker_that_does_not_come_to_serve_is_killed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.0)
    monkeypatch.setattr(module, "LAST_WORDS_SECONDS", 0.0)
    stage.outcomes = ["hangs"]
    stage.begin(1)
    assert await stage.result() == 1
    assert stage.processes[0].signals == [KILL]


async def test_a_worker_that_dies_is_replaced_and_the_others_are_left_alone(stage: Stage, caplog: Any) -> None:
    stage.begin(2)
    await stage.serving(1, 2)
    stage.processes[0].exit(-KILL)
    await stage.serving(2, 3)
    assert not stage.processes[1].is_retired
    assert "worker 1 died and is replaced" in caplog.text


async def test_replacements_are_tried_until_one_serves(stage: Stage, pauses: Pauses) -> None:
    stage.begin(1)
    await stage.serving(1)
    stage.outcomes = ["fails", "no room", "fails"]
    stage.processes[0].exit(1)
    await stage.serving(4)
    assert pauses.failures == [1, 2, 3, 4]


async def test_workers_that_die_old_are_replaced_without_a_rest(
    stage: Stage, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "YOUNG_SECONDS", 0.0)
    stage.begin(1)
    for pid in (1, 2, 3):
        await stage.serving(pid)
        stage.processes[-1].exit(1)
    await stage.serving(4)
    assert pauses.failures == [0, 0, 0]


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 0), (2, 0.5), (3, 1), (5, 4), (9, MAX_PAUSE), (9999, 30)]
)
def test_rests_grow_up_to_a_bound(failures: int, seconds: float) -> None:
    assert pause_after(failures) == seconds


async def test_a_signal_ends_a_rest(stage: Stage, pauses: Pauses) -> None:
    pauses.seconds = 3600.0
    stage.begin(1)
    await stage.serving(1)
    stage.processes[0].exit(1)
    await until(lambda: bool(pauses.failures))
    stage.supervisor.restart()
    await stage.serving(2)
    stage.processes[1].exit(1)
    await until(lambda: len(pauses.failures) == 2)
    stage.supervisor.end(TERM)
    await stage.result()
    assert len(stage.processes) == 2


async def test_what_one_worker_says_is_told_to_all_others_and_its_state_to_later_ones(stage: Stage) -> None:
    stage.begin(2)
    await stage.serving(1, 2)
    one, other = stage.processes
    state = packed({"kind": "state", "pid": 1, "state": {"hash": "a"}})
    one.line.send(state + packed({"kind": "ask", "id": "1-1", "pid": 1, "what": {"do": "reload"}}))
    await until(lambda: bool(other.heard()))
    assert [message["kind"] for message in other.said] == ["state", "ask"]
    assert not one.heard()
    other.exit(1)
    await stage.serving(1, 3)
    await until(lambda: bool(stage.processes[2].heard()))
    assert stage.processes[2].said == [{"kind": "state", "pid": 1, "state": {"hash": "a"}}]
    await until(lambda: {"kind": "gone", "pid": 2} in one.heard())


async def test_a_hangup_asks_all_workers_to_read_the_config_again(stage: Stage) -> None:
    stage.begin(2)
    await stage.serving(1, 2)
    stage.supervisor.reload()
    for process in stage.processes:
        await until(lambda process=process: bool(process.heard()))  # type: ignore[misc]
        assert process.said[0]["what"] == {"do": "reload", "who": "SIGHUP"}
        assert not process.signals


@pytest.mark.requirement("config.reload.asks")
async def test_who_is_just_starting_is_asked_as_soon_as_it_serves(stage: Stage) -> None:
    stage.begin(2)
    await stage.serving(1, 2)
    stage.outcomes = ["hangs"]
    stage.processes[1].exit(1)
    await until(lambda: len(stage.processes) == 3)
    stage.supervisor.reload()
    stage.processes[2].line.send(READY)
    await until(lambda: any(one["kind"] == "ask" for one in stage.processes[2].heard()))
    assert stage.processes[2].said[-1]["what"] == {"do": "reload", "who": "SIGHUP"}
    for process in (stage.processes[0], stage.processes[2]):
        process.line.send(packed({"kind": "done", "pid": process.pid, "id": "0-1", "outcome": {}}))
    await until(lambda: stage.supervisor._asks._asks["0-1"].ended < float("inf"))
    stage.processes[0].exit(1)
    await stage.serving(3, 4)
    assert not [one for one in stage.processes[3].heard() if one["kind"] == "ask"]


@pytest.mark.requirement("config.reload.asks")
async def test_what_a_retired_worker_asks_for_is_passed_on_and_what_it_says_of_itself_is_not(stage: Stage) -> None:
    stage.outcomes = ["busy", "busy"]
    stage.begin(2)
    await stage.serving(1, 2)
    stage.supervisor.restart()
    await stage.serving(3, 4)
    state = packed({"kind": "state", "pid": 1, "state": {"hash": "a"}})
    stage.processes[0].line.send(state + packed({"kind": "ask", "id": "1-1", "pid": 1, "what": {"do": "reload"}}))
    for process in stage.processes[2:]:
        await until(lambda process=process: bool([one for one in process.heard() if one["kind"] == "ask"]))  # type: ignore[misc]
        assert not [one for one in process.said if one["kind"] == "state"]


async def test_a_worker_that_does_not_listen_is_told_of_once(stage: Stage, caplog: Any) -> None:
    stage.begin(1)
    await stage.serving(1)
    worker = stage.supervisor._workers[0]
    for _ in range(40):
        worker.tell({"kind": "state", "pid": 2, "state": {"text": "x" * 100_000}})
    assert caplog.text.count("worker 1 does not listen") == 1


async def test_a_restart_retires_each_worker_when_its_successor_serves(stage: Stage, caplog: Any) -> None:
    caplog.set_level("INFO")
    stage.outcomes = ["busy", "busy", "hangs"]
    stage.begin(2)
    await stage.serving(1, 2)
    stage.supervisor.restart()
    await until(lambda: len(stage.processes) == 3)
    assert [process.is_retired for process in stage.processes[:2]] == [False, False]
    stage.processes[2].line.send(READY)
    await stage.serving(3, 4)
    assert [process.is_retired for process in stage.processes] == [True, True, False, False]
    # They finish what they have: no signal, nobody waits for them.
    assert stage.processes[0].signals == stage.processes[1].signals == []
    assert "all workers were replaced" in caplog.text


async def test_a_restart_is_given_up_when_the_new_worker_does_not_start(stage: Stage, caplog: Any) -> None:
    stage.begin(2)
    await stage.serving(1, 2)
    stage.outcomes = ["fails"]
    stage.supervisor.restart()
    await until(lambda: "the restart was given up" in caplog.text)
    await stage.serving(1, 2)
    assert len(stage.processes) == 3
    stage.supervisor.restart()
    await stage.serving(4, 5)


async def test_a_restart_while_workers_start_replaces_those_too(stage: Stage) -> None:
    stage.outcomes = ["hangs"]
    stage.begin(2)
    await stage.serving(2)
    stage.supervisor.restart()
    stage.processes[0].line.send(READY)
    await stage.serving(3, 4)


async def test_a_death_is_more_urgent_than_a_restart(stage: Stage) -> None:
    stage.begin(3)
    await stage.serving(1, 2, 3)
    stage.processes[0].exit(1)
    stage.supervisor.restart()
    # The replacement of the first is new enough; it is not replaced again.
    await until(lambda: len(stage.processes) == 6 and not stage.supervisor._stale)
    await stage.serving(4, 5, 6)


async def test_a_restart_that_is_overtaken_by_the_end_retires_nobody(stage: Stage) -> None:
    stage.begin(1)
    await stage.serving(1)
    stage.outcomes = ["hangs"]
    stage.supervisor.restart()
    await until(lambda: len(stage.processes) == 2)
    stage.supervisor.end(TERM)
    assert await stage.result() == 0
    assert [process.signals[0] for process in stage.processes] == [TERM, TERM]


async def test_the_next_restart_waits_while_too_many_old_workers_are_busy(stage: Stage) -> None:
    stage.outcomes = ["busy"] * (MAX_LEAVING + 1)
    stage.begin(1)
    for pid in range(1, MAX_LEAVING + 1):
        await stage.serving(pid)
        stage.supervisor.restart()
    last = MAX_LEAVING + 1
    await stage.serving(last)
    stage.supervisor.restart()
    await until(lambda: not stage.supervisor._woken.is_set())
    assert len(stage.processes) == last
    stage.processes[0].exit(0)
    await stage.serving(last + 1)


async def test_retired_workers_are_waited_for_and_not_told_again(stage: Stage) -> None:
    stage.outcomes = ["busy"]
    stage.begin(1)
    await stage.serving(1)
    stage.supervisor.restart()
    await stage.serving(2)
    stage.supervisor.end(TERM)
    await until(lambda: stage.processes[1].returncode is not None)
    assert stage.running is not None
    assert not stage.running.done()
    assert stage.processes[0].signals == []
    stage.processes[0].exit(0)
    assert await stage.result() == 0


SCRIPT = """
import os, socket, sys
assert sys.argv[1] == "--inherited", sys.argv
listener, line, loans = (socket.socket(fileno=int(text)) for text in sys.argv[2:])
assert listener.getsockname()[1] == PORT
assert os.getsid(0) == os.getpid()
loans.send(b"lend!")
assert loans.recv(1) == b""
line.send(b".")
line.recv(1)
"""


async def test_a_process_inherits_the_listener_a_line_that_says_when_its_parent_is_done_and_one_to_borrow() -> None:
    deaths: list[Worker] = []
    asked: list[bytes] = []

    async def lend(sock: socket.socket) -> None:
        with sock:
            sock.setblocking(False)
            asked.append(await asyncio.get_running_loop().sock_recv(sock, 5))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = SCRIPT.replace("PORT", str(listener.getsockname()[1]))
        worker = await spawn([sys.executable, "-c", script], listener, lend)
        assert await worker.has_started(deaths.append, lambda *_: None)
        worker.retire()
        async with asyncio.timeout(20):
            assert await worker.process.wait() == 0
        await until(lambda: deaths == [worker])
        worker.send(KILL)
    assert asked == [b"lend!"]


async def test_a_program_that_is_not_there_is_an_error_without_a_leak() -> None:
    async def lend(_sock: socket.socket) -> None:
        raise AssertionError("there is nobody to lend to")

    with socket.socket() as listener, pytest.raises(FileNotFoundError):
        await spawn(["/nonexistent/python"], listener, lend)
