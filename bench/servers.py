"""The gateways under test: how each is started, asked, put to sleep while others run, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import machine, peers
from bench.programs import BENCH, CHAT, EMBEDDINGS, MASTER_KEY, ROOT, VIRTUAL_KEY, WORK, Load, environment

START_LIMIT = 90
STOP_LIMIT = 8
CALM_LIMIT = 20
CALM_SHARE = 0.05
CALM_WINDOW = 0.2
ASK_LIMIT = 20


@dataclass(frozen=True)
class Target:
    """One entry of targets.json; a target without a command is the upstream itself."""

    name: str
    port: int
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    install: list[str] = field(default_factory=list)
    serving_path: str = ""  # modules that are imported to serve
    paced_streams: int = 100  # as many as it carries without falling behind
    wait_seconds: float = 0  # a slow target needs longer to answer each of 2,000 connections
    missing: str = "not installed"
    source: str = ""  # the checkout, where it is not this one

    @property
    def python(self) -> str:
        return str(Path(self.command[0]).parent / "python")


def read_targets(path: Path) -> dict[str, Target]:
    targets = {}
    for name, entry in json.loads(path.read_text()).items():
        places = {"work": str(WORK), "bench": str(BENCH), "root": str(ROOT), "peer": str(peers.home(name))}
        command = [_fill(word, places) for word in entry.pop("command", [])]
        environment = {k: _fill(v, places) for k, v in entry.pop("environment", {}).items()}
        targets[name] = Target(name=name, command=command, environment=environment, **entry)
    return targets


def beside(own: Target, name: str, folder: Path, port: int) -> Target:
    """The gateway of another checkout, run by the interpreter and with the libraries of this one."""
    command = [str(port) if word == str(own.port) else word for word in own.command]
    places = {"PYTHONPATH": str(folder / "src"), "POINTSMAN_DATA_DIR": str(WORK / f"{name}-data")}
    return replace(own, name=name, port=port, command=command, environment=own.environment | places, source=str(folder))


def _fill(text: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        text = text.replace("{" + name + "}", place)
    return text


def ask(port: int, path: str, body: bytes, key: str = MASTER_KEY, timeout: float = ASK_LIMIT) -> int:
    """Status of one request; 0 if there was no answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    return answer.status


class Server:
    """A running target. It sleeps (SIGSTOP) unless it is being measured, so that idle peers take no CPU."""

    def __init__(self, target: Target, *, real_time: bool) -> None:
        self.target = target
        self._real_time = real_time
        self._process: subprocess.Popen[bytes] | None = None
        self._pids: list[int] = []

    @property
    def pids(self) -> list[int]:
        return self._pids

    @property
    def has_process(self) -> bool:
        return bool(self.target.command)

    def start(self) -> float:
        """Start and return the seconds from exec to the first 200; RuntimeError if it never came."""
        if not self.has_process:
            return 0.0
        self._refuse_foreign_server()
        log = WORK / f"{self.target.name}.log"
        began = time.monotonic()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                machine.pinned(self.target.command, machine.GATEWAY_CPU, real_time=self._real_time),
                stdout=out,
                stderr=out,
                cwd=WORK,
                env=environment(self.target.environment),
                start_new_session=True,
            )
        self._await_first_answer(self._process, began, log)
        took = time.monotonic() - began
        self._pids = machine.family(self._process.pid)
        return took

    def _refuse_foreign_server(self) -> None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.target.port)) == 0:
                raise RuntimeError(f"port {self.target.port} is already taken")

    def _await_first_answer(self, process: subprocess.Popen[bytes], began: float, log: Path) -> None:
        body = (WORK / "chat.json").read_bytes()
        status = 0
        while time.monotonic() - began < START_LIMIT:
            status = ask(self.target.port, CHAT, body)
            if status == http.HTTPStatus.OK:
                return
            if process.poll() is not None:
                break
            time.sleep(0.005)
        self.stop()
        tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
        raise RuntimeError(f"did not start (last status {status}): {tail[:300]}")

    def restart(self) -> float:
        self.stop()
        return self.start()

    def wrong_key_status(self) -> int:
        return ask(self.target.port, CHAT, (WORK / "chat.json").read_bytes(), key="sk-wrong")

    def status_of(self, load: Load) -> int:
        """Status for the request that the load repeats, to find out whether the target can do it."""
        if load.mode == "hold":
            return http.HTTPStatus.OK
        path = EMBEDDINGS if load.path == EMBEDDINGS else CHAT
        return ask(self.target.port, path, (WORK / f"{load.body}.json").read_bytes(), key=load.key)

    def make_key(self) -> None:
        """Let the virtual key in, with limits and a budget that no load reaches; a thread writes what it spends."""
        machine.take_turns(self._pids)
        wanted = {"key": VIRTUAL_KEY, "rpm_limit": 10**9, "tpm_limit": 10**12, "max_budget": 10**6}
        ask(self.target.port, "/key/generate", json.dumps(wanted).encode())

    def folded(self) -> int:
        """How many events of the ledger were added up because they could not be written fast enough."""
        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=ASK_LIMIT)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {MASTER_KEY}"})
            told = connection.getresponse().read().decode()
        found = re.search(r"^pointsman_spend_events_folded_total (\S+)", told, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def forget(self) -> None:
        """Delete what an earlier session has left: a gateway that has keys opens their store when it starts."""
        if "POINTSMAN_DATA_DIR" in self.target.environment:
            shutil.rmtree(self.target.environment["POINTSMAN_DATA_DIR"], ignore_errors=True)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)
        if self._process:
            self._pids = machine.family(self._process.pid)  # workers may have been replaced

    def sleep(self) -> None:
        self._signal(signal.SIGSTOP)

    def calm_down(self) -> None:
        """Wait until what the last load left behind has been worked off."""
        deadline = time.monotonic() + CALM_LIMIT
        while self.has_process and time.monotonic() < deadline:
            before = machine.cpu_seconds(self._pids)
            time.sleep(CALM_WINDOW)
            if machine.cpu_seconds(self._pids) - before < CALM_SHARE * CALM_WINDOW:
                return

    def stop(self) -> None:
        process = self._process
        if process is None:
            return
        family = machine.family(process.pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    os.kill(pid, signal.SIGCONT)
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                continue
            break
        # The last signal is for members that outlived their parent.
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process, self._pids = None, []

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
