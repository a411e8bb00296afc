"""Whatever a model is asked to do, in any dialect: one handler for JSON bodies, one for uploads."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from urllib.parse import parse_qs

from pointsman.edge.context import Handler, Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import identity
from pointsman.errors import InvalidRequest, UnsupportedMediaType
from pointsman.pipeline.call import Call
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.upload import Upload
from pointsman.wire.fingerprint import PATIENCE_MEMBERS, fingerprint
from pointsman.wire.operations import GENERATE_CONTENT, Operation

JSON = b"application/json"
STREAMING = ":streamGenerateContent"


def serve(operation: Operation) -> Handler:
    """The handler of one operation."""

    def json(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> Awaitable[None]:
        kind = exchange.headers.get(b"content-type")
        if kind is not None and kind != JSON and b"json" not in kind.lower():
            raise UnsupportedMediaType("This path takes JSON: send Content-Type: application/json")
        body = exchange.whole_body(serving.pipeline.max_body_bytes)
        if body is None or b"idempotency-key" in exchange.headers:
            return wait(serving, exchange, params, body)
        return serving.pipeline.serve(_call(operation, exchange, exchange, params), body)

    async def wait(serving: Serving, exchange: Exchange, params: Mapping[str, str], body: bytes | None) -> None:
        pipeline = serving.pipeline
        if body is None:
            body = await exchange.body(pipeline.max_body_bytes)
        key = exchange.headers.get(b"idempotency-key")
        if key is None:
            await pipeline.serve(_call(operation, exchange, exchange, params), body)
        else:
            await _serve_once(key, operation, serving, exchange, params, body)

    async def multipart(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
        kind = exchange.headers.get(b"content-type", b"")
        if not kind.lower().startswith(b"multipart/form-data"):
            raise UnsupportedMediaType("This path takes a form: send Content-Type: multipart/form-data")
        if b"idempotency-key" in exchange.headers:
            raise InvalidRequest("Idempotency-Key works with JSON requests only: leave it out", param="Idempotency-Key")
        pieces = exchange.pieces(serving.pipeline.max_body_bytes)
        with Upload(kind, pieces, exchange.length) as upload:
            await serving.pipeline.serve_upload(_call(operation, exchange, exchange, params), upload)

    return multipart if operation.is_multipart else json


async def _serve_once(
    key: bytes, operation: Operation, serving: Serving, exchange: Exchange, params: Mapping[str, str], body: bytes
) -> None:
    """Answer all requests with the same ``Idempotency-Key`` by one call."""

    async def run(downstream: Downstream) -> None:
        await serving.pipeline.serve(_call(operation, exchange, downstream, params), body)

    beta = exchange.headers.get(b"openai-beta", b"") + exchange.headers.get(b"anthropic-beta", b"")
    how = f"{exchange.path.rpartition(':')[2]}?{exchange.query}" if operation is GENERATE_CONTENT else ""
    scope = (operation.name, params.get("model") or "", beta.decode("latin-1"), how)
    asked = fingerprint(body, *scope, without=PATIENCE_MEMBERS)
    await serving.ledger.serve(exchange.caller.name, key, asked, exchange, identity(exchange), run)


def _call(operation: Operation, exchange: Exchange, downstream: Downstream, params: Mapping[str, str]) -> Call:
    caller = exchange.caller
    call = Call(
        operation,
        downstream,
        exchange.headers,
        identity(exchange),
        exchange.received,
        caller.is_master,
        caller.name,
        params.get("model"),
    )
    call.caller = caller
    if operation is GENERATE_CONTENT:
        # Here it is the path that says so, not the body.
        call.is_stream = exchange.path.endswith(STREAMING)
        call.is_array = call.is_stream and parse_qs(exchange.query).get("alt") != ["sse"]
    return call
