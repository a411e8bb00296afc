"""What an operator, or a client of the registry, can say about MCP servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from pointsman.wire.secret import Secret, texts_named_so

TransportKind = Literal["stdio", "sse", "streamable_http"]
AuthKind = Literal["none", "api_key", "bearer_token", "oauth2"]
Grant = Literal["client_credentials", "authorization_code"]
Isolation = Literal["auto", "shared", "key", "session"]
Pinning = Literal["off", "warn", "block"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway shows who it is to a server."""

    kind: AuthKind = "none"
    header: str = "x-api-key"
    """Of ``api_key``."""
    value: Secret | None = None
    """The key, or the token."""
    client_id: str | None = None
    client_secret: Secret | None = None
    grant: Grant = "client_credentials"
    token_url: str | None = None
    """``None``: it is discovered (RFC 9728, RFC 8414)."""
    scopes: tuple[str, ...] = ()


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server."""

    id: str
    name: str
    description: str = ""
    transport: TransportKind = "streamable_http"
    url: str = ""
    command: tuple[str, ...] = ()
    """Program and arguments of a server over stdio: only from the config file."""
    command_name: str = ""
    """Of a server that was registered: under which name of :attr:`McpSettings.stdio_commands` they stand."""
    env: Mapping[str, str] = {}
    cwd: str | None = None
    auth: AuthSettings = AuthSettings()
    static_headers: Mapping[str, str] = {}
    forward_headers: tuple[str, ...] = ()
    """Names of the client's headers that are passed on."""
    tools: tuple[str, ...] = ()
    """The declared ones, which are all that is shown; empty: all that are discovered."""
    resources: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    """Names, or patterns with ``*``."""
    allowed_params: Mapping[str, tuple[str, ...]] = {}
    """By tool: the only arguments that it may be called with."""
    renamed: Mapping[str, str] = {}
    """By tool: its name on the aggregated endpoint."""
    prefix: str | None = None
    """Of names on the aggregated endpoint; ``None``: the id."""
    access_groups: tuple[str, ...] = ()
    allow_all_keys: bool = False
    revision: str | None = None
    """Spoken with it; ``None``: what it speaks is found out."""
    isolation: Isolation = "auto"
    timeout: float = 60.0
    """Seconds that a call may take."""
    max_result_bytes: int = 10_000_000
    max_memory_bytes: int = 0
    """Of all processes of a server over stdio together; 0: no limit."""
    pinning: Pinning = "off"
    cost_usd: Mapping[str, str] = {}
    """By tool, ``*`` for all others: dollars a call, as a decimal."""
    allow_private: bool = False
    """Whether its address may be one of a private network; always so for those of the config file."""
    metadata: Mapping[str, Any] = {}
    source: Literal["config", "api", "request", "gateway"] = "config"
    """``request``: a client of a model has named it, for one request; ``gateway``: it is the gateway's own, in this
    process, and shows each caller what is his."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what is kept and waited for."""

    list_seconds: float = 2.0
    """That a list of several servers waits for the slowest of them."""
    max_sessions: int = 100_000
    max_streams: int = 10_000
    max_parked: int = 1_000
    """Calls that wait for what a modern client has to tell a legacy server."""
    parked_seconds: float = 300.0
    max_stdio: int = 64
    """Processes at a time."""


class UseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the gateway does for a model that calls tools, for one request of a client."""

    rounds: int = 10
    """How often the model is asked; the last time it may call nothing any more."""
    seconds: float = 120.0
    """After which no tool is called any more, nor waited for."""
    calls: int = 50
    result_bytes: int = 100_000
    """Of one answer of a tool that the model gets."""
    total_bytes: int = 1_000_000
    """Of all of them."""


class McpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The MCP gateway."""

    is_enabled: bool = True
    servers: tuple[ServerSettings, ...] = ()
    stdio_commands: Mapping[str, tuple[str, ...]] = {}
    """By name: what a client of the registry may have started."""
    serves_sse: bool = False
    """Whether the deprecated HTTP+SSE transport is offered to clients."""
    mode: Literal["all", "search"] = "all"
    """``search``: the aggregated endpoint shows three tools that find and call all others."""
    is_open: bool = False
    """Whether clients need no key for the protocol's endpoints."""
    allowed_hosts: tuple[str, ...] = ()
    """What may stand in ``Host`` where clients need no key, beside the names of this machine for itself."""
    allowed_private: tuple[str, ...] = ()
    """Networks and host names that servers of the registry may be in although they are private."""
    authorization_servers: tuple[str, ...] = ()
    """Who gives tokens to clients (RFC 9728)."""
    public_url: str = ""
    """Where browsers and clients find the gateway; empty: where the client has found it."""
    client_metadata_url: str = ""
    """Where authorization servers find a document about the gateway; empty: below its own address."""
    limits: Limits = Limits()
    use: UseLimits = UseLimits()
    allows_foreign: bool = False
    """Whether a request to a model may name MCP servers that are not of this gateway, and have it call them."""

    def secrets(self) -> Iterator[str]:
        """What nobody is to read in a log."""
        for server in self.servers:
            yield from secrets_of(server)


def secrets_of(server: ServerSettings) -> Iterator[str]:
    """The same of one server."""
    for secret in (server.auth.value, server.auth.client_secret):
        if secret is not None:
            yield secret.reveal()
    yield from texts_named_so(server.static_headers)
    yield from texts_named_so(server.env)
