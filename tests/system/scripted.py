"""An HTTP server that fails as it is told: what the scripted servers and agents of the tests have in common."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SECONDS = 10.0


class Silent(ThreadingHTTPServer):
    """Whoever leaves in the middle is no error."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@dataclass(kw_only=True)
class ScriptedHost:
    """Listens while the block lasts; what it answers is its heirs' affair."""

    port: int = 0
    grants: list[dict[str, Any]] = field(default_factory=list)
    """What is given to whoever asks for a token, one after the other."""
    left: threading.Event = field(default_factory=threading.Event)
    """Somebody has gone who waited for an answer."""
    _released: threading.Event = field(default_factory=threading.Event)
    _server: Silent | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, at the port of before if there was one."""
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name there
                """Say nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/token":
                    scripted.grant(self)
                else:
                    scripted.post(self, body)

            def do_GET(self) -> None:
                scripted.get(self)

            def do_DELETE(self) -> None:
                scripted.delete(self)

        self._released.clear()
        self._server = Silent(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more; whoever waits is left alone."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        """Where tokens are given."""
        return f"{self.origin}/token"

    def post(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a POST."""
        raise NotImplementedError

    def get(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET."""
        raise NotImplementedError

    def delete(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a DELETE."""
        raise NotImplementedError

    def grant(self, request: BaseHTTPRequestHandler) -> None:
        """Give a token."""
        given = self.grants.pop(0) if self.grants else {"error": "invalid_client"}
        self.reply(request, 200 if "access_token" in given else 401, json.dumps(given).encode())

    def hang(self, request: BaseHTTPRequestHandler, _: Any = None) -> None:
        """Say nothing until the other side goes."""
        request.close_connection = True
        request.connection.settimeout(0.02)
        while not self._released.is_set():
            try:
                if request.connection.recv(1) == b"":
                    self.left.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.left.set()
                return

    def drop(self, request: BaseHTTPRequestHandler, _: Any = None) -> None:
        """Close the connection without an answer."""
        request.close_connection = True
        with contextlib.suppress(OSError):
            request.connection.shutdown(socket.SHUT_RDWR)

    def malformed(self, request: BaseHTTPRequestHandler, _: Any) -> None:
        """Answer with what is no JSON."""
        self.reply(request, 200, b'{"jsonrpc": "2.0", ')

    @staticmethod
    def open(request: BaseHTTPRequestHandler) -> None:
        """Begin a stream of events."""
        request.send_response(200)
        request.send_header("content-type", "text/event-stream")
        request.send_header("connection", "close")
        request.end_headers()
        request.close_connection = True

    def result(
        self,
        request: BaseHTTPRequestHandler,
        message: Any,
        result: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a JSON-RPC request as is right."""
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        self.reply(request, 200, body, headers)

    @staticmethod
    def reply(
        request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with these bytes."""
        request.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **(headers or {}),
        }.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


def until(is_so: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
