from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from replies import Reply

from pointsman.access.caller import Caller
from pointsman.access.grants import NO_GRANTS
from pointsman.errors import Unseen
from pointsman.mcp.base import Asking, Client, Interest, Introduction, Scope, Sink
from pointsman.mcp.fronts.entry import Fronts
from pointsman.mcp.fronts.streams import Request
from pointsman.mcp.sessions import Tokens
from pointsman.mcp.settings import Limits, McpSettings
from pointsman.telemetry.tasks import Tasks

Calling = Callable[[str, Raw, Asking], Awaitable[Any]]
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CAPABILITIES = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "logging": {},
}
INFO = {"name": "fake", "version": "2", "x": 1}


class FakeWatch:
    def __init__(self, interest: Interest, sink: Sink, is_ready: asyncio.Event) -> None:
        self.interest = interest
        self.sink = sink
        self.is_closed = False
        self._is_ready = is_ready

    async def ready(self) -> None:
        await self._is_ready.wait()

    def close(self) -> None:
        self.is_closed = True


class FakeGateway:
    """Answers as the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.clients: list[Client] = []
        self.notes: list[tuple[str, Any]] = []
        self.watches: list[FakeWatch] = []
        self.ended: list[str] = []
        self.ready = asyncio.Event()
        self.ready.set()
        self.calling: Calling = self.echo
        self.introduction = Introduction(
            era="legacy",
            revision="2025-11-25",
            capabilities=CAPABILITIES,
            info=INFO,
            instructions="be kind",
            raw=Raw(msgspec.json.encode({"capabilities": CAPABILITIES, "serverInfo": INFO, "vendor": [1]})),
        )

    async def echo(self, method: str, params: Raw, _asking: Asking) -> Any:
        return {"method": method, "params": params or None}

    def scope(self, caller: Caller, path_id: str | None, header: str | None) -> Scope:
        assert caller.name
        named = path_id or header
        if named == "nobody":
            raise Unseen("Server nobody not found")
        return Scope(None if named is None else tuple(named.split(",")), named is not None)

    async def introduce(self, _scope: Scope, client: Client) -> Introduction:
        self.clients.append(client)
        return self.introduction

    async def call(self, _scope: Scope, method: str, params: Raw, asking: Asking) -> Raw:
        self.calls.append((method, msgspec.json.decode(params) if params else None))
        self.clients.append(asking.client)
        return Raw(msgspec.json.encode(await self.calling(method, params, asking)))

    async def notify(self, _scope: Scope, _client: Client, method: str, params: Raw) -> None:
        self.notes.append((method, msgspec.json.decode(params) if params else None))

    def watch(self, _scope: Scope, _client: Client, interest: Interest, sink: Sink) -> FakeWatch:
        self.watches.append(FakeWatch(interest, sink, self.ready))
        return self.watches[-1]

    async def end(self, client: Client) -> None:
        self.ended.append(client.session)


class Bench:
    """The fronts, with somebody who sends requests to them."""

    def __init__(self, gateway: FakeGateway, tasks: Tasks, clock: list[float], limits: Limits) -> None:
        self.gateway = gateway
        self.clock = clock
        self.tasks = tasks
        self.limits = limits
        self.running: set[asyncio.Task[None]] = set()
        self.fronts = self.make()

    def make(self) -> Fronts:
        """Another process with the same secret."""
        tokens = Tokens(b"secret", lambda: self.clock[0])
        return Fronts(self.gateway, McpSettings(serves_sse=True, limits=self.limits), tokens, self.tasks)

    def request(self, **more: Any) -> tuple[Request, Reply]:
        headers = {b"content-type": b"application/json", b"accept": b"application/json, text/event-stream"}
        for name, value in more.pop("headers", {}).items():
            if value is None:
                headers.pop(name.encode().lower(), None)
            else:
                headers[name.encode().lower()] = value.encode()
        reply = Reply()
        caller = Caller(name=more.pop("caller", "key:1"), grants=more.pop("grants", NO_GRANTS))
        return Request(caller=caller, headers=headers, reply=reply, **more), reply

    async def post(self, body: Any, **more: Any) -> Reply:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        request, reply = self.request(body=data, **more)
        await self.fronts.post(request)
        return reply

    async def run(self, work: Callable[[Request], Awaitable[None]], **more: Any) -> tuple[asyncio.Task[None], Reply]:
        """Begin a request that goes on, and let it go as far as it comes."""
        if "message" in more:
            more["body"] = msgspec.json.encode(more.pop("message"))
        request, reply = self.request(**more)

        async def go() -> None:
            await work(request)

        task = asyncio.create_task(go())
        self.running.add(task)
        for _ in range(5):
            await asyncio.sleep(0)
        return task, reply

    async def modern(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Reply:
        """A request of a modern client."""
        return await self.post(*modern(method, params, meta, more), **more)

    async def begin(self, method: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """The same, as a task."""
        body = modern(method, params, more.pop("meta", None), more)[0]
        return await self.run(self.fronts.post, message=body, **more)

    async def initialize(self, capabilities: Mapping[str, Any] | None = None, revision: str = "2025-11-25") -> str:
        """Begin a session."""
        params = {"protocolVersion": revision, "capabilities": capabilities or {}, "clientInfo": {"name": "old"}}
        reply = await self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert reply.status == 200
        return reply.headers["mcp-session-id"]

    async def legacy(self, session: str, method: str, params: Any = None, **more: Any) -> Reply:
        """A request in it."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, **({} if params is None else {"params": params})}
        return await self.post(body, headers={"mcp-session-id": session}, **more)


def modern(
    method: str, params: Mapping[str, Any] | None, meta: Mapping[str, Any] | None, more: dict[str, Any]
) -> tuple[dict[str, Any]]:
    """The body; the headers are added to ``more``."""
    params = {**(params or {}), "_meta": {**META, **(meta or {})}}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method}
    if method in {"tools/call", "prompts/get"}:
        headers["mcp-name"] = params["name"]
    if method == "resources/read":
        headers["mcp-name"] = params["uri"]
    more["headers"] = headers | more.get("headers", {})
    return ({"jsonrpc": "2.0", "id": more.pop("id", 7), "method": method, "params": params},)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def make_reply() -> Callable[[], Reply]:
    return Reply


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def bench(gateway: FakeGateway, limits: Limits) -> AsyncIterator[Bench]:
    tasks = Tasks(logging.getLogger("tests"), 100)
    bench = Bench(gateway, tasks, [1000.0], limits)
    yield bench
    for task in bench.running:
        task.cancel()
    await asyncio.gather(*bench.running, return_exceptions=True)
    bench.fronts.close()
    await tasks.close(1.0)
