"""The MCP gateway of a process. Nothing of it is loaded before a config names a server, or somebody asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pointsman.access.settings import AccessSettings
from pointsman.assembly.site import Site
from pointsman.errors import Overloaded
from pointsman.pipeline.call import Call
from pointsman.pipeline.serve import AskModel
from pointsman.upstream.settings import UpstreamSettings
from pointsman.wire.here import base_of

if TYPE_CHECKING:
    from pointsman.assembly.a2a import A2a
    from pointsman.assembly.mcp_service import Service
    from pointsman.config.snapshot import Snapshot
    from pointsman.mcp.auth.signing_in import SigningIn
    from pointsman.mcp.base import Server
    from pointsman.mcp.fronts.entry import Fronts
    from pointsman.mcp.gateway import Gateway
    from pointsman.mcp.pinning import Pins
    from pointsman.mcp.registry import Registry
    from pointsman.mcp.settings import McpSettings
    from pointsman.pipeline.mcp_use.chains import Chains


Asking = Callable[[Mapping[str, Any]], Awaitable[Sequence[Mapping[str, Any]]]]


async def _nobody(_told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return ()


class Mcp:
    """See :class:`~pointsman.edge.mcp.Mcp`; it lasts as long as the process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._service: Service | None = None
        self._chains: Chains | None = None
        self._is_closed = False
        self._settings: McpSettings | None = None
        self._allowed_hosts = frozenset[str]()
        self._upstream = UpstreamSettings()
        self._access = AccessSettings()
        self.ask_others: Asking = _nobody
        """Has the other workers :meth:`hear`, and gives what they say."""
        self.on_secrets: Callable[[], None] = lambda: None
        """Called when :meth:`secrets` are others."""
        self.agents: A2a | None = None
        """Agents that may be tools, if the config wants that."""

    @property
    def is_open(self) -> bool:
        """Whether clients of the protocol need no key."""
        return self._settings is not None and self._settings.is_open

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return self._allowed_hosts

    def configure(self, snapshot: Snapshot) -> None:
        """Go by this snapshot from now on."""
        settings, agents = snapshot.mcp, snapshot.a2a
        if agents is not None and agents.is_enabled and agents.as_mcp_tools:
            from pointsman.assembly.a2a_tools import with_agents  # noqa: PLC0415  as the docstring of this module says

            settings = with_agents(settings)
        self._settings, self._upstream, self._access = settings, snapshot.upstream, snapshot.access
        named = () if self._settings is None else self._settings.allowed_hosts
        self._allowed_hosts = frozenset(one.lower() for one in named)
        if self._service is not None:
            self._service.configure(self._settings, self._upstream, self._access.key_header)

    def warm(self) -> None:
        """Start the servers that are programs, if the config names any."""
        settings = self._settings
        if settings is not None and settings.is_enabled and any(one.transport == "stdio" for one in settings.servers):
            self._site.tasks.start(self._warm(), "start MCP servers")

    def secrets(self) -> frozenset[str]:
        """What must not stand in any log line."""
        return frozenset() if self._service is None else self._service.secrets()

    async def gateway(self) -> Gateway:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return (await self._ready()).gateway

    async def fronts(self) -> Fronts:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return (await self._ready()).fronts

    async def registry(self) -> Registry:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return (await self._ready()).registry

    async def pins(self) -> Pins:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return (await self._ready()).pins

    async def signing_in(self) -> SigningIn:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return (await self._ready()).auth.signing_in

    @property
    def public_url(self) -> str:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return "" if self._settings is None else self._settings.public_url

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        return () if self._settings is None else self._settings.authorization_servers

    def challenge(self, headers: Mapping[bytes, bytes], path: str) -> tuple[tuple[str, str], ...]:
        """See :class:`~pointsman.edge.mcp.Mcp`."""
        if not self.authorization_servers:
            return ()
        from pointsman.mcp.auth.places import challenge  # noqa: PLC0415  as the docstring of this module says

        return (("www-authenticate", challenge(base_of(self.public_url, headers), path)),)

    async def use_servers(
        self,
        call: Call,
        body: bytes,
        ask: AskModel,
        deadline: float,
        clock: Callable[[], float],
        *,
        calls_servers: bool,
    ) -> None:
        """Answer a request to a model that may name servers among its tools.

        :raises GatewayError: as long as nothing was sent to the client
        """
        from pointsman.mcp.settings import McpSettings  # noqa: PLC0415  as the docstring of this module says
        from pointsman.pipeline.mcp_use.chains import Chains  # noqa: PLC0415  the same
        from pointsman.pipeline.mcp_use.serving import Request, serve_with_servers  # noqa: PLC0415  the same

        settings = self._settings or McpSettings()
        self._chains = chains = self._chains or Chains()
        request = Request(call, body, ask, deadline, clock, calls_servers=calls_servers)
        await serve_with_servers(request, settings, self._ready, chains)

    def drain(self) -> None:
        """Have clients that only listen go elsewhere."""
        if self._service is not None:
            self._service.fronts.drain()

    async def hear(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """What another worker tells of servers, or tells or asks of a session, and what there is to say to it."""
        return {} if self._service is None and "changes" in told else await (await self._ready()).hear(told)

    async def close(self) -> None:
        """End all that goes on."""
        self._is_closed = True
        service, self._service = self._service, None
        if service is not None:
            await service.close()

    def _inside(self) -> Server:
        from pointsman.assembly.a2a_tools import AgentTools  # noqa: PLC0415  as above

        assert self.agents is not None
        return AgentTools(self.agents)

    async def _warm(self) -> None:
        await (await self._ready()).gateway.warm()

    async def _ready(self) -> Service:
        """:raises Overloaded: the gateway ends"""
        if self._is_closed:
            raise Overloaded
        service = self._service
        if service is None:
            from pointsman.assembly.mcp_service import Service  # noqa: PLC0415  as the docstring of this module says

            service = self._service = Service(self._site, self._access, lambda: self.on_secrets())  # noqa: PLW0108
            service.inside = self._inside
            if self.ask_others is not _nobody:
                service.join(self.ask_others)
            service.configure(self._settings, self._upstream, self._access.key_header)
            service.start()
        await service.registry.ready()
        return service
