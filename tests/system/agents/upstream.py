"""Providers on loopback that play a turn in which an agent uses its tools."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from system.agents.players import Anthropic, Chat, Player, Refused, Responses, Step, insist

PLAYERS: Mapping[str, Player] = {"anthropic": Anthropic(), "chat": Chat(), "responses": Responses()}
ASIDE = "Pointsman"
"""The answer to what an agent asks without tools, on the side."""


@dataclass(frozen=True)
class Asked:
    """A request as the provider got it."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Provider:
    """One that speaks one dialect, at one address, and plays ``steps`` to whoever asks."""

    player: Player
    key: str
    steps: Sequence[Step] = ()
    asked: list[Asked] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Why requests were refused."""
    address: str = ""

    def play(self, steps: Sequence[Step]) -> None:
        """Begin anew, with these steps."""
        self.steps = steps
        self.asked.clear()
        self.complaints.clear()

    def answer(self, asked: Asked) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        self.asked.append(asked)
        try:
            header, lead = self.player.key
            insist(asked.path.partition("?")[0] == self.player.path, f"there is no {asked.path}")
            insist(asked.headers.get(header) == lead + self.key, "the key is wrong")
            insist(asked.body.get("stream") is True, "agents stream")
            done = self.player.results(asked.body)
            step = self._after(done) if _has_tools(asked.body) else ASIDE
        except Refused as refused:
            self.complaints.append(str(refused))
            return 400, "application/json", json.dumps(self.player.error(str(refused))).encode()
        events = self.player.events(asked.body, step, done)
        written = [f"{_name(event)}data: {json.dumps(event)}\n\n" for event in events]
        if isinstance(self.player, Chat):
            written.append("data: [DONE]\n\n")
        return 200, "text/event-stream", "".join(written).encode()

    def _after(self, done: int) -> Step:
        calls = 0
        for step in self.steps:
            if calls == done:
                return step
            calls += len(step)
        raise Refused(f"there is no step after {done} calls")


def _has_tools(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools")) or any(item.get("type") == "additional_tools" for item in body.get("input", ()))


def _name(event: Mapping[str, Any]) -> str:
    return f"event: {event['type']}\n" if "type" in event else ""


@contextmanager
def provider(dialect: str, key: str) -> Iterator[Provider]:
    """A provider in threads of its own."""
    one = Provider(PLAYERS[dialect], key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, data = one.answer(Asked(self.path, headers, json.loads(body)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    one.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
