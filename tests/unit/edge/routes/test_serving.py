from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from pointsman.access.caller import MASTER, Caller
from pointsman.edge.routes.serving import serve
from pointsman.errors import BodyTooLarge, GatewayError, IdempotencyKeyReused, UnsupportedMediaType
from pointsman.wire import operations as op

Make = Callable[..., Any]
CHAT = b'{"model":"house","messages":[]}'
FORM_TYPE = b"multipart/form-data; boundary=b"
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nhouse\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nABC\r\n--b--\r\n'
)


def kind(content_type: bytes | None) -> dict[bytes, bytes]:
    return {} if content_type is None else {b"content-type": content_type}


@pytest.mark.parametrize(
    "content_type", [None, b"application/json", b"application/json; charset=utf-8", b"Application/JSON"]
)
async def test_json_is_served_by_the_pipeline(
    make_serving: Make, make_exchange: Make, wire: Any, content_type: bytes | None
) -> None:
    serving = make_serving()
    exchange = make_exchange("POST", headers=kind(content_type), body=CHAT)
    exchange.caller = MASTER
    await serve(op.CHAT)(serving, exchange, {})
    assert wire.status == 200
    assert wire.json == {
        "model": "house",
        "choices": [],
        "target": "/v1/chat/completions",
        "body": '{"model":"up-1","messages":[]}',
    }
    assert wire.headers["x-request-id"] == "req-1"
    assert wire.headers["x-litellm-model-api-base"] == "http://up.test/v1"
    assert exchange.is_settled


async def test_a_body_may_arrive_while_it_is_served(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange("POST", headers={b"content-length": b"%d" % len(CHAT)}, body=CHAT[:5], is_complete=False)
    task = asyncio.ensure_future(serve(op.CHAT)(make_serving(), exchange, {}))
    await asyncio.sleep(0)
    exchange.feed(CHAT[5:])
    exchange.complete()
    await task
    assert json.loads(wire.json["body"])["model"] == "up-1"


async def test_the_model_of_the_path_goes_to_the_pipeline(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange("POST", body=b'{"input":"a"}')
    await serve(op.EMBEDDINGS)(make_serving(), exchange, {"model": "house"})
    assert wire.json["body"] == '{"model":"up-1","input":"a"}'


async def test_a_request_with_a_key_of_its_own_is_answered_once(
    make_serving: Make, make_exchange: Make, wire: Any
) -> None:
    serving = make_serving()
    replies = []
    for caller in ("one", "one", "two"):
        exchange = make_exchange("POST", headers={b"idempotency-key": b"order-7"}, body=CHAT)
        exchange.caller = Caller(name=caller)
        await serve(op.CHAT)(serving, exchange, {})
        replies.append("idempotent-replayed" in wire.headers)
        wire.sent = b""
    assert replies == [False, True, False]
    (meter,) = serving.metrics.deployment_meters()
    assert meter.successes == 2


async def test_a_key_that_was_used_for_something_else_is_refused(make_serving: Make, make_exchange: Make) -> None:
    serving = make_serving()
    for body, is_refused in ((CHAT, False), (CHAT.replace(b"[]", b'["x"]'), True)):
        exchange = make_exchange("POST", headers={b"idempotency-key": b"order-7"}, body=body)
        with pytest.raises(IdempotencyKeyReused) if is_refused else nullcontext():
            await serve(op.CHAT)(serving, exchange, {})


async def test_a_form_is_served_as_an_upload(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange("POST", headers=kind(FORM_TYPE), body=FORM)
    await serve(op.TRANSCRIPTION)(make_serving(), exchange, {})
    assert wire.json["body"].encode() == FORM.replace(b"house", b"up-1")
    assert wire.json["target"] == "/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("operation", "content_type", "error"),
    [
        (op.CHAT, b"text/plain", UnsupportedMediaType),
        (op.CHAT, FORM_TYPE, UnsupportedMediaType),
        (op.CHAT, b"", UnsupportedMediaType),
        (op.TRANSCRIPTION, b"application/json", UnsupportedMediaType),
        (op.TRANSCRIPTION, None, UnsupportedMediaType),
    ],
)
async def test_each_path_takes_its_own_kind_of_body(
    make_serving: Make, make_exchange: Make, operation: op.Operation, content_type: bytes | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await serve(operation)(make_serving(), make_exchange("POST", headers=kind(content_type), body=CHAT), {})


@pytest.mark.parametrize(
    ("operation", "content_type", "body"), [(op.CHAT, b"application/json", CHAT), (op.TRANSCRIPTION, FORM_TYPE, FORM)]
)
@pytest.mark.parametrize("is_length_known", [True, False])
async def test_a_body_over_the_limit_is_refused_and_one_at_it_is_not(
    make_serving: Make, make_exchange: Make, operation: op.Operation, content_type: bytes, body: bytes,
    is_length_known: bool,
) -> None:  # fmt: skip
    async def run(limit: int) -> GatewayError | None:
        exchange = make_exchange("POST", headers=kind(content_type), body=body)
        if not is_length_known:
            exchange.length = None
        try:
            await serve(operation)(make_serving(max_body_bytes=limit), exchange, {})
        except GatewayError as error:
            return error
        return None

    assert await run(len(body)) is None
    assert isinstance(await run(len(body) - 1), BodyTooLarge)
