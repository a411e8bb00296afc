from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from unit.mcp.auth.authorities import World
from unit.mcp.pretending import Pretending

from pointsman.mcp.auth.signing_in import SigningIn
from pointsman.mcp.calls import Unmetered
from pointsman.mcp.gateway import Gateway
from pointsman.mcp.inspection import Inspection
from pointsman.mcp.pinning import Pins
from pointsman.mcp.registry import SERVERS, Registry
from pointsman.mcp.settings import McpSettings
from pointsman.store.sealing import Sealer
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret


class Uncounted:
    def observe(self, outcome: str, seconds: float) -> None: ...


class Mcp:
    """The MCP gateway as it is put together, in front of servers that only exist here."""

    is_open = False
    allowed_hosts: frozenset[str] = frozenset()
    public_url = ""
    authorization_servers: tuple[str, ...] = ()
    signing: SigningIn
    """Where users sign in, of those tests that need it."""

    def __init__(self, admin: Any, settings: McpSettings) -> None:
        self.tasks = Tasks(logging.getLogger("tests"), 1000)
        self.servers: dict[str, Pretending] = {}
        """By id; others are not there."""
        self._admin = admin
        clock = asyncio.get_running_loop().time
        self._pins = Pins(self._feed, now=lambda: 0.0)
        self._registry = Registry(SERVERS, self._feed, self.tasks, clock=clock)
        self._registry.configure(settings)
        self._gateway = Gateway(
            self._registry,
            lambda settings, _client, _era: self.servers[settings.id],
            self.tasks,
            clock,
            meter=Unmetered(),
            counting=lambda _server, _tool: Uncounted(),
            secret=b"routes",
            inspect=Inspection(self._pins),
        )
        self._pins.on_change.append(self._gateway.recheck)

    async def _feed(self) -> Any:
        return self._admin

    async def gateway(self) -> Gateway:
        return self._gateway

    async def registry(self) -> Registry:
        return self._registry

    async def pins(self) -> Pins:
        return self._pins

    async def signing_in(self) -> SigningIn:
        return self.signing

    def challenge(self, _headers: Any, _path: str) -> tuple[tuple[str, str], ...]:
        return ()

    def drain(self) -> None: ...

    async def close(self) -> None:
        await self._gateway.close()
        await self.tasks.close(1.0)


@pytest.fixture
async def make_mcp(make_desk: Callable[..., Any]) -> AsyncIterator[Callable[..., tuple[Any, Mcp]]]:
    """A desk, and the gateway behind its endpoints."""
    made: list[Mcp] = []

    def make(settings: McpSettings | None = None) -> tuple[Any, Mcp]:
        desk = make_desk()
        desk.admin = replace(desk.admin, sealer=Sealer(Secret("a salt that is long enough")))
        mcp = Mcp(desk.admin, settings or McpSettings())
        made.append(mcp)
        desk.gateway.serving = replace(desk.gateway.serving, mcp=mcp)
        return desk, mcp

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A server that users sign in to, and its authorization server."""
    made = World()
    yield made
    await made.tasks.close(1.0)
