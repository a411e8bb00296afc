"""The OpenAI-compatible endpoints: one handler for JSON bodies, one for uploads."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.edge.context import Handler, Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import identity
from pointsman.errors import UnsupportedMediaType
from pointsman.pipeline.call import Inbound
from pointsman.pipeline.upload import Upload
from pointsman.wire.operations import Operation


def serve(operation: Operation) -> Handler:
    """The handler of one operation."""

    async def json(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
        kind = exchange.headers.get(b"content-type")
        if kind is not None and b"json" not in kind.lower():
            raise UnsupportedMediaType("This path takes JSON: send Content-Type: application/json")
        body = await exchange.body(serving.pipeline.max_body_bytes)
        await serving.pipeline.serve(_inbound(operation, exchange, params), body, exchange)

    async def multipart(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
        kind = exchange.headers.get(b"content-type", b"")
        if not kind.lower().startswith(b"multipart/form-data"):
            raise UnsupportedMediaType("This path takes a form: send Content-Type: multipart/form-data")
        pieces = exchange.pieces(serving.pipeline.max_body_bytes)
        with Upload(kind, pieces, exchange.length) as upload:
            await serving.pipeline.serve_upload(_inbound(operation, exchange, params), upload, exchange)

    return multipart if operation.is_multipart else json


def _inbound(operation: Operation, exchange: Exchange, params: Mapping[str, str]) -> Inbound:
    return Inbound(
        operation=operation,
        headers=exchange.headers,
        identity=identity(exchange),
        is_master=True,
        received=exchange.received,
        path_model=params.get("model"),
    )
