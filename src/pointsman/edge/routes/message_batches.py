"""Batches of messages, as Anthropic has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from pointsman.batches.files import owner_of
from pointsman.batches.protocol.anthropic import KIND, message_batch
from pointsman.batches.service import Page
from pointsman.edge.admin import Query
from pointsman.edge.batches import batches_of
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.gate import pour
from pointsman.edge.reply import identity, json_reply
from pointsman.errors import InvalidRequest, UnsupportedMediaType

LIMIT: Final = 20
MAX_LIMIT: Final = 1000
JSON_LINES: Final = (
    b"content-type: application/x-jsonl\r\nx-content-type-options: nosniff\r\ncontent-disposition: attachment\r\n"
)
"""Whatever models have written, nobody's browser is to run it as a page of this host."""
PIECE: Final = 64 << 10
"""Bytes of results that are sent together."""


async def create(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /v1/messages/batches``: its requests are written down while they arrive."""
    kind = exchange.headers.get(b"content-type")
    if kind is not None and b"json" not in kind.lower():
        raise UnsupportedMediaType("This path takes JSON: send Content-Type: application/json")
    batches = await batches_of(serving)
    pieces = exchange.pieces(batches.settings.max_message_bytes)
    row = await batches.create_messages(exchange.caller, pieces, exchange.headers)
    json_reply(exchange, message_batch(row))


async def list_batches(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /v1/messages/batches``: a page of those that the caller may see, the last one first."""
    query = Query(exchange)
    limit, after, before = query.number("limit", MAX_LIMIT), query.text("after_id"), query.text("before_id")
    if after is not None and before is not None:
        raise InvalidRequest("Give one of 'after_id' and 'before_id'", param="before_id")
    page = Page(limit=limit or LIMIT, after=after, before=before)
    batches = await batches_of(serving)
    rows, has_more = await batches.page(owner_of(exchange.caller), KIND, page)
    ends = {"first_id": rows[0].id if rows else None, "last_id": rows[-1].id if rows else None}
    json_reply(exchange, {"data": [message_batch(row) for row in rows], **ends, "has_more": has_more})


async def show(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/messages/batches/{batch_id}``: how far it is."""
    batches = await batches_of(serving)
    json_reply(exchange, message_batch(await batches.get(owner_of(exchange.caller), KIND, params["batch_id"])))


async def cancel(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /v1/messages/batches/{batch_id}/cancel``: no more requests of it are begun."""
    batches = await batches_of(serving)
    json_reply(exchange, message_batch(await batches.cancel(owner_of(exchange.caller), KIND, params["batch_id"])))


async def delete(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``DELETE /v1/messages/batches/{batch_id}``: it is gone, with its results."""
    batches = await batches_of(serving)
    row = await batches.delete(owner_of(exchange.caller), KIND, params["batch_id"])
    json_reply(exchange, {"id": row.id, "type": "message_batch_deleted"})


async def results(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /v1/messages/batches/{batch_id}/results``: a line for each request, in no promised order."""
    batches = await batches_of(serving)
    lines = await batches.results(owner_of(exchange.caller), params["batch_id"])
    await pour(_pieces(lines), exchange, 200, JSON_LINES + identity(exchange))


async def _pieces(lines: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(lines):
        held, size = list[bytes](), 0
        async for line in lines:
            held.append(line)
            size += len(line)
            if size >= PIECE:
                yield b"".join(held)
                held, size = [], 0
        if held:
            yield b"".join(held)
