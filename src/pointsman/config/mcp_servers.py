"""The tables of ``mcp_servers`` and ``mcp``: which MCP servers there are, and how they are offered to clients."""

from __future__ import annotations

from pointsman.config.kinds import (
    FLAG,
    HEADER_NAME,
    HEADERS,
    OBJECT,
    SECONDS,
    SECRET,
    TEXT,
    TEXTS,
    USD,
    mapping_to,
    one_of,
    whole,
)
from pointsman.config.tables import Section, pending_rows, row

TRANSPORTS = {
    "http": "streamable_http",
    "streamable_http": "streamable_http",
    "streamable-http": "streamable_http",
    "sse": "sse",
    "stdio": "stdio",
}
AUTH_TYPES = ("none", "api_key", "bearer_token", "oauth2", "basic", "authorization", "token")
FLOWS = ("client_credentials", "authorization_code")
ISOLATIONS = {name: name for name in ("auto", "shared", "key", "session")}
PINNINGS = {name: name for name in ("off", "warn", "block")}
MODES = {name: name for name in ("all", "search")}

COSTS = Section(
    name="mcp_server_cost_info",
    about="What calls of its tools cost.",
    keys=(
        row("default_cost_per_query", USD, "US dollars of a call."),
        row(
            "tool_name_to_cost_per_query", mapping_to({"type": "number"}), "The same by tool, where it is another one."
        ),
    ),
)

MCP_INFO = Section(
    name="mcp_info",
    about="What is told of an MCP server.",
    keys=(
        row("server_name", TEXT, "Its name for people."),
        row("description", TEXT, "What it is for."),
        row(COSTS.name, OBJECT, COSTS.about, holds="one", section=COSTS.name),
    ),
    unknown="keep",
)

MCP_SERVER = Section(
    name="mcp_servers",
    about="An MCP server.",
    keys=(
        row("server_id", TEXT, "Its id, in paths and grants. Default: the name that it stands under."),
        row("alias", TEXT, "What the names of its tools begin with at /mcp. Default: its id."),
        row("description", TEXT, "What it is for."),
        row("url", TEXT, "Its address. A query belongs to it."),
        row("transport", one_of(TRANSPORTS), "How it is spoken to. Default: stdio where it has a command, else http."),
        row("command", TEXT, "The program of a server over stdio. No shell reads it."),
        row("args", TEXTS, "Its arguments."),
        row("env", OBJECT, "Its variables. Of the gateway's own it gets PATH, HOME and the like only."),
        row("cwd", TEXT, "The directory that it starts in."),
        row("auth_type", TEXT, "How the gateway shows who it is.", choices=AUTH_TYPES),
        row("auth_value", SECRET, "The key or the token."),
        row("authentication_token", SECRET, "The same as auth_value."),
        row("auth_header", HEADER_NAME, "The header of auth_type api_key. Default: x-api-key."),
        row("client_id", TEXT, "Of auth_type oauth2."),
        row("client_secret", SECRET, "Of auth_type oauth2."),
        row("oauth2_flow", TEXT, "Whether the gateway or each user of it signs in.", choices=FLOWS),
        row("token_url", TEXT, "Where tokens are made. Default: what the server tells."),
        row("scopes", TEXTS, "What tokens are asked for."),
        row("static_headers", HEADERS, "Headers of each request to it."),
        row("extra_headers", TEXTS, "Names of the client's headers that it is shown."),
        row("tools", TEXTS, "The tools that are shown. Default: all that it has."),
        row("allowed_tools", TEXTS, "The same as tools."),
        row("resources", TEXTS, "The resources that are shown, by name or URI. Default: all that it has."),
        row("disallowed_tools", TEXTS, "Tools that are neither shown nor called; * stands for anything."),
        row("allowed_params", mapping_to({"type": "array", "items": {"type": "string"}}), "By tool: its arguments."),
        row("tool_names", mapping_to({"type": "string"}), "By tool: what it is called at /mcp."),
        row("access_groups", TEXTS, "Groups that keys and teams are granted."),
        row("allow_all_keys", FLAG, "Whether every key may use it."),
        row("protocol_version", TEXT, "The revision that is spoken with it, or auto. Default: auto."),
        row("isolation", one_of(ISOLATIONS), "Who shares a session with it: all, each key, or nobody. Default: auto."),
        row("timeout", SECONDS, "Seconds of a call. Default: 60."),
        row("max_result_bytes", whole(1024, 1 << 30), "Bytes of a result. Default: 10000000."),
        row("max_memory_bytes", whole(0), "Bytes of memory of a server over stdio, which ends at more. Default: any."),
        row("pinning", one_of(PINNINGS), "What becomes of a tool whose definition has changed. Default: off."),
        row("mcp_info", OBJECT, MCP_INFO.about, holds="one", section=MCP_INFO.name),
        row("metadata", OBJECT, "Anything; it is told at /mcp/servers."),
        *pending_rows(
            (
                "authorization_url",
                "registration_url",
                "issuer",
                "token_endpoint_auth_method",
                "spec_path",
                "instructions",
                "allow_sampling",
                "allow_elicitation",
                "available_on_public_internet",
                "delegate_auth_to_upstream",
                "env_vars",
                "max_concurrent_requests",
                "oauth_passthrough",
                "pinned_tools",
                "rpm",
                "token_validation",
            )
        ),
    ),
)

