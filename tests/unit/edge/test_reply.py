from __future__ import annotations

from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import error_reply, json_reply
from pointsman.errors import (
    RateLimited,
)


class Wire:
    """Keeps what is sent."""

    is_write_paused = False

    def __init__(self) -> None:
        self.sent = b""

    def is_leaving(self) -> bool:
        return False

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
