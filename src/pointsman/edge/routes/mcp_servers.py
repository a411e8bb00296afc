"""The registry of MCP servers: those of the config are shown, others are added, changed and removed by admins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import sees_all
from pointsman.edge.admin import MAX_BODY_BYTES, MAX_ROWS, Admin, admin_of, stored, who_is
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.mcp import mcp_of, missing, opened, seen, standing
from pointsman.edge.reply import json_reply
from pointsman.errors import AlreadyThere, InvalidRequest, Overloaded
from pointsman.mcp import bodies, pinning
from pointsman.mcp.gateway import Gateway
from pointsman.mcp.permissions import visible
from pointsman.mcp.protocol.pins import Difference, Pin
from pointsman.mcp.registry import SERVERS, Registry
from pointsman.mcp.settings import ServerSettings
from pointsman.store.base import Change, Conflict
from pointsman.store.registry import MAX_ENTRIES
from pointsman.store.sealing import CannotUnseal

TOKENS = "mcp_tokens"
"""What users have signed in to a server with, which goes with it."""


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which definitions are approved; ``None``: all."""

    tools: tuple[str, ...] | None = None


async def list_servers(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /mcp/servers``: those that the caller may use."""
    registry, gateway = await opened(serving)
    caller = exchange.caller
    servers = [_told(one, gateway, caller) for one in registry.entries.values() if visible(caller, one)]
    if sees_all(caller):
        servers += [_told_fault(server_id, why) for server_id, why in registry.faults.items()]
    json_reply(exchange, {"servers": servers})


async def show(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /mcp/servers/{server_id}``."""
    registry, gateway = await opened(serving)
    caller, server = exchange.caller, seen(registry, exchange.caller, params["server_id"])
    found = bodies.told_in_full(server, is_whole=sees_all(caller)) | standing(server.id, gateway, caller)
    if sees_all(caller):
        found["hidden_tools"] = dict(gateway.faults(server.id))
    json_reply(exchange, found)


async def register(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /mcp/servers``."""
    registry, _ = await opened(serving)
    body = bodies.read_body(await exchange.body(MAX_BODY_BYTES))
    server = bodies.settle(body, registry.settings)
    _check_prefix(registry, server)
    admin, caller = await admin_of(serving), exchange.caller
    await registry.load()
    if server.id in registry.entries or server.id in registry.faults:
        raise AlreadyThere(f"The id {server.id} is taken: choose another one", param="server_id")
    if len(registry.entries) >= MAX_ENTRIES:
        raise InvalidRequest(f"There are {MAX_ENTRIES} servers already: remove some first")
    doc = _sealed(server, admin) | admin.made(caller)
    change = Change(SERVERS.table, server.id, msgspec.to_builtins(doc), 0)
    try:
        await admin.write(caller, "mcp_server.new", server.id, [change], None, _plain(server))
    except Conflict:
        raise AlreadyThere(f"The id {server.id} is taken: choose another one", param="server_id") from None
    await registry.load()
    json_reply(exchange, {"status": "registered", "server_id": server.id})


async def replace(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``PUT /mcp/servers/{server_id}``: what is not named is as if it was never said, but for the credentials."""
    await _change(serving, exchange, params["server_id"], is_whole=True)


async def update(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``PATCH /mcp/servers/{server_id}``: what is named is changed, all else stays."""
    await _change(serving, exchange, params["server_id"], is_whole=False)


async def unregister(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /mcp/servers/{server_id}``: with what users have signed in to it with, and what was approved of it."""
    registry, _ = await opened(serving)
    server_id = params["server_id"]
    _check_stored(registry, server_id)
    admin, caller = await admin_of(serving), exchange.caller

    async def write() -> None:
        row = await stored(admin.records.get(SERVERS.table, server_id))
        if row is None:
            raise missing(server_id)
        tokens = await stored(admin.records.find(TOKENS, {"server_id": server_id}, limit=MAX_ROWS))
        changes = [Change(SERVERS.table, server_id, None, row.version), Change(pinning.TABLE, server_id, None)]
        changes += [Change(TOKENS, one.id, None) for one in tokens]
        server = registry.entries.get(server_id)
        before = None if server is None else _plain(server)
        await admin.write(caller, "mcp_server.delete", server_id, changes, before)

    await admin.again(write)
    await registry.load()
    json_reply(exchange, {"status": "unregistered", "server_id": server_id})


async def show_pins(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /mcp/servers/{server_id}/pins``: which tools are not as they were approved, and how they were."""
    registry, _ = await opened(serving)
    server = seen(registry, exchange.caller, params["server_id"])
    pins = await mcp_of(serving).pins()
    found = await stored(pins.differences(server.id))
    told = {"server_id": server.id, "pinning": server.pinning, "differences": [_told_difference(one) for one in found]}
    json_reply(exchange, told)


async def approve_pins(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /mcp/servers/{server_id}/pins/approve``: definitions as they are now, all or those of some ``tools``."""
    registry, _ = await opened(serving)
    server = seen(registry, exchange.caller, params["server_id"])
    try:
        asked = msgspec.json.decode(await exchange.body(MAX_BODY_BYTES) or b"{}", type=Approval)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this path takes: {error}") from None
    pins = await mcp_of(serving).pins()
    try:
        done = await stored(pins.approve(server.id, who_is(exchange.caller), asked.tools))
    except Conflict:
        raise Overloaded("Somebody else approves them at the moment; try again", retry_after=1) from None
    json_reply(exchange, {"status": "approved", "server_id": server.id, "tools": done})


# -- changes ----------------------------------------------------------------------------------------------------------


async def _change(serving: Serving, exchange: Exchange, server_id: str, *, is_whole: bool) -> None:
    registry, gateway = await opened(serving)
    _check_stored(registry, server_id)
    given = await exchange.body(MAX_BODY_BYTES)
    admin, caller = await admin_of(serving), exchange.caller

    async def write() -> ServerSettings:
        await registry.load()
        row = await stored(admin.records.get(SERVERS.table, server_id))
        if row is None:
            raise missing(server_id)
        before = registry.entries.get(server_id)
        if before is None:
            raise InvalidRequest(f"It cannot be changed: {registry.faults.get(server_id)}; remove it")
        body = bodies.read_body(given, None if is_whole else before)
        if body.server_id not in {"", server_id}:
            raise InvalidRequest("An id cannot be changed", param="server_id")
        body = msgspec.structs.replace(body, server_id=server_id)
        after = bodies.settle(body, registry.settings, before)
        _check_prefix(registry, after)
        made = {name: row.doc.get(name) for name in ("created_at", "created_by")}
        doc = msgspec.to_builtins(_sealed(after, admin) | made | admin.changed(caller))
        change = Change(SERVERS.table, server_id, doc, row.version)
        await admin.write(caller, "mcp_server.update", server_id, [change], _plain(before), _plain(after))
        return after

    after = await admin.again(write)
    await registry.load()
    json_reply(exchange, bodies.told_in_full(after, is_whole=True) | standing(server_id, gateway, caller))


def _check_stored(registry: Registry, server_id: str) -> None:
    server = registry.entries.get(server_id)
    if server is not None and server.source in {"config", "gateway"}:
        raise InvalidRequest(f"The server {server_id} stands in the config: change it there", param="server_id")


def _check_prefix(registry: Registry, server: ServerSettings) -> None:
    prefix = server.prefix or server.id
    for other in registry.entries.values():
        if other.id != server.id and (other.prefix or other.id) == prefix:
            raise AlreadyThere(f"The tools of {other.id} begin with {prefix} already: choose an alias", param="alias")


def _sealed(server: ServerSettings, admin: Admin) -> dict[str, Any]:
    try:
        return SERVERS.to_doc(server, admin.sealer)
    except CannotUnseal as error:
        raise InvalidRequest(f"Credentials cannot be kept: {error}", param="auth") from error


# -- what is told -----------------------------------------------------------------------------------------------------


def _told(server: ServerSettings, gateway: Gateway, caller: Caller) -> dict[str, Any]:
    return bodies.told(server, is_whole=sees_all(caller)) | standing(server.id, gateway, caller)


def _told_fault(server_id: str, why: str) -> dict[str, Any]:
    bare = {"server_id": server_id, "name": server_id, "url": "", "transport": "", "tools": [], "resources": []}
    return bare | {"status": "down", "protocol_version": None, "last_error": why}


def _plain(server: ServerSettings) -> Any:
    """For the audit log, which holds no secret."""
    return msgspec.to_builtins(bodies.told_in_full(server, is_whole=True), enc_hook=str)


def _told_difference(one: Difference) -> dict[str, Any]:
    return {"tool": one.tool, "kind": one.kind, "approved": _told_pin(one.before), "seen": _told_pin(one.after)}


def _told_pin(pin: Pin | None) -> dict[str, Any] | None:
    return None if pin is None else {"digest": pin.digest, "definition": pin.definition}
