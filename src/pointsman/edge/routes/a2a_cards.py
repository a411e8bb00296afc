"""Cards of agents: of any agent, of the one that stands at the root of a host, and the keys of their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from pointsman.a2a.cards.reading import version_of
from pointsman.a2a.cards.serving import Shown, Source
from pointsman.a2a.permissions import visible
from pointsman.a2a.settings import AgentSettings, CardForm
from pointsman.access.caller import Caller
from pointsman.access.policy import Access, may_call
from pointsman.edge.a2a import a2a_of, opened, seen
from pointsman.edge.callers import identify
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.hosts import check_agents
from pointsman.edge.reply import JSON, identity, json_reply
from pointsman.errors import Forbidden, InvalidRequest, ResourceNotFound, Unseen

LINKS: Final = (
    b'content-type: application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"\r\n'
    b"vary: Authorization\r\n"
)
OF_BEFORE: Final = "/agent.json"
"""Where clients look for a card who have never heard of version 1.0."""


async def card(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /a2a/agents/{agent_id}/card``; ``?version=`` is a form, ``?source=declared`` leaves the agent's own out."""
    query = dict(parse_qsl(exchange.query))
    source = query.get("source", "live")
    if source not in {"live", "declared"}:
        raise InvalidRequest("source is live or declared", param="source")
    agent = seen(await opened(serving), exchange.caller, params["agent_id"])
    wanted = query.get("version")
    form = _form(exchange) if wanted is None else _form_of(wanted)
    if wanted is not None and form is None:
        raise InvalidRequest("version is 1.0, 0.3 or hybrid", param="version")
    await _reply(serving, exchange, agent, form, "declared" if source == "declared" else "live")


async def well_known(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /a2a/agents/{agent_id}/.well-known/agent-card.json``: where clients look for it."""
    agent = seen(await opened(serving), exchange.caller, params["agent_id"])
    await _reply(serving, exchange, agent, _form(exchange))


async def root(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /.well-known/agent-card.json``: that of the agent which this host stands for."""
    registry = await opened(serving)
    check_agents(serving, exchange.headers)
    publisher = await a2a_of(serving).publisher()
    agent = registry.entries.get(publisher.agent_at(exchange.headers.get(b"host", b"").decode("latin-1")))
    if agent is None:
        raise Unseen("No agent has its card here: GET /a2a/agents lists them")
    if not agent.is_public:
        exchange.caller = await _caller(serving, exchange)
        seen(registry, exchange.caller, agent.id)
    await _reply(serving, exchange, agent, _form(exchange))


async def jwks(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /.well-known/jwks.json``: what the cards are signed with."""
    found = (await a2a_of(serving).publisher()).keys()
    if found is None:
        raise ResourceNotFound("Cards are not signed here")
    json_reply(exchange, found, headers=b"cache-control: public, max-age=300\r\n")


async def catalog(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /.well-known/api-catalog``: the agents that the caller may use; without a key, the public ones."""
    registry = await opened(serving)
    check_agents(serving, exchange.headers)
    gatekeeper = serving.gatekeeper
    agents = [one for one in registry.entries.values() if one.is_public]
    if gatekeeper.is_open or any(gatekeeper.shown(exchange.headers)):
        caller = await _caller(serving, exchange)
        agents = [one for one in registry.entries.values() if visible(caller, one)]
    publisher = await a2a_of(serving).publisher()
    found = publisher.catalog(agents, publisher.base(exchange.headers))
    exchange.reply(200, LINKS + identity(exchange), msgspec.json.encode(found))


async def _caller(serving: Serving, exchange: Exchange) -> Caller:
    """Who calls a path that is open to all.

    :raises CallerError: nobody who may be told of agents
    """
    caller = await identify(serving, exchange.headers)
    if not may_call(caller, Access.CARD, exchange.path):
        raise Forbidden(f"This key may not call {exchange.path}")
    return caller


async def _reply(
    serving: Serving, exchange: Exchange, agent: AgentSettings, form: CardForm | None, source: Source = "live"
) -> None:
    publisher = await a2a_of(serving).publisher()
    shown = await publisher.card(agent, form, publisher.base(exchange.headers), source)
    lines = (
        f"etag: {shown.etag}\r\ncache-control: {shown.cache}\r\nlast-modified: {shown.modified}\r\n"
        f"vary: A2A-Version, Authorization\r\nx-card-source: {shown.source}\r\n"
    ).encode("latin-1")
    is_known = _is_known(exchange, shown)
    exchange.reply(304 if is_known else 200, JSON + lines + identity(exchange), b"" if is_known else shown.body)


def _is_known(exchange: Exchange, shown: Shown) -> bool:
    given = exchange.headers.get(b"if-none-match", b"").decode("latin-1")
    tags = {one.strip().removeprefix("W/") for one in given.split(",")}
    return "*" in tags or shown.etag.removeprefix("W/") in tags


def _form(exchange: Exchange) -> CardForm | None:
    """As the client says which version it speaks; ``None``: it does not, or none that is spoken here."""
    told = exchange.headers.get(b"a2a-version", b"").decode("latin-1").strip()
    if not told:
        told = next((value for name, value in parse_qsl(exchange.query) if name.lower() == "a2a-version"), "")
    return version_of(told) or ("0.3" if exchange.path.endswith(OF_BEFORE) else None)


def _form_of(text: str) -> CardForm | None:
    return "hybrid" if text == "hybrid" else version_of(text)
