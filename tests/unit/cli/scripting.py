"""A gateway that gives one answer after the other to each path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

Answers = dict[str, list[tuple[int, Any]]]
"""By method and path, such as ``GET /v1/files``; the last one stays."""


class Scripted:
    """Keeps what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.asked: list[tuple[str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                what = f"{self.command} {self.path}"
                outer.asked.append((what, self.rfile.read(int(self.headers["content-length"] or 0))))
                given = answers[what]
                status, value = given.pop(0) if len(given) > 1 else given[0]
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  the library's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def scripted(answers: Answers) -> Iterator[Scripted]:
    server = Scripted(answers)
    server.start()
    try:
        yield server
    finally:
        server.stop()
