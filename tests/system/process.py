"""The real ``pointsman`` as a process, and a client that writes raw bytes to it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEADLINE = 20.0
ADDRESS = re.compile(r"Pointsman listens on http://([^\s]+):(\d+)")
CLEAN_EXITS = (0, -signal.SIGTERM)
PROGRAM = Path(sys.executable).with_name("pointsman")


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """No more than a program needs: nothing of the developer's own keys and settings."""
    home.mkdir(parents=True, exist_ok=True)
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "POINTSMAN_DATA_DIR": str(home / "data")}
    return base | dict(extra or {})


def pointsman(
    home: Path, *args: str, env: Mapping[str, str] | None = None, timeout: float = DEADLINE
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [PROGRAM, *args],
        env=environment(home, env),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Gateway:
    """A running gateway. Use as a context manager: it must leave cleanly and without a traceback."""

    def __init__(
        self,
        home: Path,
        config: str | None = None,
        *args: str,
        env: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        program: tuple[str, ...] = (str(PROGRAM),),
        host: str | None = "127.0.0.1",
    ) -> None:
        self.home = home
        self.key = ""
        self.host, self.port = "", 0
        self._lines: list[str] = []
        self._announced = threading.Condition()
        self._is_ended = False
        command = [*prefix, *program, "serve", "--port", "0", "--drain-delay", "0", *args]
        if host is not None:
            command += ["--host", host]
        variables = environment(home, env)
        if config is not None:
            file = home / "config.yaml"
            file.write_text(config)
            command += ["--config", str(file)]
        # Each has its own, also of those that share a directory.
        self._errors = home / f"stderr-{len(list(home.glob('stderr-*.log')))}.log"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, env=variables, cwd=home, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        with self._announced:
            self._announced.wait_for(lambda: self.port or self._is_ended, DEADLINE)
        if not self.port:
            self.process.kill()
            raise AssertionError(f"the gateway did not start:\n{self.stdout}\n{self.stderr}")
        # The socket listens already: the answer comes when the gateway is ready.
        assert self.get("/health/readiness").status == 200
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self.stop()
        if kind is None:
            assert code in CLEAN_EXITS, f"exit code {code}:\n{self.stderr}"
            assert "Traceback" not in self.stderr, self.stderr
            assert "Traceback" not in self.stdout, self.stdout

    def stop(self) -> int:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
            raise AssertionError(f"the gateway did not stop:\n{self.stderr}") from None
        finally:
            self._reader.join(DEADLINE)
            if self.process.stdout is not None:
                self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = ADDRESS.search(line)
            with self._announced:
                self._lines.append(line)
                if found is not None:
                    self.host, self.port = found[1], int(found[2])
                    self._announced.notify_all()
        with self._announced:
            self._is_ended = True
            self._announced.notify_all()

    @property
    def stdout(self) -> str:
        """What it has printed."""
        with self._announced:
            return "".join(self._lines)

    @property
    def stderr(self) -> str:
        """What it has logged."""
        return self._errors.read_text()

    @property
    def base_url(self) -> str:
        """Without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout: float = DEADLINE) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, data: bytes) -> Reply:
        """Send bytes, and read the one reply to them."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_reply(sock)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> Reply:
        """One request on a connection of its own; ``body`` that is not bytes goes as JSON."""
        lines = {"host": f"127.0.0.1:{self.port}", "connection": "close"}
        used = self.key if key is None else key
        if used:
            lines["authorization"] = f"Bearer {used}"
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines |= {"content-type": "application/json", "content-length": str(len(data))}
        lines |= {name.lower(): value for name, value in (headers or {}).items()}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items() if v)
        return self.raw(head.encode("latin-1") + b"\r\n" + data)

    def get(self, path: str, headers: Mapping[str, str] | None = None, *, key: str | None = None) -> Reply:
        """A GET."""
        return self.request("GET", path, None, headers, key=key)

    def post(
        self, path: str, body: bytes | Any, headers: Mapping[str, str] | None = None, *, key: str | None = None
    ) -> Reply:
        """A POST."""
        return self.request("POST", path, body, headers, key=key)

    def metric(self, name: str) -> float:
        """The sum of all series of a metric."""
        text = self.get("/metrics").body.decode()
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in found)


@dataclass
class Reply:
    """A reply, read to its end."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_whole: bool = True
    """Whether the body ended as its framing says."""
    raw: bytes = field(default=b"", repr=False)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        error = self.json["error"]
        assert isinstance(error, dict)
        return error

    def header(self, name: str) -> str | None:
        """The first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def events(self) -> list[Any]:
        """The data of all events, decoded unless it is ``[DONE]``."""
        values = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [value if value == "[DONE]" else json.loads(value) for value in values]


def read_reply(sock: socket.socket) -> Reply:
    """Read until the server closes, or until a reply on a live connection is complete; 1xx are skipped."""
    data = b""
    while True:
        reply = _parse(data, is_ended=False)
        if reply is not None:
            return reply
        try:
            piece = sock.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        if not piece:
            reply = _parse(data, is_ended=True)
            if reply is None:
                raise ConnectionError(f"closed without a reply: {data!r}")
            return reply
        data += piece


def _parse(data: bytes, *, is_ended: bool) -> Reply | None:
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    if status < 200:
        return _parse(rest, is_ended=is_ended)
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    known = dict(headers)
    if known.get("transfer-encoding") == "chunked":
        body, is_whole = _dechunk(rest)
    elif "content-length" in known:
        body, is_whole = rest, len(rest) >= int(known["content-length"])
    else:
        body, is_whole = rest, is_ended
    return Reply(status, headers, body, is_whole, data) if is_whole or is_ended else None


def _dechunk(data: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            return body, False
        size = int(line, 16)
        if not size:
            return body, data.startswith(b"\r\n")
        body += data[:size]
        if len(data) < size + 2:
            return body, False
        data = data[size + 2 :]


def generated_key(gateway: Gateway, master: str, asked: Mapping[str, Any]) -> str:
    """A new key. A store that takes its time to open is told as a 503 that asks to try again."""
    deadline = time.monotonic() + DEADLINE
    while (made := gateway.post("/key/generate", dict(asked), key=master)).status == 503:
        assert time.monotonic() < deadline, made.body
        time.sleep(0.1)
    assert made.status == 200, made.body
    return str(made.json["key"])
