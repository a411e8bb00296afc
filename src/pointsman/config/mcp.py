"""``mcp_servers`` and ``mcp`` into the settings of the MCP gateway. Imported where a document says anything of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from pointsman.access.places import OURS, wrong_header, wrong_network, wrong_url
from pointsman.config.check import Report, read_section
from pointsman.config.kinds import Mismatch, name_of
from pointsman.config.marks import Path
from pointsman.config.mcp_servers import AUTH_TYPES, COSTS, FLOWS, MCP, MCP_INFO, MCP_SERVER
from pointsman.mcp.checks import wrong_alias, wrong_id, wrong_names
from pointsman.mcp.protocol.revisions import LEGACY, MODERN
from pointsman.mcp.settings import AuthSettings, Limits, McpSettings, ServerSettings, UseLimits
from pointsman.wire.secret import Secret

SWITCH = "MCP_GATEWAY_ENABLED"
OFF = frozenset({"false", "0", "no", "off"})
AUTO = "auto"
ALL_TOOLS = "*"
DIRECT = {
    "description": "description",
    "cwd": "cwd",
    "extra_headers": "forward_headers",
    "resources": "resources",
    "disallowed_tools": "denied_tools",
    "access_groups": "access_groups",
    "allow_all_keys": "allow_all_keys",
    "alias": "prefix",
    "isolation": "isolation",
    "timeout": "timeout",
    "max_result_bytes": "max_result_bytes",
    "max_memory_bytes": "max_memory_bytes",
    "pinning": "pinning",
    "metadata": "metadata",
}
"""What is taken as it stands, and as what."""
LIMITS = {
    "list_timeout": "list_seconds",
    "max_sessions": "max_sessions",
    "max_streams": "max_streams",
    "max_parked": "max_parked",
    "parked_timeout": "parked_seconds",
    "max_stdio": "max_stdio",
}
USE = {
    "max_rounds": "rounds",
    "tools_timeout": "seconds",
    "max_calls": "calls",
    "max_tool_bytes": "result_bytes",
    "max_tools_bytes": "total_bytes",
}
"""What bounds the tools that models call, for one request."""
OWN = {
    "enabled": "is_enabled",
    "allow_unauthenticated": "is_open",
    "mode": "mode",
    "sse": "serves_sse",
    "allowed_hosts": "allowed_hosts",
    "allow_foreign_servers": "allows_foreign",
    "allowed_private": "allowed_private",
    "authorization_servers": "authorization_servers",
    "public_url": "public_url",
    "client_metadata_url": "client_metadata_url",
}


def read_mcp(
    top: Mapping[str, Any], aliases: Mapping[str, Any], environment: Mapping[str, str], report: Report
) -> McpSettings | None:
    """The settings, where a document or the environment says anything of MCP; ``aliases`` are of other servers."""
    stated, servers, switch = top.get(MCP.name), top.get(MCP_SERVER.name), environment.get(SWITCH, "").strip().lower()
    if stated is None and servers is None and not switch:
        return None
    values = read_section(stated, MCP, (MCP.name,), report).values
    found: dict[str, Any] = {name: values[key] for key, name in OWN.items() if key in values}
    found.setdefault("is_enabled", switch not in OFF)
    for name in ("public_url", "client_metadata_url"):
        _check(wrong_url(found[name]) if name in found else None, (MCP.name, name), report)
    for one in values.get("allowed_private", ()):
        _check(wrong_network(one), (MCP.name, "allowed_private"), report)
    commands = values.get("stdio_commands", {})
    return McpSettings(
        servers=tuple(_servers(servers or {}, {str(one): alias for alias, one in aliases.items()}, report)),
        stdio_commands=dict(_lists(commands, (MCP.name, "stdio_commands"), report)),
        limits=Limits(**{name: values[key] for key, name in LIMITS.items() if key in values}),
        use=UseLimits(**{name: values[key] for key, name in USE.items() if key in values}),
        **found,
    )


def _servers(entries: Mapping[str, Any], aliases: Mapping[str, str], report: Report) -> Iterator[ServerSettings]:
    ids: set[str] = set()
    prefixes: set[str] = set()
    for name, entry in entries.items():
        path: Path = (MCP_SERVER.name, name)
        server = _server(str(name), entry, path, report)
        if server is None:
            continue
        if server.prefix is None and name in aliases:
            server = msgspec.structs.replace(server, prefix=aliases[name])
        prefix = server.prefix or server.id
        _check(wrong_alias(prefix) if prefix != server.id else None, (*path, "alias"), report)
        if server.id in ids:
            report.error(path, f"is the second server with the id {server.id}", "give it another server_id")
        elif prefix in prefixes:
            report.error(path, f"is the second server whose tools begin with {prefix}", "give it another alias")
        ids.add(server.id)
        prefixes.add(prefix)
        yield server


def _server(name: str, entry: Any, path: Path, report: Report) -> ServerSettings | None:
    reading = read_section(entry if entry is not None else "", MCP_SERVER, path, report)
    if not reading.is_sound:
        return None
    values = reading.values
    info = read_section(values.get(MCP_INFO.name), MCP_INFO, (*path, MCP_INFO.name), report)
    server_id = values.get("server_id", name)
    transport = values.get("transport", "stdio" if "command" in values else "streamable_http")
    _check(wrong_id(server_id), path, report)
    _check_way(values, transport, path, report)
    _check_texts(values, path, report)
    renamed = _texts(values.get("tool_names", {}), (*path, "tool_names"), report)
    _check(wrong_names(renamed), (*path, "tool_names"), report)
    version = values.get("protocol_version", AUTO)
    return ServerSettings(
        id=server_id,
        name=info.values.get("server_name", name),
        transport=transport,
        url=values.get("url", "") if transport != "stdio" else "",
        command=(values["command"], *values.get("args", ())) if transport == "stdio" and "command" in values else (),
        env=_texts(values.get("env", {}), (*path, "env"), report),
        auth=_auth(values, path, report),
        static_headers=dict(values.get("static_headers", ())),
        tools=values.get("tools") or values.get("allowed_tools", ()),
        allowed_params=dict(_lists(values.get("allowed_params", {}), (*path, "allowed_params"), report)),
        renamed=renamed,
        revision=None if version == AUTO else version,
        cost_usd=_costs(info.values, (*path, MCP_INFO.name), report),
        allow_private=True,
        **{"description": info.values.get("description", "")}
        | {name: values[key] for key, name in DIRECT.items() if key in values},
    )


def _check_way(values: Mapping[str, Any], transport: str, path: Path, report: Report) -> None:
    if "command" in values and "url" in values:
        report.error(path, "has a url and a command, and can be spoken to by one of them only")
    elif transport == "stdio":
        _check(None if "command" in values else "has no command, which a server over stdio needs", path, report)
    elif "url" not in values:
        report.error(path, "has neither a url nor a command")
    else:
        _check(wrong_url(values["url"]), (*path, "url"), report)


def _check_texts(values: Mapping[str, Any], path: Path, report: Report) -> None:
    known = (AUTO, *MODERN, *LEGACY)
    if values.get("protocol_version", AUTO) not in known:
        report.error((*path, "protocol_version"), "must be one of " + ", ".join(known))
    forwarded = values.get("extra_headers", ())
    for one in forwarded:
        _check(wrong_header(one), (*path, "extra_headers"), report)
    if any(one.lower() in OURS for one in forwarded):
        what = "names a header that may hold the key of this gateway, and so is never passed on"
        report.warning((*path, "extra_headers"), what, "auth_type and auth_value say what the server is shown")


def _check(wrong: str | None, path: Path, report: Report) -> None:
    if wrong is not None:
        report.error(path, wrong)


# -- how the gateway shows who it is ----------------------------------------------------------------------------------


def _auth(values: Mapping[str, Any], path: Path, report: Report) -> AuthSettings:
    kind = values.get("auth_type", "none")
    if kind not in AUTH_TYPES:
        report.error((*path, "auth_type"), "must be one of " + ", ".join(AUTH_TYPES))
        kind = "none"
    if kind == "oauth2":
        return _oauth(values, path, report)
    value: Secret | None = values.get("auth_value", values.get("authentication_token"))
    if kind != "none" and value is None:
        report.error(path, f"has no auth_value, which auth_type {kind} needs")
    if kind == "none" or value is None:
        return AuthSettings()
    return _static(kind, values.get("auth_header"), value)


def _static(kind: str, header: str | None, value: Secret) -> AuthSettings:
    if kind == "bearer_token":
        return AuthSettings(kind="bearer_token", value=value)
    if kind == "api_key":
        return AuthSettings(kind="api_key", header=header or AuthSettings().header, value=value)
    return AuthSettings(kind="api_key", header="authorization", value=Secret(_authorization(kind, value.reveal())))


def _authorization(kind: str, value: str) -> str:
    if kind == "basic":
        return "Basic " + base64.b64encode(value.encode()).decode()
    return f"token {value}" if kind == "token" else value


def _oauth(values: Mapping[str, Any], path: Path, report: Report) -> AuthSettings:
    is_complete = all(name in values for name in ("client_id", "client_secret", "token_url"))
    flow = values.get("oauth2_flow", FLOWS[0] if is_complete else FLOWS[1])
    if flow not in FLOWS:
        report.error((*path, "oauth2_flow"), "must be one of " + ", ".join(FLOWS))
        return AuthSettings()
    token_url = values.get("token_url")
    _check(None if token_url is None else wrong_url(token_url), (*path, "token_url"), report)
    return AuthSettings(
        kind="oauth2",
        grant=flow,
        client_id=values.get("client_id"),
        client_secret=values.get("client_secret"),
        token_url=token_url,
        scopes=values.get("scopes", ()),
    )


# -- values -----------------------------------------------------------------------------------------------------------


def _texts(given: Mapping[str, Any], path: Path, report: Report) -> dict[str, str]:
    """A mapping of texts; numbers and flags are what YAML makes of texts."""
    found = {}
    for name, value in given.items():
        if isinstance(value, bool):
            found[str(name)] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            found[str(name)] = str(value)
        elif value is not None:
            report.error((*path, name), f"must be text, not {name_of(value)}")
    for where, variable in report.take_missing(path):
        report.error(where, f"the environment variable {variable} is not set")
    return found


def _lists(given: Mapping[str, Any], path: Path, report: Report) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, value in given.items():
        entries = [value] if isinstance(value, str) else value
        if isinstance(entries, list) and entries and all(isinstance(one, str) for one in entries):
            yield str(name), tuple(entries)
        else:
            report.error((*path, name), "must be a list of texts, and not an empty one")


def _costs(info: Mapping[str, Any], path: Path, report: Report) -> dict[str, str]:
    path = (*path, COSTS.name)
    values = read_section(info.get(COSTS.name), COSTS, path, report).values
    found: dict[str, str] = {}
    if "default_cost_per_query" in values:
        found[ALL_TOOLS] = str(values["default_cost_per_query"])
    by_tool = values.get("tool_name_to_cost_per_query", {})
    for tool, cost in by_tool.items():
        try:
            amount: Decimal = COSTS.keys[0].kind.read(cost)
        except Mismatch as mismatch:
            report.error((*path, "tool_name_to_cost_per_query", tool), str(mismatch))
            continue
        found[str(tool)] = str(amount)
    return found
