"""The OpenAI-compatible endpoints: one handler for JSON bodies, one for uploads."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.edge.context import Handler, Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import identity
from pointsman.errors import UnsupportedMediaType
from pointsman.pipeline.call import Call
from pointsman.pipeline.upload import Upload
from pointsman.wire.operations import Operation

JSON = b"application/json"


def serve(operation: Operation) -> Handler:
    """The handler of one operation."""

    async def json(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
        kind = exchange.headers.get(b"content-type")
        if kind is not None and kind != JSON and b"json" not in kind.lower():
            raise UnsupportedMediaType("This path takes JSON: send Content-Type: application/json")
        pipeline = serving.pipeline
        body = exchange.whole_body(pipeline.max_body_bytes)
        if body is None:
            body = await exchange.body(pipeline.max_body_bytes)
        await pipeline.serve(_call(operation, exchange, params), body)

    async def multipart(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
        kind = exchange.headers.get(b"content-type", b"")
        if not kind.lower().startswith(b"multipart/form-data"):
            raise UnsupportedMediaType("This path takes a form: send Content-Type: multipart/form-data")
        pieces = exchange.pieces(serving.pipeline.max_body_bytes)
        with Upload(kind, pieces, exchange.length) as upload:
            await serving.pipeline.serve_upload(_call(operation, exchange, params), upload)

    return multipart if operation.is_multipart else json


def _call(operation: Operation, exchange: Exchange, params: Mapping[str, str]) -> Call:
    return Call(
        operation,
        exchange,
        exchange.headers,
        identity(exchange),
        exchange.received,
        is_master=True,
        path_model=params.get("model"),
    )
