"""What MCP servers have, as plain JSON: for whoever does not speak the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.grants import is_any
from pointsman.edge.admin import MAX_BODY_BYTES, Query
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.mcp import opened, seen, standing
from pointsman.edge.reply import json_reply
from pointsman.errors import InvalidRequest, UpstreamRejected
from pointsman.mcp.base import Scope
from pointsman.mcp.gateway import Found, Gateway
from pointsman.mcp.permissions import may_call, may_read, visible
from pointsman.mcp.settings import ServerSettings
from pointsman.wire.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, raw

CALLERS_FAULTS = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND})


class CallBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /mcp/tools/call``. Without ``server_id`` the tool is named as at ``/mcp``."""

    tool_name: str | None = None
    name: str | None = None
    """The same."""
    server_id: str | None = None
    arguments: dict[str, Any] = {}


async def tools(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/tools``: those that the caller may call, declared ones also before their server has shown them."""
    await _list(serving, exchange, "tools", "tool")


async def resources(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/resources``: those that the caller may read; a declared one goes by the name that was declared."""
    await _list(serving, exchange, "resources", "resource")


async def prompts(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/prompts``."""
    await _list(serving, exchange, "prompts", "prompt")


async def health(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/health``: each server that the caller may use is asked for its tools."""
    registry, gateway = await opened(serving)
    caller = exchange.caller
    await gateway.overview(caller, "tools")
    servers = [_health(one, gateway, caller) for one in registry.entries.values() if visible(caller, one)]
    well = sum(one["status"] == "ready" for one in servers)
    status = "healthy" if well == len(servers) else "degraded" if well else "unhealthy"
    json_reply(exchange, {"status": status, "servers": servers, "healthy": well, "total": len(servers)})


async def call(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /mcp/tools/call``."""
    registry, gateway = await opened(serving)
    caller = exchange.caller
    try:
        asked = msgspec.json.decode(await exchange.body(MAX_BODY_BYTES), type=CallBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this path takes: {error}") from None
    name = asked.tool_name or asked.name
    if not name:
        raise InvalidRequest("Set 'tool_name'", param="tool_name")
    scope = Scope(None)
    if asked.server_id is not None:
        scope = Scope((seen(registry, caller, asked.server_id).id,), is_single=True)
    params = raw({"name": name, "arguments": asked.arguments})
    try:
        asking = gateway.quiet(caller, exchange.request_id, exchange.headers)
        result = await gateway.call(scope, "tools/call", params, asking)
    except RpcError as error:
        raise _refused(error) from None
    is_error = msgspec.json.decode(result, type=dict[str, Any]).get("isError") is True
    told = {"status": "error" if is_error else "success", "tool_name": name, "server_id": asked.server_id}
    json_reply(exchange, told | {"result": result})


# -- lists ------------------------------------------------------------------------------------------------------------


async def _list(serving: Serving, exchange: Exchange, what: str, member: str) -> None:
    registry, gateway = await opened(serving)
    caller, wanted = exchange.caller, Query(exchange).text("server_id")
    if wanted is not None:
        seen(registry, caller, wanted)
    found = [one for one in await gateway.overview(caller, what) if wanted in (None, one.settings.id)]
    servers = [one for one in registry.entries.values() if visible(caller, one) and wanted in (None, one.id)]
    rows: list[dict[str, Any]] = []
    for server in servers:
        discovered = [one for one in found if one.settings.id == server.id]
        told = [_told(one, server, what, member) for one in discovered]
        rows += told
        rows += _declared(server, caller, what, member, {one[member] for one in told})
    json_reply(exchange, {what: rows})


def _declared(
    server: ServerSettings, caller: Caller, what: str, member: str, known: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """What an operator has named and the server has not shown yet."""
    named: Mapping[str, tuple[str, ...]] = {"tools": server.tools, "resources": server.resources}
    for name in named.get(what, ()):
        may = may_call if what == "tools" else may_read
        if name not in known and "*" not in name and may(caller, server, name) is None:
            yield {"server_id": server.id, "server_name": server.name, member: name, "source": "declared"}


def _told(one: Found, server: ServerSettings, what: str, member: str) -> dict[str, Any]:
    item = msgspec.json.decode(one.raw, type=dict[str, Any])
    row: dict[str, Any] = {"server_id": server.id, "server_name": server.name, member: one.name, "source": "discovered"}
    row |= {"title": item.get("title"), "description": item.get("description")}
    if what == "tools":
        schemas = {"input_schema": item.get("inputSchema"), "output_schema": item.get("outputSchema")}
        return row | {"name": one.public, **schemas, "annotations": item.get("annotations")}
    if what == "prompts":
        return row | {"name": one.public, "arguments": item.get("arguments", [])}
    name = item.get("name")
    if isinstance(name, str) and name in server.resources and not is_any(server.resources, one.name):
        row[member] = name
    return row | {"name": name, "uri": one.public, "mime_type": item.get("mimeType")}


def _health(server: ServerSettings, gateway: Gateway, caller: Caller) -> dict[str, Any]:
    return {"server_id": server.id, "server_name": server.name} | standing(server.id, gateway, caller)


def _refused(error: RpcError) -> InvalidRequest | UpstreamRejected:
    if error.code in CALLERS_FAULTS:
        return InvalidRequest(error.message, code=str(error.code))
    return UpstreamRejected(error.message, status=502, kind="mcp_error", code=str(error.code))
