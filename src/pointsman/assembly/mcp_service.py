"""What the MCP gateway consists of, put together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from pointsman.access.caller import NOBODY
from pointsman.access.settings import AccessSettings
from pointsman.assembly.mcp_auth import Auth
from pointsman.assembly.pools import Pools
from pointsman.assembly.site import Site
from pointsman.errors import Overloaded
from pointsman.mcp.base import Client, Era, Server, Transport
from pointsman.mcp.fronts.entry import Fronts
from pointsman.mcp.gateway import Gateway
from pointsman.mcp.inspection import Inspection
from pointsman.mcp.introducing import INFO
from pointsman.mcp.joining import LEND, STRAY, Ask, Joint, Lender, hear
from pointsman.mcp.pinning import Pins
from pointsman.mcp.protocol.mirrors import Mirrors
from pointsman.mcp.registry import SERVERS, Registry
from pointsman.mcp.servers.probing import Probing
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.sessions import Tokens
from pointsman.mcp.settings import McpSettings, ServerSettings, secrets_of
from pointsman.mcp.supervisor import Supervisor
from pointsman.mcp.transports.http import WHO
from pointsman.mcp.transports.sse import Sse
from pointsman.mcp.transports.streamable_http import StreamableHttp
from pointsman.pipeline.tool_metering import ToolMetering
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.addresses import Address
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import UpstreamSettings
from pointsman.upstream.web import Web

if TYPE_CHECKING:
    from pointsman.assembly.mcp import Asking

MAX_TASKS: Final = 50_000
"""Lists being read, servers listened to, calls that wait for their clients."""
MAX_ERAS: Final = 10_000
MAX_PROCESSES: Final = 1 << 20
"""That are told apart by how they number requests, at random."""
NUMBERS: Final = 1 << 32
"""Of requests, for each of them; all of them fit into what JavaScript takes for a whole number."""
CLOSE_PATIENCE: Final = 2.0
CAPABILITIES: Final[dict[str, Any]] = {"roots": {"listChanged": True}, "sampling": {"tools": {}}, "elicitation": {}}
"""What some client or other can be asked, for servers that are called for many of them."""


class Service:
    """All of it. Its methods belong to the event loop."""

    def __init__(self, site: Site, access: AccessSettings, on_secrets: Callable[[], None]) -> None:
        self._site = site
        self._tasks = Tasks(logging.getLogger("pointsman.mcp"), MAX_TASKS)
        self._eras: dict[tuple[str, Era], Era] = {}
        self._mirrors: dict[str, dict[str, Mirrors]] = {}
        """By server and tool: arguments that stand in headers too."""
        self._key_header = ""
        self._ask: Ask | None = None
        self._name, self._first_number = secrets.token_hex(8), secrets.randbelow(MAX_PROCESSES) * NUMBERS
        self._own: WeakValueDictionary[tuple[str, str], Lender] = WeakValueDictionary()
        """By server and session of a client: those that are for that session alone."""
        self._pools: Pools | None = None
        self.inside: Callable[[], Server] | None = None
        """Makes the server that is the gateway's own."""
        loop = asyncio.get_running_loop()
        self.registry = Registry(SERVERS, site.feed, site.tasks, clock=loop.time)
        self.pins = Pins(site.accounts.opened, now=time.time)
        self.supervisor = Supervisor(McpSettings().limits.max_stdio, site.environ)
        self.gateway = Gateway(
            self.registry,
            self.connect,
            self._tasks,
            loop.time,
            meter=ToolMetering(site.till, lambda: self.registry.entries),
            counting=site.metrics.tools.bind,
            secret=site.secret(access),
            inspect=Inspection(self.pins),
            count=site.metrics.tools.read,
        )
        self.auth = Auth(site.accounts.opened, site.feed, self._tasks, site.secret(access), self._web)
        self.auth.grants.on_change = self.gateway.let_in
        self.pins.on_change.append(self.gateway.recheck)
        self.registry.on_change.append(on_secrets)
        self.fronts = Fronts(self.gateway, McpSettings(), Tokens(site.secret(access), time.time), self._tasks)

    def configure(
        self, settings: McpSettings | None, upstream: UpstreamSettings, key_header: str | None = None
    ) -> None:
        """Go by these settings from now on; ``None``: the config says nothing.

        ``key_header`` is one more header that may hold a key of this gateway, which no server is shown.
        """
        self._key_header = (key_header or "").lower()
        settings = settings or McpSettings()
        self.supervisor.most = settings.limits.max_stdio
        if self._pools is None or not self._pools.serve(settings.allowed_private, upstream):
            old, self._pools = self._pools, Pools(settings.allowed_private, upstream, self._site)
            if old is not None:
                self.gateway.renew()
                old.retire()
        self.fronts.configure(settings)
        self.auth.configure(settings)
        self.registry.configure(settings)

    def join(self, ask: Asking) -> None:
        """Go on together with other workers, each of which ``ask`` has hear what it is given."""

        async def tell(changes: list[dict[str, Any]]) -> None:
            await ask({"changes": changes})

        def begin(changes: list[dict[str, Any]]) -> None:
            with suppress(Overloaded):
                self._tasks.start(tell(changes), "tell the other workers of changes")

        self._ask = ask
        self.fronts.join(ask)
        self.gateway.sharing.tell = begin

    async def hear(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """What another worker tells of servers, or tells or asks of a session, and what there is to say to it."""
        if "changes" in told:
            self.gateway.hear(told["changes"])
            return {}
        if LEND in told or STRAY in told:
            return await hear(told, lambda server, client: self._own.get((server, client)))
        return await self.fronts.hear(told)

    def start(self) -> None:
        """Begin what goes on as long as the process."""
        self.gateway.start()

    async def close(self) -> None:
        """End all that goes on."""
        self.fronts.close()
        await self.gateway.close()
        await self.supervisor.close()
        await self._tasks.close(CLOSE_PATIENCE)
        if self._pools is not None:
            await self._pools.close()

    def secrets(self) -> frozenset[str]:
        """What must not stand in any log line."""
        return frozenset(text for one in self.registry.entries.values() for text in secrets_of(one))

    def connect(self, settings: ServerSettings, client: Client | None, era: Era) -> Server:
        """A server as a client sees it, or as all do."""
        if settings.source == "gateway":
            assert self.inside is not None
            return self.inside()
        has_session = client is not None and client.session != ""
        transport = self._transport(settings, client)
        profile = Profile(
            name=settings.id,
            info=client.info if client is not None and has_session and client.info else INFO,
            capabilities=client.capabilities if client is not None and has_session else CAPABILITIES,
            forward=tuple(name for name in settings.forward_headers if name.lower() != self._key_header),
            revision=settings.revision,
            has_headers=settings.transport != "stdio",
            is_own=has_session,
            joint=self._joint(settings, client, transport),
            mirrors=self._mirrors.setdefault(settings.id, {}),
        )
        key = (settings.id, era)
        first: Era = "legacy" if settings.transport == "sse" else self._eras.get(key, era)
        if settings.transport == "stdio":
            # One process for clients of both eras.
            key = (settings.id, "modern")
            first = self._eras.get(key, "modern")
        made = Probing(transport, profile, self._tasks, prefer=first, on_era=lambda found: self._note(key, found))
        if profile.joint is not None and client is not None:
            self._own[settings.id, client.session] = made
        return made

    def _joint(self, settings: ServerSettings, client: Client | None, transport: Transport) -> Joint | None:
        """What a session with a server has in common with other workers."""
        if self._ask is None or client is None or not client.session or not isinstance(transport, StreamableHttp):
            return None
        return Joint(self._ask, self._name, self._first_number, settings.id, client.session, transport)

    def visit(self, settings: ServerSettings) -> Server:
        """A server that somebody has named for one request."""
        return self.connect(settings, None, "modern")

    def leave(self, settings: ServerSettings) -> None:
        """That request is over."""
        self._mirrors.pop(settings.id, None)
        if self._pools is not None:
            self._pools.leave(settings.url)

    def _transport(self, settings: ServerSettings, client: Client | None) -> Transport:
        if settings.transport == "stdio":
            return self.supervisor.transport(settings)
        assert self._pools is not None
        address = Address(
            upstream=self._pool(self._pools, settings).host(settings.url),
            url=settings.url,
            who=WHO,
            headers=settings.static_headers,
            credential=self.auth.credential(settings),
            caller=NOBODY if client is None else client.caller,
            max_bytes=settings.max_result_bytes,
        )
        return Sse(address) if settings.transport == "sse" else StreamableHttp(address)

    def _pool(self, pools: Pools, settings: ServerSettings) -> Pool:
        return pools.visits if settings.source == "request" else pools.calls(is_trusted=_is_trusted(settings))

    def _note(self, key: tuple[str, Era], found: Era) -> None:
        for one in self._mirrors.keys() - self.registry.entries.keys():
            del self._mirrors[one]
        while len(self._eras) >= MAX_ERAS:
            del self._eras[next(iter(self._eras))]
        self._eras[key] = found

    def _web(self, settings: ServerSettings) -> Web:
        assert self._pools is not None
        own = (settings.url, settings.auth.token_url or "")
        return self._pools.web(own, is_trusted=_is_trusted(settings))


def _is_trusted(settings: ServerSettings) -> bool:
    """Whether the operator has named it, or has let somebody else do so."""
    return settings.source == "config" or (settings.allow_private and settings.source != "request")
