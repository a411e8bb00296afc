"""Upstreams and fault proxies as processes that a test can kill and freeze."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from chaos.faults import HOST, Counts, Fault

TESTS = Path(__file__).parents[1]
DEADLINE = 10.0


class Process:
    """A module of this folder that prints its ports first."""

    def __init__(self, module: str, *args: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"chaos.{module}", *args], stdout=subprocess.PIPE, text=True, cwd=TESTS
        )
        assert self._process.stdout is not None
        self.ports = [int(port) for port in self._process.stdout.readline().split()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def port(self) -> int:
        """Where it serves."""
        return self.ports[0]

    def freeze(self) -> None:
        """Let the kernel go on accepting connections and bytes, and nobody answer."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(DEADLINE)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Upstream(Process):
    """See :mod:`chaos.upstream_process`."""

    def __init__(self) -> None:
        super().__init__("upstream_process")

    def state(self) -> dict[str, int]:
        """What it counts."""
        found: dict[str, int] = json.loads(exchange(self.port, "GET", "/state")[1])
        return found


class FaultProxy(Process):
    """See :mod:`chaos.fault_process`."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__("fault_process", str(upstream_port))

    def put(self, **fault: Any) -> None:
        """Put a :class:`~chaos.faults.Fault` in force."""
        status, text = exchange(self.ports[1], "PUT", "/fault", msgspec.json.encode(Fault(**fault)))
        assert status == 200, text

    def counts(self) -> Counts:
        """What came since then."""
        return msgspec.json.decode(exchange(self.ports[1], "GET", "/counts")[1], type=Counts)


def exchange(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=DEADLINE)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