MCP = Section(
    name="mcp",
    about="How MCP servers are offered to clients.",
    keys=(
        row("enabled", FLAG, "false: nothing below /mcp answers. Default: MCP_GATEWAY_ENABLED, or true."),
        row("allow_unauthenticated", FLAG, "Whether clients need no key. They may use what allow_all_keys is set for."),
        row("mode", one_of(MODES), "search: /mcp shows three tools that find and call all others."),
        row("sse", FLAG, "Whether clients may use the transport of 2024, which is deprecated: /mcp/sse."),
        row(
            "stdio_commands",
            mapping_to({"type": "array", "items": {"type": "string"}}),
            "By name: programs with their arguments that servers which are registered by request may name.",
        ),
        row("allowed_hosts", TEXTS, "Names that clients may call /mcp by, besides those of this machine."),
        row("allowed_private", TEXTS, "Private networks and hosts that such servers may be in."),
        row("authorization_servers", TEXTS, "Whose tokens clients may show; they are told of these."),
        row("public_url", TEXT, "Where browsers find the gateway, to sign in to servers. Default: where clients do."),
        row("client_metadata_url", TEXT, "A document about the gateway for authorization servers. Default: its own."),
        row("list_timeout", SECONDS, "Seconds that a list waits for the slowest server. Default: 2."),
        row("max_sessions", whole(1), "Sessions of clients at a time. Default: 100000."),
        row("max_streams", whole(1), "Streams of clients at a time. Default: 10000."),
        row("max_parked", whole(1), "Calls that wait for what a user has to say. Default: 1000."),
        row("parked_timeout", SECONDS, "Seconds that they do. Default: 300."),
        row("max_stdio", whole(1, 10_000), "Processes of servers at a time. Default: 64."),
        row("max_rounds", whole(1, 100), "How often a model is asked that calls tools, for one request. Default: 10."),
        row("tools_timeout", SECONDS, "Seconds of such a request after which no tool is called. Default: 120."),
        row("max_calls", whole(1, 10_000), "Tools that are called for such a request. Default: 50."),
        row("max_tool_bytes", whole(1), "Bytes of one answer of a tool that the model gets. Default: 100000."),
        row("max_tools_bytes", whole(1), "Bytes of all of them. Default: 1000000."),
        row("allow_foreign_servers", FLAG, "Whether such a request may name servers that are not of this gateway."),
    ),
)
SERVERS_ROW = row(MCP_SERVER.name, OBJECT, "MCP servers, by name.", holds="map", section=MCP_SERVER.name)
MCP_ROW = row(MCP.name, OBJECT, MCP.about, holds="one", section=MCP.name)
SECTIONS = (MCP, MCP_SERVER, MCP_INFO, COSTS)
