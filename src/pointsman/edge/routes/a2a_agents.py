"""The registry of agents: those of the config are shown, others are added, changed and removed by admins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pointsman.a2a import bodies, litellm
from pointsman.a2a.base import Cards, LiveCard
from pointsman.a2a.permissions import missing, visible
from pointsman.a2a.registry import AGENTS, Registry
from pointsman.a2a.searching import Entry, find, read_query
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import Caller
from pointsman.access.policy import sees_all
from pointsman.edge.a2a import a2a_of, opened, seen
from pointsman.edge.admin import MAX_BODY_BYTES, Admin, Query, admin_of, stored
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import AlreadyThere, InvalidRequest
from pointsman.store.base import Change, Conflict
from pointsman.store.registry import MAX_ENTRIES
from pointsman.store.sealing import CannotUnseal

NOBODY = "nobody"
"""The id of an agent that is looked at and not registered."""


async def list_agents(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /a2a/agents``: those that the caller may ask."""
    registry, cards = await opened(serving), await a2a_of(serving).cards()
    caller = exchange.caller
    page = find(_entries(registry, cards, caller), read_query(Query(exchange).text))
    told: dict[str, Any] = {"agents": [_told(registry, cards, caller, agent_id) for agent_id in page.ids]}
    json_reply(exchange, told if page.next_cursor is None else told | {"next_cursor": page.next_cursor})


