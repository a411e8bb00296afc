from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import error_body, error_reply, json_reply
from pointsman.errors import (
    GatewayError,
    InternalError,
    ModelNotFound,
    RateLimited,
    ResourceNotFound,
    Unauthenticated,
    UpstreamRejected,
)


class Wire:
    """Keeps what is sent."""

    is_write_paused = False

    def __init__(self) -> None:
        self.sent = b""

    def date(self) -> bytes:
        return b""

    def send(self, data: bytes) -> None:
        self.sent += data

    def resume_body(self) -> None: ...
    def send_continue(self) -> None: ...
    def end_exchange(self, exchange: Exchange) -> None: ...
    def cut(self) -> None: ...


def make_exchange(wire: Wire) -> Exchange:
    exchange = Exchange(
        wire, method="GET", path="/", query="", headers={}, version="1.1", keep_alive=True, received=0.0
    )
    exchange.request_id = "req-1"
    exchange.complete()
    return exchange


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (
            Unauthenticated(),
            {"error": {"message": "Invalid API key", "type": "authentication_error", "code": "invalid_api_key"}},
        ),
        (
            RateLimited(),
            {"error": {"message": "Rate limit exceeded", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
        ),
        (
            InternalError(),
            {"error": {"message": "Internal server error", "type": "internal_error", "code": "internal_error"}},
        ),
        (ResourceNotFound("Agent my-agent not found"), {"detail": "Agent my-agent not found"}),
        (
            ModelNotFound("no", param="model"),
            {
                "error": {
                    "message": "no",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                }
            },
        ),
        (
            UpstreamRejected("too long", status=400, kind="invalid_request_error", code="context_length_exceeded"),
            {
                "error": {
                    "message": "too long",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "context_length_exceeded",
                }
            },
        ),
    ],
)
def test_an_error_has_exactly_its_shape(error: GatewayError, body: dict[str, Any]) -> None:
    assert json.loads(error_body(error)) == body


def test_an_error_reply_names_the_request_and_when_to_come_back() -> None:
    wire = Wire()
    error_reply(make_exchange(wire), RateLimited(retry_after=1.2))

    head = wire.sent.split(b"\r\n\r\n")[0].split(b"\r\n")

    assert head[0] == b"HTTP/1.1 429 Too Many Requests"
    assert b"retry-after: 2" in head
    assert b"x-request-id: req-1" in head
    assert b"x-litellm-call-id: req-1" in head


def test_a_json_reply_is_one_write_with_its_length() -> None:
    wire = Wire()
    json_reply(make_exchange(wire), {"a": 1})

    head, _, body = wire.sent.partition(b"\r\n\r\n")

    assert body == b'{"a":1}'
    assert b"content-length: 7" in head
    assert b"content-type: application/json" in head
