"""Programs that the tests start beside the gateway, each of which listens at a port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30.0


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
        subprocess.Popen(command, env=os.environ | dict(env or {}), stdout=file, stderr=file) as running,
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