async def show(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /a2a/agents/{agent_id}``."""
    registry = await opened(serving)
    await _answer(serving, exchange, seen(registry, exchange.caller, params["agent_id"]))


async def register(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /a2a/agents``."""
    registry = await opened(serving)
    agent = await _register(serving, exchange, registry, bodies.read_body(await exchange.body(MAX_BODY_BYTES)))
    json_reply(exchange, {"status": "registered", "agent_id": agent.id})


async def replace(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``PUT /a2a/agents/{agent_id}``: what is not named is as if it was never said, but for the credentials."""
    given = await exchange.body(MAX_BODY_BYTES)
    await _answer(serving, exchange, await _change(serving, exchange, params["agent_id"], given, is_whole=True))


async def update(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``PATCH /a2a/agents/{agent_id}``: what is named is changed, all else stays."""
    given = await exchange.body(MAX_BODY_BYTES)
    await _answer(serving, exchange, await _change(serving, exchange, params["agent_id"], given, is_whole=False))


async def unregister(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /a2a/agents/{agent_id}``."""
    await _unregister(serving, exchange, params["agent_id"])
    json_reply(exchange, {"status": "unregistered", "agent_id": params["agent_id"]})


async def discover(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /a2a/agents:discover``: what an agent says of itself, which is not registered by that."""
    registry, cards = await opened(serving), await a2a_of(serving).cards()
    body = bodies.read_body(await exchange.body(MAX_BODY_BYTES))
    agent = bodies.settle(msgspec.structs.replace(body, agent_id=NOBODY, name=""), registry.settings)
    if not agent.url:
        raise InvalidRequest("Say where the agent is", param="url")
    live = await cards.look(agent)
    json_reply(exchange, _found(agent, live))


# -- as LiteLLM has them ----------------------------------------------------------------------------------------------


async def list_as_litellm(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1/agents``: all that the caller may ask, as a list."""
    registry, caller = await opened(serving), exchange.caller
    agents = [one for one in registry.entries.values() if visible(caller, one)]
    json_reply(exchange, [litellm.told(one, is_whole=sees_all(caller)) for one in agents])


async def show_as_litellm(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/agents/{agent_id}``."""
    agent = seen(await opened(serving), exchange.caller, params["agent_id"])
    json_reply(exchange, litellm.told(agent, is_whole=sees_all(exchange.caller)))


async def register_as_litellm(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /v1/agents``: its id is its name, where that can stand in a path."""
    registry = await opened(serving)
    members = await _as_litellm(exchange)
    members.setdefault("agent_id", litellm.id_of(str(members.get("name", ""))))
    agent = await _register(serving, exchange, registry, bodies.read_body(msgspec.json.encode(members)))
    json_reply(exchange, litellm.told(agent, is_whole=True))


async def replace_as_litellm(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``PUT /v1/agents/{agent_id}``."""
    given = msgspec.json.encode(await _as_litellm(exchange))
    agent = await _change(serving, exchange, params["agent_id"], given, is_whole=True)
    json_reply(exchange, litellm.told(agent, is_whole=True))


async def update_as_litellm(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``PATCH /v1/agents/{agent_id}``."""
    given = msgspec.json.encode(await _as_litellm(exchange))
    agent = await _change(serving, exchange, params["agent_id"], given, is_whole=False)
    json_reply(exchange, litellm.told(agent, is_whole=True))


async def unregister_as_litellm(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /v1/agents/{agent_id}``."""
    await _unregister(serving, exchange, params["agent_id"])
    json_reply(exchange, {"message": f"Agent {params['agent_id']} deleted successfully"})


async def _as_litellm(exchange: Exchange) -> dict[str, Any]:
    """A body of LiteLLM's, with the members that one of the registry has."""
    given = await exchange.body(MAX_BODY_BYTES)
    try:
        return litellm.body_of(msgspec.json.decode(given, type=dict[str, Any]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this path takes: {error}") from None
    except litellm.NotTaken as error:
        raise InvalidRequest(f"This path does not take {str(error)!r}", param=str(error)) from None


# -- changes ----------------------------------------------------------------------------------------------------------


async def _register(serving: Serving, exchange: Exchange, registry: Registry, body: bodies.AgentBody) -> AgentSettings:
    agent = bodies.settle(body, registry.settings)
    admin, caller = await admin_of(serving), exchange.caller
    await registry.load()
    if agent.id in registry.entries or agent.id in registry.faults:
        raise AlreadyThere(f"The id {agent.id} is taken: choose another one", param="agent_id")
    if len(registry.entries) >= MAX_ENTRIES:
        raise InvalidRequest(f"There are {MAX_ENTRIES} agents already: remove some first")
    doc = _sealed(agent, admin) | admin.made(caller)
    change = Change(AGENTS.table, agent.id, msgspec.to_builtins(doc), 0)
    try:
        await admin.write(caller, "agent.new", agent.id, [change], None, _plain(agent))
    except Conflict:
        raise AlreadyThere(f"The id {agent.id} is taken: choose another one", param="agent_id") from None
    await registry.load()
    return agent


async def _unregister(serving: Serving, exchange: Exchange, agent_id: str) -> None:
    registry = await opened(serving)
    _check_stored(registry, agent_id)
    admin, caller = await admin_of(serving), exchange.caller

    async def write() -> None:
        row = await stored(admin.records.get(AGENTS.table, agent_id))
        if row is None:
            raise missing(agent_id)
        agent = registry.entries.get(agent_id)
        before = None if agent is None else _plain(agent)
        await admin.write(caller, "agent.delete", agent_id, [Change(AGENTS.table, agent_id, None, row.version)], before)

    await admin.again(write)
    await registry.load()


async def _change(
    serving: Serving, exchange: Exchange, agent_id: str, given: bytes, *, is_whole: bool
) -> AgentSettings:
    registry = await opened(serving)
    _check_stored(registry, agent_id)
    admin, caller = await admin_of(serving), exchange.caller

    async def write() -> AgentSettings:
        await registry.load()
        row = await stored(admin.records.get(AGENTS.table, agent_id))
        if row is None:
            raise missing(agent_id)
        before = registry.entries.get(agent_id)
        if before is None:
            raise InvalidRequest(f"It cannot be changed: {registry.faults.get(agent_id)}; remove it")
        body = bodies.read_body(given, None if is_whole else before)
        if body.agent_id not in {"", agent_id}:
            raise InvalidRequest("An id cannot be changed", param="agent_id")
        after = bodies.settle(msgspec.structs.replace(body, agent_id=agent_id), registry.settings, before)
        made = {name: row.doc.get(name) for name in ("created_at", "created_by")}
        doc = msgspec.to_builtins(_sealed(after, admin) | made | admin.changed(caller))
        change = Change(AGENTS.table, agent_id, doc, row.version)
        await admin.write(caller, "agent.update", agent_id, [change], _plain(before), _plain(after))
        return after

    after = await admin.again(write)
    await registry.load()
    return after


def _check_stored(registry: Registry, agent_id: str) -> None:
    agent = registry.entries.get(agent_id)
    if agent is not None and agent.source == "config":
        raise InvalidRequest(f"The agent {agent_id} stands in the config: change it there", param="agent_id")


def _sealed(agent: AgentSettings, admin: Admin) -> dict[str, Any]:
    try:
        return AGENTS.to_doc(agent, admin.sealer)
    except CannotUnseal as error:
        raise InvalidRequest(f"Credentials cannot be kept: {error}", param="auth") from error


# -- what is told -----------------------------------------------------------------------------------------------------


def _entries(registry: Registry, cards: Cards, caller: Caller) -> Iterator[Entry]:
    for agent in registry.entries.values():
        if visible(caller, agent):
            live = cards.peek(agent.id)
            yield Entry(
                id=agent.id,
                name=agent.name,
                description=agent.description,
                capabilities=agent.capabilities,
                card=agent.card if live is None else live.card,
                state=cards.health(agent.id).state,
            )
    if sees_all(caller):
        for agent_id in registry.faults.keys() - registry.entries.keys():
            yield Entry(id=agent_id, name=agent_id, state="unhealthy")


async def _answer(serving: Serving, exchange: Exchange, agent: AgentSettings) -> None:
    caller, cards = exchange.caller, await a2a_of(serving).cards()
    json_reply(exchange, bodies.told_in_full(agent, is_whole=sees_all(caller)) | _standing(agent.id, cards, caller))


def _told(registry: Registry, cards: Cards, caller: Caller, agent_id: str) -> dict[str, Any]:
    agent = registry.entries.get(agent_id)
    if agent is not None:
        return bodies.told(agent, is_whole=sees_all(caller)) | _standing(agent_id, cards, caller)
    bare = {"agent_id": agent_id, "name": agent_id, "description": "", "url": "", "capabilities": [], "metadata": {}}
    return bare | {"status": "unhealthy", "last_error": registry.faults.get(agent_id)}


def _standing(agent_id: str, cards: Cards, caller: Caller) -> dict[str, Any]:
    """How an agent is; what exactly is wrong with it is for whoever may see everything."""
    health, live = cards.health(agent_id), cards.peek(agent_id)
    error = health.error
    if error is not None and not sees_all(caller):
        error = "its card cannot be used" if health.state == "healthy" else "the agent cannot be reached"
    return {
        "status": health.state,
        "last_error": error,
        "checked_at": health.checked_at,
        "card_source": None if live is None else live.state,
        "card_signature": None if live is None else live.verdict,
        "protocol_versions": [] if live is None else sorted({one.version for one in live.interfaces}),
    }


def _found(agent: AgentSettings, live: LiveCard) -> dict[str, Any]:
    name = live.card.get("name")
    name = name if isinstance(name, str) else ""
    return {
        "url": agent.url.partition("?")[0],
        "agent_id": litellm.id_of(name),
        "card": dict(live.card),
        "card_signature": live.verdict,
        "interfaces": [
            {"url": one.url, "binding": one.binding, "protocol_version": one.version} for one in live.interfaces
        ],
    }


def _plain(agent: AgentSettings) -> Any:
    """For the audit log, which holds no secret."""
    return msgspec.to_builtins(bodies.told_in_full(agent, is_whole=True), enc_hook=str)
