"""An MCP server that fails as it is told, and a legacy client that sees every byte of what a gateway makes of it."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import uuid4

from system.process import Gateway, Reply
from system.scripted import SECONDS, ScriptedHost

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
BOTH = "application/json, text/event-stream"
ECHO = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}


@dataclass
class ScriptedServer(ScriptedHost):
    """Of the legacy revisions, with sessions. Tools behave by their names."""

    tools: list[dict[str, Any]] = field(default_factory=lambda: [dict(ECHO)])
    heard: list[dict[str, Any]] = field(default_factory=list)
    """All messages."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of the requests that they came in."""
    sessions: set[str] = field(default_factory=set)
    hangs_in: set[str] = field(default_factory=set)
    """Methods that are not answered."""
    tokens: set[str] | None = None
    """That are let in; ``None``: nobody needs one."""
    location: str = ""
    """Where everybody is redirected to."""
    behaviours: dict[str, Callable[[BaseHTTPRequestHandler, Any], None]] = field(default_factory=dict)
    """What a tool does instead of echoing."""
    streams: list[BaseHTTPRequestHandler] = field(default_factory=list)
    """That clients of it listen to."""
    answers: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    """What clients say to what they were asked."""

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def methods(self) -> list[str]:
        """Of what it has heard."""
        return [message.get("method", "") for message in self.heard]

    def calls(self, method: str) -> int:
        """How often it has heard that."""
        return self.methods.count(method)

    def post(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a message."""
        self.answer(request, json.loads(body))

    def delete(self, request: BaseHTTPRequestHandler) -> None:
        """End a session."""
        self.sessions.discard(request.headers["mcp-session-id"])
        self.reply(request, 200, b"")

    def answer(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """Answer a message."""
        self.heard.append(message)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        method, session = message.get("method"), request.headers.get("mcp-session-id")
        if self.location:
            self.reply(request, 307, b"", {"location": self.location})
        elif (
            self.tokens is not None
            and request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens
        ):
            self.reply(request, 401, b"", {"www-authenticate": 'Bearer error="invalid_token"'})
        elif method in self.hangs_in:
            self.hang(request)
        elif method == "initialize":
            made = uuid4().hex
            self.sessions.add(made)
            told = {
                "protocolVersion": LEGACY,
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "s", "version": "1"},
            }
            self.result(request, message, told, {"mcp-session-id": made})
        elif session not in self.sessions:
            self.reply(request, 404 if session else 400, b"")
        elif "id" not in message or method is None:
            if method is None:
                self.answers.put(message)
            self.reply(request, 202, b"")
        elif method == "tools/list":
            self.result(request, message, {"tools": self.tools})
        elif method == "tools/call":
            name = message["params"]["name"]
            self.behaviours.get(name, self.echo)(request, message)
        else:
            error = {"code": -32601, "message": "Method not found"}
            self.reply(request, 200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode())

    def get(self, request: BaseHTTPRequestHandler) -> None:
        """Let somebody listen."""
        if request.headers.get("mcp-session-id") not in self.sessions:
            self.reply(request, 405, b"")
            return
        self.open(request)
        self.streams.append(request)
        self.hang(request)
        self.streams.remove(request)

    def tell(self, method: str, times: int = 1) -> None:
        """Say something to all who listen."""
        event = b"data: " + json.dumps({"jsonrpc": "2.0", "method": method}).encode() + b"\n\n"
        for stream in list(self.streams):
            stream.wfile.write(event * times)
            stream.wfile.flush()

    def ask(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """Want to know a name in the middle of a call."""
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        params = {"message": "Your name?", "requestedSchema": schema}
        asked = {"jsonrpc": "2.0", "id": f"ask-{uuid4().hex}", "method": "elicitation/create", "params": params}
        self.open(request)
        request.wfile.write(b"data: " + json.dumps(asked).encode() + b"\n\n")
        request.wfile.flush()
        try:
            said = self.answers.get(timeout=SECONDS)
        except queue.Empty:
            return
        text = f"Hello, {said['result']['content']['name']}" if "result" in said else f"Error {said['error']['code']}"
        result = {"content": [{"type": "text", "text": text}]}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        request.wfile.write(b"data: " + body + b"\n\n")

    def echo(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """The behaviour of tools that have no other."""
        text = message["params"].get("arguments", {}).get("text", "")
        self.result(request, message, {"content": [{"type": "text", "text": text}]})

    def cut(self, request: BaseHTTPRequestHandler, _: Any) -> None:
        """End in the middle of an event."""
        self.open(request)
        request.wfile.write(b'event: message\ndata: {"jsonrpc": "2.0", "id"')
        request.wfile.flush()
        self.drop(request)

    def huge(self, request: BaseHTTPRequestHandler, message: Any) -> None:
        """Answer with 100 MB."""
        head = (
            b'{"jsonrpc": "2.0", "id": %s, "result": {"content": [{"type": "text", "text": "'
            % json.dumps(message["id"]).encode()
        )
        piece = b"x" * 1_000_000
        request.send_response(200)
        request.send_header("content-type", "application/json")
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        request.close_connection = True
        for data in (head, *[piece] * 100, b'"}]}}', b""):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


@dataclass
class LegacyClient:
    """A session with one endpoint of a gateway."""

    gateway: Gateway
    path: str
    session: str = ""
    key: str | None = None

    def initialize(self, **capabilities: Any) -> dict[str, Any]:
        """Begin a session; what the server says of itself."""
        info = {"name": "client", "version": "1"}
        params = {"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": info}
        reply = self.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert reply.status == 200, reply.body
        self.session = reply.header("mcp-session-id") or ""
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        result: dict[str, Any] = message_of(reply)["result"]
        return result

    def send(self, message: Mapping[str, Any]) -> Reply:
        """One message, and the reply to it."""
        return self.gateway.post(self.path, message, self.lines(), key=self.key)

    def lines(self) -> dict[str, str]:
        """The headers of a request."""
        lines = {"accept": BOTH}
        return lines | {"mcp-session-id": self.session, "mcp-protocol-version": LEGACY} if self.session else lines

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The response to a request."""
        return message_of(self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}))

    def call(self, tool: str, text: str = "hello") -> str:
        """What a tool says; or the error, as text."""
        found = self.ask("tools/call", {"name": tool, "arguments": {"text": text}})
        if "error" in found:
            return f"error: {found['error']['message']}"
        texts: list[str] = [one["text"] for one in found["result"]["content"]]
        return "".join(texts)

    def tools(self) -> list[str]:
        """The names of its tools."""
        return [tool["name"] for tool in self.ask("tools/list")["result"]["tools"]]


