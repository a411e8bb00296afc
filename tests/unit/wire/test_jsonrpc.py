from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.errors import (
    BudgetExceeded,
    Forbidden,
    GatewayError,
    InternalError,
    Overloaded,
    SignInNeeded,
    Unauthenticated,
    Unseen,
    UpstreamBroken,
    UpstreamRejected,
)
from pointsman.wire.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_TEXT,
    PARSE_ERROR,
    Message,
    RpcError,
    error_body,
    error_of,
    failure,
    notification,
    of_gateway,
    parse,
    parse_batch,
    readable,
    request,
    success,
    whole,
)


@pytest.mark.parametrize(
    ("body", "is_request", "is_notification"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"a"}', True, False),
        (b'{"jsonrpc":"2.0","id":null,"method":"a"}', True, False),
        (b'{"jsonrpc":"2.0","method":"a","params":{}}', False, True),
        (b'{"jsonrpc":"2.0","id":"x","result":{}}', False, False),
        (b'{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}', False, False),
    ],
)
def test_a_message_is_one_of_three_kinds(body: bytes, *, is_request: bool, is_notification: bool) -> None:
    message = parse(body)
    assert (message.is_request, message.is_notification) == (is_request, is_notification)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b"[" * 100_000, INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b"[" * 100_000, PARSE_ERROR),
        (b"[]", INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":1}', INVALID_REQUEST),
    ],
)
def test_what_is_no_message_says_why(body: bytes, code: int) -> None:
    with pytest.raises(RpcError) as raised:
        parse(body)
    assert (raised.value.code, raised.value.status) == (code, 400)
    assert len(raised.value.message) <= MAX_TEXT


@pytest.mark.requirement("mcp.broken-text")
@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\uDC00x", "\ufffdx"),
        (rb"\ud83d\ud83d\udc00", "\ufffd\U0001f400"),
        (rb"\ud83d\udc00\udc00", "\U0001f400\ufffd"),
        (rb"\udc00\ud83d", "\ufffd\ufffd"),
        (rb"\\\ud83d", "\\\ufffd"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
    ],
)
def test_half_a_character_is_replaced_and_all_else_is_kept(text: bytes, read: str) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"text":"%b","n": 1.50}}' % text
    message = parse(body)
    assert message.read() == {"text": read, "n": 1.5}
    assert b'"n": 1.50' in bytes(message.params)
    assert parse(body.decode()).read() == message.read()
    assert parse_batch(b"[%b]" % body, 1)[0].read() == message.read()


@pytest.mark.requirement("mcp.broken-text")
@pytest.mark.parametrize(
    "place", [b'"id":"\xff","params":{}', b'"id":1,"params":{"a":"\xff"}', b'"id":1,"params":{"\xff":1}']
)
def test_bytes_that_are_no_text_are_no_json_wherever_they_stand(place: bytes) -> None:
    body = b'{"jsonrpc":"2.0","method":"a",%b}' % place
    with pytest.raises(RpcError) as raised:
        parse(body)
    assert raised.value.code == PARSE_ERROR
    assert parse(readable(body)).method == "a"


def test_what_can_be_read_is_left_as_it_is() -> None:
    for text in (b"plain", "ünï".encode()):
        assert readable(text) is text
    assert readable(b"a\xffb") == "a\ufffdb".encode()


def test_what_is_in_a_message_goes_on_as_it_came() -> None:
    params = b'{"n": 1.50e3,\n "s": "\\u00e9", "n": 2}'
    message = parse(b'{"jsonrpc":"2.0","id":12345678901234567890,"method":"a","params":%b}' % params)
    assert message.encode() == b'{"jsonrpc":"2.0","id":12345678901234567890,"method":"a","params":%b}' % params


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (request(1, "a"), b'{"jsonrpc":"2.0","id":1,"method":"a"}'),
        (request(None, "a", {"b": 1}), b'{"jsonrpc":"2.0","id":null,"method":"a","params":{"b":1}}'),
        (notification("a", Raw(b"{}")), b'{"jsonrpc":"2.0","method":"a","params":{}}'),
        (success("x", {}), b'{"jsonrpc":"2.0","id":"x","result":{}}'),
        (failure(None, RpcError(-1, "m")), b'{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m"}}'),
    ],
)
def test_messages_are_written(message: Message, wire: bytes) -> None:
    assert message.encode() == wire
    assert parse(wire).encode() == wire


def test_parameters_are_an_object_or_nothing() -> None:
    assert notification("a").read() == {}
    assert notification("a", {"b": [1]}).read() == {"b": [1]}
    with pytest.raises(RpcError) as raised:
        notification("a", Raw(b"[]")).read()
    assert raised.value.code == INVALID_PARAMS


def test_a_response_is_its_result_or_its_failure() -> None:
    assert success(1, {"a": 1}).outcome() == {"a": 1}
    with pytest.raises(RpcError) as raised:
        failure(1, RpcError(-5, "m", {"x": 1})).outcome()
    assert (raised.value.code, raised.value.message, raised.value.data) == (-5, "m", {"x": 1})


@pytest.mark.parametrize("error", [b"1", b"{}", b'{"code":"x","message":3}', b"{"])
def test_a_failure_that_is_told_wrongly_is_one(error: bytes) -> None:
    found = error_of(Raw(error))
    assert (found.code, bool(found.message)) == (-32603, True)


def test_a_batch_has_messages_up_to_a_number() -> None:
    one = b'{"jsonrpc":"2.0","method":"a"}'
    assert [message.method for message in parse_batch(b"[%b,%b]" % (one, one), 2)] == ["a", "a"]
    for body in (b"[]", b"[%b,%b,%b]" % (one, one, one), b"[1]", b"{}", b'[{"jsonrpc":"2.0"}]', b"["):
        with pytest.raises(RpcError) as raised:
            parse_batch(body, 2)
        assert raised.value.status == 400


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Unauthenticated(), 401, 401),
        (Forbidden(), 403, 403),
        (Unseen(), 404, 404),
        (BudgetExceeded(), 429, 429),
        (Overloaded(), 503, 503),
        (InternalError(), -32603, 200),
        (UpstreamBroken(operator_detail="canary"), 502, 200),
        (UpstreamRejected(status=404, kind="x"), 404, 200),
    ],
)
def test_a_refusal_keeps_its_status_and_the_failure_of_somebody_else_is_an_answer(
    error: GatewayError, code: int, status: int
) -> None:
    found = of_gateway(error)
    assert (found.code, found.status, found.message) == (code, status, error.message)
    told: Any = msgspec.json.decode(error_body(error))
    assert (told["id"], told["error"]["code"]) == (None, code)
    assert told["error"]["data"] == {"type": error.kind, "code": error.code}
    assert b"canary" not in error_body(error)


def test_who_has_to_sign_in_is_told_where() -> None:
    found = of_gateway(SignInNeeded("Sign in", link="https://gate.example/start"))
    assert (found.code, found.status) == (502, 200)
    assert found.data == {
        "type": "authentication_error",
        "code": "sign_in_needed",
        "url": "https://gate.example/start",
    }


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"\ud83d", rb"\ufffd"),
        (rb"a\ude00b", rb"a\ufffdb"),
        (rb"\ud83d\ude00", rb"\ud83d\ude00"),
        (rb"\\ud83d", rb"\\ud83d"),
    ],
)
def test_half_a_surrogate_pair_becomes_no_character(text: bytes, read: bytes) -> None:
    assert whole(text) == read
