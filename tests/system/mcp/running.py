"""The MCP servers of the tests as processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from system.mcp.installing import FOLDER, everything, venv

START_SECONDS = 30.0
Everything = Literal["dual", "legacy", "modern"]
Side = Literal["legacy", "modern"]
Wire = Literal["streamable-http", "sse", "stdio"]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], log: Path, port: int, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """A program that listens at ``port``, until the block ends."""
    with (
        log.open("w") as file,
        subprocess.Popen(command, cwd=FOLDER, env=os.environ | dict(env or {}), stdout=file, stderr=file) as running,
    ):
        try:
            wait(running, port, log)
            yield
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(5)
            except subprocess.TimeoutExpired:
                running.kill()


def wait(running: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until it listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert running.poll() is None, log.read_text()
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"it does not listen:\n{log.read_text()}")


@contextmanager
def running_everything(kind: Everything, home: Path) -> Iterator[str]:
    """The address of the conformance server: of both eras, or of one."""
    port = free_port()
    line: Literal["1", "2"] = "1" if kind == "legacy" else "2"
    python, source = str(venv(f"sdk-{line}")), str(everything(line))
    command = [python, "-m", "mcp_everything_server", "--port", str(port), "--log-level", "WARNING"]
    if kind == "modern":
        command = [python, str(FOLDER / "servers" / "modern_only.py"), str(port)]
    with process(command, home / f"{kind}.log", port, {"PYTHONPATH": source}):
        yield f"http://127.0.0.1:{port}/mcp"


def bridge_command(side: Side, wire: Wire, port: int) -> list[str]:
    """How the server is started that asks its clients everything."""
    python = venv("sdk-1" if side == "legacy" else "sdk-2")
    return [str(python), str(FOLDER / "servers" / f"bridge_{side}.py"), wire, str(port)]


@contextmanager
def running_bridge(side: Side, wire: Literal["streamable-http", "sse"], home: Path) -> Iterator[str]:
    """The address of that server."""
    port = free_port()
    with process(bridge_command(side, wire, port), home / f"bridge-{side}-{wire}.log", port):
        yield f"http://127.0.0.1:{port}/{'sse' if wire == 'sse' else 'mcp'}"
