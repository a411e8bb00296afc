"""A client of either era that does as little as one can, one request after the other on one connection."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECONDS = 60
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
INFO = {"name": "bench", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": INFO,
}


@dataclass
class Client:
    """Of the modern era until :meth:`initialize` was called."""

    port: int
    path: str
    key: str
    session: str = ""
    _made: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def initialize(self) -> None:
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": INFO}
        reply, _ = self._send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}, {})
        self.session = reply.headers["mcp-session-id"]
        if not self.session:
            raise RuntimeError("the gateway gives no session")
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"}, self._legacy())

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a request."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(params)}
        if self.session:
            headers = self._legacy()
        else:
            message["params"]["_meta"] = META
            headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            if "name" in params:
                headers["Mcp-Name"] = params["name"]
        _, body = self._send(message, headers)
        found = json.loads(body)
        if "result" not in found:
            raise RuntimeError(f"{method} was answered with {body[:300]!r}")
        result: dict[str, Any] = found["result"]
        return result

    def listen(self) -> None:
        """Leave a stream of changes open: nothing else can be sent afterwards."""
        params = {"_meta": META, "notifications": {"toolsListChanged": True}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        headers = self._headers({"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"})
        self._made.request("POST", self.path, json.dumps(message), headers)
        reply = self._made.getresponse()
        if reply.status != http.client.OK or b"acknowledged" not in reply.readline() + reply.readline():
            raise RuntimeError(f"listening was answered with {reply.status}")

    def close(self) -> None:
        self._made.close()

    def _legacy(self) -> dict[str, str]:
        return {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": self.session}

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        accept = "application/json, text/event-stream"
        common = {"Content-Type": "application/json", "Accept": accept, "Authorization": f"Bearer {self.key}"}
        return common | dict(more)

    def _send(self, message: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        self._made.request("POST", self.path, json.dumps(message), self._headers(headers))
        reply = self._made.getresponse()
        body = reply.read()
        if reply.status not in {http.client.OK, http.client.ACCEPTED}:
            raise RuntimeError(f"{message['method']} was answered with {reply.status}: {body[:300]!r}")
        if reply.headers.get_content_type() == "text/event-stream":
            body = next((x[5:] for x in body.splitlines() if x.startswith(b"data:") and b'"id"' in x), b"{}")
        return reply, body


def timed(client: Client, method: str, params: Mapping[str, Any], count: int) -> list[float]:
    """Milliseconds of each of so many requests."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        client.ask(method, params)
        took.append(1000 * (time.perf_counter() - began))
    return took
