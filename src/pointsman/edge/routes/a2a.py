"""The Agent2Agent protocol: each agent at its own address, for clients of both versions over both bindings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import parse_qsl

from pointsman.a2a.fronts.streams import Request
from pointsman.edge.a2a import a2a_of
from pointsman.edge.callers import identify
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import identity


async def post(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /a2a/agents/{agent_id}``: a message of JSON-RPC."""
    fronts = await a2a_of(serving).fronts()
    await fronts.post(await _request(serving, exchange, params))


async def rest(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``/a2a/agents/{agent_id}/{path...}``: HTTP+JSON, that of version 0.3 below ``v1/`` there."""
    fronts = await a2a_of(serving).fronts()
    await fronts.rest(await _request(serving, exchange, params))


async def _request(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Request:
    limit = serving.pipeline.max_body_bytes
    body = exchange.whole_body(limit)
    return Request(
        caller=exchange.caller,
        agent=params["agent_id"],
        headers=exchange.headers,
        reply=exchange,
        method=exchange.method,
        path=params.get("path", ""),
        query=dict(parse_qsl(exchange.query)) if exchange.query else {},
        body=await exchange.body(limit) if body is None else body,
        lines=identity(exchange),
        id=exchange.request_id,
        again=partial(identify, serving, exchange.headers) if exchange.caller.name else None,
    )