@dataclass
class ModernClient:
    """Asks one endpoint of a gateway, without any session."""

    gateway: Gateway
    path: str
    key: str | None = None

    def send(self, method: str, params: Mapping[str, Any], **capabilities: Any) -> Reply:
        """One request, and the reply to it."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": capabilities,
            "io.modelcontextprotocol/clientInfo": {"name": "client", "version": "1"},
        }
        lines = {"accept": BOTH, "mcp-protocol-version": MODERN, "mcp-method": method}
        if "name" in params:
            lines["mcp-name"] = params["name"]
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        return self.gateway.post(self.path, message, lines, key=self.key)

    def ask(self, method: str, params: Mapping[str, Any], **capabilities: Any) -> dict[str, Any]:
        """The response to a request."""
        return message_of(self.send(method, params, **capabilities))


def message_of(reply: Reply) -> dict[str, Any]:
    """The response in a reply, whether it is a stream or not."""
    if (reply.header("content-type") or "").startswith("text/event-stream"):
        found: dict[str, Any] = reply.events[-1]
        return found
    decoded: dict[str, Any] = reply.json
    return decoded


@contextlib.contextmanager
def leaving(gateway: Gateway, path: str, client: LegacyClient, message: Mapping[str, Any]) -> Iterator[None]:
    """A request whose client goes at the end of the block."""
    body = json.dumps(message).encode()
    lines = client.lines() | {"content-type": "application/json", "content-length": str(len(body))}
    lines |= {"host": f"127.0.0.1:{gateway.port}", "authorization": f"Bearer {gateway.key}"}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    with gateway.connect() as sock:
        sock.sendall(head.encode() + body)
        yield


@contextlib.contextmanager
def listening(client: LegacyClient) -> Iterator[socket.socket]:
    """The stream of a session; the head of the reply is read already."""
    gateway = client.gateway
    lines = client.lines() | {"host": f"127.0.0.1:{gateway.port}", "authorization": f"Bearer {gateway.key}"}
    head = f"GET {client.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    with gateway.connect() as sock:
        sock.sendall(head.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(1)
        assert data.startswith(b"HTTP/1.1 200"), data
        yield sock
