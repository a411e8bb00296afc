"""Servers as clients of the registry write them, and as they are told.

Nothing of a body becomes a command: a server over stdio is started by a name that the operator has given to a command.
What is secret goes in and never comes out; it stays with the address that it was given for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.mcp.checks import OURS, origin_of, wrong_alias, wrong_header, wrong_id, wrong_names, wrong_url
from pointsman.mcp.protocol.revisions import LEGACY, MODERN
from pointsman.mcp.settings import (
    AuthKind,
    AuthSettings,
    Grant,
    Isolation,
    McpSettings,
    Name,
    Pinning,
    ServerSettings,
    TransportKind,
)
from pointsman.upstream.guard import check as check_address
from pointsman.wire.secret import Secret

REFERENCE: Final = "os.environ/"
MAX_DOLLARS: Final = Decimal(10**6)
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)]
Text = Annotated[str, msgspec.Meta(max_length=4000)]
Value = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
TRANSPORTS: Final[Mapping[str, TransportKind]] = {
    "streamable_http": "streamable_http",
    "http": "streamable_http",
    "sse": "sse",
    "stdio": "stdio",
}


class AuthBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``auth``: what goes with an ``auth_type``."""

    header: Name | None = None
    value: Value | None = None
    """Of ``api_key``."""
    token: Value | None = None
    """Of ``bearer_token``."""
    client_id: Text | None = None
    client_secret: Value | None = None
    token_url: Text | None = None
    scopes: Names = ()
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
    static_headers: Annotated[dict[str, str], msgspec.Meta(max_length=100)] | None = None
    extra_headers: Names = ()
    disallowed_tools: Names = ()
    allowed_params: Annotated[dict[Name, Names], msgspec.Meta(max_length=1000)] = {}
    tool_names: Annotated[dict[Name, Name], msgspec.Meta(max_length=1000)] = {}
    access_groups: Names = ()
    allow_all_keys: bool = False
    protocol_version: Name | None = None
    isolation: Isolation = "auto"
    timeout: Seconds = 60.0
    max_result_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 10_000_000
    pinning: Pinning = "off"
    cost_usd: Annotated[dict[Name, Decimal], msgspec.Meta(max_length=1000)] = {}


def read_body(body: bytes, before: ServerSettings | None = None) -> ServerBody:
    """A body; where it is a change, with the members of ``before`` that it does not name.

    :raises InvalidRequest: it is not what the path takes
    """
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
        # What is null says nothing.
        given = {name: value for name, value in given.items() if value is not None}
        known = {} if before is None else msgspec.to_builtins(_body_of(before))
        return msgspec.convert(known | given, ServerBody, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this path takes: {error}") from None


def settle(body: ServerBody, settings: McpSettings, before: ServerSettings | None = None) -> ServerSettings:
    """The server that a body asks for; of credentials that it does not give, those of ``before``.

    :raises InvalidRequest: there is something wrong with it
    """
    _refuse(wrong_id(body.server_id), "server_id")
    transport = TRANSPORTS[body.transport]
    _check_way(body, transport, settings)
    kept = before if before is not None and _is_same_place(body, before) else None
    headers = body.static_headers
    if headers is None:
        headers = {} if kept is None else dict(kept.static_headers)
    _check_texts(body, headers)
    return ServerSettings(
        id=body.server_id,
        name=body.name or body.server_id,
        description=body.description,
        transport=transport,
        url=body.url,
        command=settings.stdio_commands.get(body.command, ()) if transport == "stdio" else (),
        command_name=body.command,
        auth=_auth(body, settings.allowed_private, None if kept is None else kept.auth),
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


def _refuse(wrong: str | None, param: str) -> None:
    if wrong is not None:
        raise InvalidRequest(f"{param}: {wrong}", param=param)


def _check_way(body: ServerBody, transport: TransportKind, settings: McpSettings) -> None:
    if transport == "stdio":
        _refuse("a server over stdio has none" if body.url else None, "url")
        names = ", ".join(sorted(settings.stdio_commands)) or "none"
        is_known = body.command in settings.stdio_commands
        wrong = f"the name of a command that the config has in mcp.stdio_commands is needed; there are: {names}"
        _refuse(None if is_known else wrong, "command")
        return
    _refuse("is for servers over stdio" if body.command else None, "command")
    _check_url(body.url, settings.allowed_private, "url")


def _check_url(url: str, allowed: Iterable[str], param: str) -> None:
    _refuse(wrong_url(url), param)
    try:
        check_address(url, tuple(allowed))
    except ValueError as error:
        _refuse(str(error), param)


def _check_texts(body: ServerBody, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        _refuse(wrong_header(name, value), "static_headers")
        _check_reference(value, "static_headers")
    for name in body.extra_headers:
        _refuse(wrong_header(name), "extra_headers")
        # The key that the gateway is called with is not for others.
        is_ours = name.lower() in OURS
        _refuse(f"{name} is not passed on" if is_ours else None, "extra_headers")
    _refuse(None if body.alias is None else wrong_alias(body.alias), "alias")
    _refuse(wrong_names(body.tool_names), "tool_names")
    is_known = body.protocol_version in {None, *MODERN, *LEGACY}
    _refuse(None if is_known else f"must be one of {', '.join((*MODERN, *LEGACY))}", "protocol_version")
    for cost in body.cost_usd.values():
        is_cost = cost.is_finite() and 0 <= cost <= MAX_DOLLARS
        _refuse(None if is_cost else f"a call costs from 0 to {MAX_DOLLARS:,} US dollars", "cost_usd")


def _check_reference(value: str, param: str) -> None:
    # It would give an admin every variable of the gateway, sent to a server of his choice.
    _refuse(f"{REFERENCE} is for the config file" if value.startswith(REFERENCE) else None, param)


# -- credentials ------------------------------------------------------------------------------------------------------


def _is_same_place(body: ServerBody, before: ServerSettings) -> bool:
    return body.transport == "stdio" or (bool(body.url) and origin_of(body.url) == origin_of(before.url))


def _auth(body: ServerBody, allowed: Iterable[str], before: AuthSettings | None) -> AuthSettings:
    kind, auth = body.auth_type, body.auth
    if kind == "none":
        _refuse(None if auth is None else "set auth_type", "auth")
        return AuthSettings()
    if auth is None:
        if before is not None and before.kind == kind:
            return before
        raise InvalidRequest(f"auth: give the credentials of auth_type {kind}", param="auth")
    for text in (auth.value, auth.token, auth.client_secret):
        _check_reference(text or "", "auth")
    if kind == "oauth2":
        return _oauth(auth, allowed)
    header = auth.header or AuthSettings().header
    value = auth.value if kind == "api_key" else auth.token
    if value is None:
        raise InvalidRequest(f"auth: {'value' if kind == 'api_key' else 'token'} is missing", param="auth")
    _refuse(wrong_header(header, value), "auth")
    return AuthSettings(kind=kind, header=header, value=Secret(value))


def _oauth(auth: AuthBody, allowed: Iterable[str]) -> AuthSettings:
    if auth.token_url is not None:
        _check_url(auth.token_url, allowed, "token_url")
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
