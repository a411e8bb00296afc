"""Record anew what the agents send: ``cd tests && python -m system.agents.record [NAME ...]``.

Prompts and descriptions are cut, since they belong to the makers of the agents; of the tools only some are kept.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from system.agents.plays import PLAYS, Play
from system.agents.programs import PROGRAMS, Asking
from system.agents.setting import GATEWAY_KEY, exchanged, stage

GOLDEN = Path(__file__).parents[2] / "golden" / "agents"
HEADERS = ("anthropic-beta", "anthropic-version", "originator", "x-openai-internal-codex-responses-lite")
PROSE = frozenset({"text", "description", "content", "definition", "instructions"})
MAX_PROSE = 32
MASKED: Mapping[str, Any] = {
    "client_metadata": {"session_id": "0"},
    "prompt_cache_key": "0",
    "user_id": '{"session_id":"0"}',
}


@contextmanager
def relay(port: int, sent: list[dict[str, Any]]) -> Iterator[str]:
    """An address whose requests go on to ``port`` and are noted in ``sent``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", self.path, body, {**headers, "accept-encoding": "identity"})
            answer = connection.getresponse()
            data = answer.read()
            kept = {name: headers[name] for name in HEADERS if name in headers}
            sent.append({"path": self.path, "headers": kept, "request": json.loads(body)})
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def trimmed(value: Any, called: frozenset[str]) -> Any:
    """A request without long prose, private names and most of its tools."""
    if isinstance(value, list):
        return [trimmed(each, called) for each in value]
    if not isinstance(value, dict):
        return value
    small = {}
    for name, each in value.items():
        if name in MASKED:
            small[name] = MASKED[name]
        elif name in PROSE and isinstance(each, str) and len(each) > MAX_PROSE:
            small[name] = each[:MAX_PROSE] + "…"
        elif name in ("tools", "functionDeclarations") and isinstance(each, list):
            small[name] = [trimmed(tool, called) for tool in each if _is_kept(tool, called)]
        else:
            small[name] = trimmed(each, called)
    return small


def _is_kept(tool: Mapping[str, Any], called: frozenset[str]) -> bool:
    """Tools that are called, and those that are more than a plain function."""
    plain = {"type", "name", "description", "parameters", "parametersJsonSchema", "input_schema", "strict"}
    return tool.get("name") in called or tool.get("type", "function") != "function" or not tool.keys() <= plain


def record(name: str, play: Play, node: str, home: Path) -> None:
    """Run the agent, and write what it sent with what came of that."""
    with stage(home) as (gateway, providers):
        one = providers[play.dialect]
        one.play(play.steps)
        sent: list[dict[str, Any]] = []
        with relay(gateway.port, sent) as address:
            PROGRAMS[play.agent](Asking(node, home / "agent", address, GATEWAY_KEY, play.model))
        assert not one.complaints, one.complaints
        called = frozenset(call.tool for step in play.steps if not isinstance(step, str) for call in step)
        exchanges = []
        for each in sent:
            small = {**each, "request": trimmed(each["request"], called)}
            exchanges.append({**small, **exchanged(gateway, one, small)})
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(exchanges, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Record the plays that are named, or all."""
    node = shutil.which("node")
    assert node is not None
    for name in sys.argv[1:] or PLAYS:
        with tempfile.TemporaryDirectory() as home:
            record(name, PLAYS[name], node, Path(home))


if __name__ == "__main__":
    main()
