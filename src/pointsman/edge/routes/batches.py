"""Batches of requests, as OpenAI has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pointsman.batches.files import owner_of
from pointsman.batches.protocol.creating import wanted_of
from pointsman.batches.protocol.objects import batch_object
from pointsman.batches.service import OPENAI, Page
from pointsman.edge.admin import MAX_BODY_BYTES, Query
from pointsman.edge.batches import batches_of
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import UnsupportedMediaType
from pointsman.store.work import BatchRow

LIMIT: Final = 20
MAX_LIMIT: Final = 100


async def create(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /v1/batches``: the file that it names is looked at afterwards."""
    kind = exchange.headers.get(b"content-type")
    if kind is not None and b"json" not in kind.lower():
        raise UnsupportedMediaType("This path takes JSON: send Content-Type: application/json")
    wanted = wanted_of(await exchange.body(MAX_BODY_BYTES))
    batches = await batches_of(serving)
    json_reply(exchange, told(await batches.create(exchange.caller, wanted, exchange.headers)))


async def list_batches(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1/batches``: a page of those that the caller may see, the last one first."""
    query = Query(exchange)
    page = Page(limit=query.number("limit", MAX_LIMIT) or LIMIT, after=query.text("after"))
    batches = await batches_of(serving)
    rows, has_more = await batches.page(owner_of(exchange.caller), OPENAI, page)
    ends = {"first_id": rows[0].id if rows else None, "last_id": rows[-1].id if rows else None}
    json_reply(exchange, {"object": "list", "data": [told(row) for row in rows], **ends, "has_more": has_more})


async def show(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/batches/{batch_id}``: how far it is."""
    batches = await batches_of(serving)
    json_reply(exchange, told(await batches.get(owner_of(exchange.caller), OPENAI, params["batch_id"])))


async def cancel(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /v1/batches/{batch_id}/cancel``: no more lines of it are begun."""
    batches = await batches_of(serving)
    json_reply(exchange, told(await batches.cancel(owner_of(exchange.caller), OPENAI, params["batch_id"])))


async def pause(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /v1/batches/{batch_id}/pause``: an operator holds anybody's batch, of either API."""
    await _pause(serving, exchange, params, is_paused=True)


async def resume(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /v1/batches/{batch_id}/resume``: and lets it go on."""
    await _pause(serving, exchange, params, is_paused=False)


async def _pause(serving: Serving, exchange: Exchange, params: Mapping[str, str], *, is_paused: bool) -> None:
    batches = await batches_of(serving)
    json_reply(exchange, told(await batches.pause(params["batch_id"], is_paused=is_paused)))


def told(row: BatchRow) -> dict[str, Any]:
    """OpenAI's object; that somebody holds it, it has no word for."""
    return batch_object(row) | ({"is_paused": True} if row.is_paused else {})
