"""The way from the endpoints of MCP to its gateway, of which nothing is loaded before somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pointsman.access.caller import Caller
from pointsman.access.policy import sees_all
from pointsman.errors import ResourceNotFound, Unseen

if TYPE_CHECKING:
    from pointsman.edge.context import Serving
    from pointsman.mcp.auth.signing_in import SigningIn
    from pointsman.mcp.fronts.entry import Fronts
    from pointsman.mcp.gateway import Gateway
    from pointsman.mcp.pinning import Pins
    from pointsman.mcp.registry import Registry
    from pointsman.mcp.settings import ServerSettings


class Mcp(Protocol):
    """The MCP gateway of this process."""

    @property
    def is_open(self) -> bool:
        """Whether clients of the protocol need no key."""

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What may stand in ``Host`` where clients need no key, lower-cased."""

    @property
    def public_url(self) -> str:
        """Where browsers find the gateway; empty: where the client has found it."""

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """Who gives tokens to clients."""

    def challenge(self, headers: Mapping[bytes, bytes], path: str) -> tuple[tuple[str, str], ...]:
        """Headers for a client without a key that say where it gets a token; empty: nowhere."""

    def drain(self) -> None:
        """End the streams that would never end; nothing, where there are none."""

    async def gateway(self) -> Gateway:
        """What answers requests; it is made when somebody asks first."""

    async def fronts(self) -> Fronts:
        """What speaks the protocol to clients."""

    async def registry(self) -> Registry:
        """The servers, as they are at the moment."""

    async def pins(self) -> Pins:
        """The definitions of tools that were approved."""

    async def signing_in(self) -> SigningIn:
        """What has users sign in to servers."""


def mcp_of(serving: Serving) -> Mcp:
    """:raises ResourceNotFound: it is switched off"""
    if serving.mcp is None:
        raise ResourceNotFound("Feature not enabled")
    return serving.mcp


async def opened(serving: Serving) -> tuple[Registry, Gateway]:
    """The servers of the moment, and what asks them.

    :raises ResourceNotFound: the gateway is switched off
    """
    mcp = mcp_of(serving)
    gateway, registry = await mcp.gateway(), await mcp.registry()
    await registry.ready()
    return registry, gateway


def seen(registry: Registry, caller: Caller, server_id: str) -> ServerSettings:
    """:raises Unseen: there is no such server, or the caller may not use it, which is not told apart"""
    from pointsman.mcp.calls import write_unseen  # noqa: PLC0415  nothing of MCP is loaded before somebody asks
    from pointsman.mcp.permissions import visible  # noqa: PLC0415  the same

    server = registry.entries.get(server_id)
    if server is None or not visible(caller, server):
        write_unseen(caller, server_id, is_there=server is not None)
        raise missing(server_id)
    return server


def missing(server_id: str) -> Unseen:
    """There is no such server."""
    return Unseen(f"Server {server_id[:100]} not found")


def standing(server_id: str, gateway: Gateway, caller: Caller) -> dict[str, Any]:
    """How a server is; what exactly is wrong with it is for whoever may see everything."""
    status = gateway.status(server_id)
    error = status.error if sees_all(caller) or status.error is None else "the server cannot be reached"
    return {"status": status.state, "protocol_version": status.revision, "last_error": error}
