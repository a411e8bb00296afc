"""The Model Context Protocol: all servers at one address, or each at its own, for clients of every revision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import parse_qsl

from pointsman.edge.callers import identify
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.mcp import mcp_of
from pointsman.edge.reply import identity
from pointsman.errors import MethodNotAllowed
from pointsman.mcp.fronts.streams import Request


async def post(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /mcp``, ``/mcp/{server}``: a message of a client."""
    fronts = await mcp_of(serving).fronts()
    await fronts.post(await _whole(serving, exchange, params))


async def get(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /mcp``, ``/mcp/{server}``: what is said to a session beside the answers to its requests."""
    fronts = await mcp_of(serving).fronts()
    await fronts.get(_stream(serving, exchange, params))


async def delete(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /mcp``, ``/mcp/{server}``: the end of a session."""
    fronts = await mcp_of(serving).fronts()
    await fronts.delete(_request(serving, exchange, params))


async def get_sse(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /mcp/sse``, ``/mcp/{server}/sse``: a session of the first transport over HTTP."""
    fronts = await mcp_of(serving).fronts()
    await fronts.get_sse(_stream(serving, exchange, params))


async def post_sse(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /mcp/messages``, ``/mcp/{server}/messages``: a message in such a session."""
    fronts = await mcp_of(serving).fronts()
    await fronts.post_sse(await _whole(serving, exchange, params))


async def _whole(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Request:
    request = _request(serving, exchange, params)
    limit = serving.pipeline.max_body_bytes
    body = exchange.whole_body(limit)
    request.body = await exchange.body(limit) if body is None else body
    return request


def _stream(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Request:
    if exchange.method == "HEAD":
        # A stream has no head that could be told without it.
        raise MethodNotAllowed("This path takes GET and POST", headers=(("allow", "GET, POST"),))
    return _request(serving, exchange, params)


def _request(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Request:
    return Request(
        caller=exchange.caller,
        headers=exchange.headers,
        reply=exchange,
        lines=identity(exchange),
        server=params.get("server"),
        path=exchange.path,
        query=dict(parse_qsl(exchange.query)) if exchange.query else {},
        id=exchange.request_id,
        again=partial(identify, serving, exchange.headers) if exchange.caller.name else None,
    )
