"""A Redis of its own for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

PROGRAMS = ("redis-server", "valkey-server")
START_SECONDS = 20.0


class RedisServer:
    """A server on a free port that keeps nothing on disk."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._directory = tempfile.mkdtemp(prefix="pointsman-redis-")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        found = program()
        assert found is not None, "there is no redis-server"
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._directory}
        command = [found, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def run(self, *words: str) -> bytes:
        """Send a command, and give the bytes of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
            line.sendall(" ".join(words).encode() + b"\r\n")
            return line.recv(65_536)

    def _answers(self) -> bool:
        try:
            return self.run("PING") == b"+PONG\r\n"
        except OSError:
            return False


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def redis_or_skip() -> RedisServer:
    """A server that was started."""
    if program() is None and os.environ.get("POINTSMAN_TESTS_REQUIRE_ALL") != "1":
        pytest.skip("there is no Redis here: install redis-server to run this")
    return RedisServer()
