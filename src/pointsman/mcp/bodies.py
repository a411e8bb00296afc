"""Servers as clients of the registry write them, and as they are told.

Nothing of a body becomes a command: a server over stdio is started by a name that the operator has given to a command.
What is secret goes in and never comes out; it stays with the address that it was given for.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec

from pointsman.access import registering
from pointsman.access.places import origin_of
from pointsman.access.registering import (
    Headers,
    Name,
    Names,
    ResultBytes,
    Seconds,
    Text,
    check_cost,
    check_url,
    refuse,
    settle_auth,
    settle_headers,
)
from pointsman.errors import InvalidRequest
from pointsman.mcp.checks import wrong_alias, wrong_id, wrong_names
from pointsman.mcp.protocol.revisions import LEGACY, MODERN
from pointsman.mcp.settings import (
    AuthKind,
    AuthSettings,
    Grant,
    Isolation,
    McpSettings,
    Pinning,
    ServerSettings,
    TransportKind,
)
from pointsman.upstream.guard import Guard
from pointsman.wire.secret import Secret

TRANSPORTS: Final[Mapping[str, TransportKind]] = {
    "streamable_http": "streamable_http",
    "http": "streamable_http",
    "sse": "sse",
    "stdio": "stdio",
}


class AuthBody(registering.AuthBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``auth``: what goes with an ``auth_type``."""

    grant: Grant | None = None


class ServerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of ``POST`` and ``PUT``; ``PATCH`` takes any of it."""

    server_id: str = ""
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    description: Text = ""
    url: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    transport: Literal["streamable_http", "http", "sse", "stdio"] = "streamable_http"
    command: str = ""
    """A name of ``mcp.stdio_commands``."""
    tools: Names = ()
    resources: Names = ()
    auth_type: AuthKind = "none"
    auth: AuthBody | None = None
    metadata: dict[str, Any] = {}
    alias: Name | None = None
    static_headers: Headers | None = None
    extra_headers: Names = ()
    disallowed_tools: Names = ()
    allowed_params: Annotated[dict[Name, Names], msgspec.Meta(max_length=1000)] = {}
    tool_names: Annotated[dict[Name, Name], msgspec.Meta(max_length=1000)] = {}
    access_groups: Names = ()
    allow_all_keys: bool = False
    protocol_version: Name | None = None
    isolation: Isolation = "auto"
    timeout: Seconds = 60.0
    max_result_bytes: ResultBytes = 10_000_000
    pinning: Pinning = "off"
    cost_usd: Annotated[dict[Name, Decimal], msgspec.Meta(max_length=1000)] = {}


def read_body(body: bytes, before: ServerSettings | None = None) -> ServerBody:
    """A body; where it is a change, with the members of ``before`` that it does not name.

    :raises InvalidRequest: it is not what the path takes
    """
    return registering.read(body, ServerBody, None if before is None else _body_of(before))


def settle(body: ServerBody, settings: McpSettings, before: ServerSettings | None = None) -> ServerSettings:
    """The server that a body asks for; of credentials that it does not give, those of ``before``.

    :raises InvalidRequest: there is something wrong with it
    """
    refuse(wrong_id(body.server_id), "server_id")
    transport = TRANSPORTS[body.transport]
    _check_way(body, transport, settings)
    kept = before if before is not None and _is_same_place(body, before) else None
    before_headers = {} if kept is None else kept.static_headers
    headers = settle_headers(body.static_headers, before_headers, body.extra_headers)
    _check_texts(body)
    before_auth, guard = None if kept is None else kept.auth, Guard(settings.allowed_private)
    auth = settle_auth(body.auth_type, body.auth, before_auth, AuthSettings, partial(_oauth, guard))
    return ServerSettings(
        id=body.server_id,
        name=body.name or body.server_id,
        description=body.description,
        transport=transport,
        url=body.url,
        command=settings.stdio_commands.get(body.command, ()) if transport == "stdio" else (),
        command_name=body.command,
        auth=auth,
        static_headers=headers,
        forward_headers=body.extra_headers,
        tools=body.tools,
        resources=body.resources,
        denied_tools=body.disallowed_tools,
        allowed_params=body.allowed_params,
        renamed=body.tool_names,
        prefix=body.alias,
        access_groups=body.access_groups,
        allow_all_keys=body.allow_all_keys,
        revision=body.protocol_version,
        isolation=body.isolation,
        timeout=body.timeout,
        max_result_bytes=body.max_result_bytes,
        pinning=body.pinning,
        cost_usd={tool: str(cost) for tool, cost in body.cost_usd.items()},
        metadata=body.metadata,
        source="api",
    )


def told(server: ServerSettings, *, is_whole: bool) -> dict[str, Any]:
    """A server as it is shown; ``is_whole`` to whoever may know where it is."""
    return {
        "server_id": server.id,
        "name": server.name,
        # A query may hold a credential.
        "url": server.url.partition("?")[0] if is_whole else "",
        "transport": server.transport,
        "tools": list(server.tools),
        "resources": list(server.resources),
        "description": server.description,
        "access_groups": list(server.access_groups),
        "allow_all_keys": server.allow_all_keys,
    }


def told_in_full(server: ServerSettings, *, is_whole: bool) -> dict[str, Any]:
    """The same with all that is said of one server alone."""
    found = told(server, is_whole=is_whole) | {"auth_type": server.auth.kind, "metadata": server.metadata}
    if is_whole:
        body = msgspec.to_builtins(_body_of(server), enc_hook=str)
        more = ("alias", "extra_headers", "disallowed_tools", "allowed_params", "tool_names")
        found |= {name: body.get(name) for name in more}
        found |= {name: body[name] for name in ("isolation", "timeout", "max_result_bytes", "pinning", "cost_usd")}
        found |= {"command": server.command_name, "static_headers": sorted(server.static_headers)}
    return found | {"configured_in": server.source}


def _body_of(server: ServerSettings) -> ServerBody:
    """What would make the same server, without what is secret."""
    return ServerBody(
        server_id=server.id,
        name=server.name,
        description=server.description,
        url=server.url,
        transport=server.transport,
        command=server.command_name,
        tools=server.tools,
        resources=server.resources,
        auth_type=server.auth.kind,
        metadata=dict(server.metadata),
        alias=server.prefix,
        extra_headers=server.forward_headers,
        disallowed_tools=server.denied_tools,
        allowed_params=dict(server.allowed_params),
        tool_names=dict(server.renamed),
        access_groups=server.access_groups,
        allow_all_keys=server.allow_all_keys,
        protocol_version=server.revision,
        isolation=server.isolation,
        timeout=server.timeout,
        max_result_bytes=server.max_result_bytes,
        pinning=server.pinning,
        cost_usd={tool: Decimal(cost) for tool, cost in server.cost_usd.items()},
    )


# -- what is refused --------------------------------------------------------------------------------------------------


def _check_way(body: ServerBody, transport: TransportKind, settings: McpSettings) -> None:
    if transport == "stdio":
        refuse("a server over stdio has none" if body.url else None, "url")
        names = ", ".join(sorted(settings.stdio_commands)) or "none"
        is_known = body.command in settings.stdio_commands
        wrong = f"the name of a command that the config has in mcp.stdio_commands is needed; there are: {names}"
        refuse(None if is_known else wrong, "command")
        return
    refuse("is for servers over stdio" if body.command else None, "command")
    check_url(body.url, Guard(settings.allowed_private), "url")


def _check_texts(body: ServerBody) -> None:
    refuse(None if body.alias is None else wrong_alias(body.alias), "alias")
    refuse(wrong_names(body.tool_names), "tool_names")
    is_known = body.protocol_version in {None, *MODERN, *LEGACY}
    refuse(None if is_known else f"must be one of {', '.join((*MODERN, *LEGACY))}", "protocol_version")
    for cost in body.cost_usd.values():
        check_cost(cost, "cost_usd", "a call")


# -- credentials ------------------------------------------------------------------------------------------------------


def _is_same_place(body: ServerBody, before: ServerSettings) -> bool:
    return body.transport == "stdio" or (bool(body.url) and origin_of(body.url) == origin_of(before.url))


def _oauth(guard: Guard, auth: AuthBody) -> AuthSettings:
    if auth.token_url is not None:
        check_url(auth.token_url, guard, "token_url")
    grant = auth.grant or ("authorization_code" if auth.client_secret is None else "client_credentials")
    if grant == "client_credentials" and (auth.client_id is None or auth.client_secret is None):
        raise InvalidRequest("auth: client_id and client_secret are missing", param="auth")
    return AuthSettings(
        kind="oauth2",
        client_id=auth.client_id,
        client_secret=None if auth.client_secret is None else Secret(auth.client_secret),
        token_url=auth.token_url,
        scopes=auth.scopes,
        grant=grant,
    )
