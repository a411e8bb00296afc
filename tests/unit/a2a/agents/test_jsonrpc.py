from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.a2a.agents.jsonrpc import read, read_event, refused, with_tenant, write
from pointsman.a2a.protocol.operations import Operation
from pointsman.errors import UpstreamBroken
from pointsman.wire.jsonrpc import RpcError


def test_a_request_calls_the_operation_as_the_version_does() -> None:
    sent = write(Operation.SEND, "1.0", b'{"message":{}}')
    assert (sent.method, sent.path) == ("POST", "")
    assert msgspec.json.decode(sent.body) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "SendMessage",
        "params": {"message": {}},
    }
    assert b'"method":"message/send"' in write(Operation.SEND, "0.3", b"{}").body


def test_who_asks_for_the_extended_card_has_no_parameters_but_a_tenant() -> None:
    assert "params" not in msgspec.json.decode(write(Operation.EXTENDED_CARD, "0.3", b"{}").body)
    asked = msgspec.json.decode(write(Operation.EXTENDED_CARD, "1.0", b"{}", "t").body)
    assert asked["params"] == {"tenant": "t"}


@pytest.mark.parametrize(
    ("params", "tenant", "found"),
    [
        (b'{"a": 1}', "", b'{"a": 1}'),
        (b'{"a": 1, "tenant": "ours"}', "", b'{"a":1}'),
        (b'{"tenant": "ours", "a": [1, 2]}', "t", b'{"a":[1, 2],"tenant":"t"}'),
        (b'{"a": {"tenant": 1}}', "", b'{"a":{"tenant": 1}}'),
        (b'{"tenant"', "t", b'{"tenant"'),
    ],
)
def test_the_tenant_is_that_of_the_interface(params: bytes, tenant: str, found: bytes) -> None:
    assert with_tenant(params, tenant) == found


def test_an_agent_of_the_older_version_has_no_tenants() -> None:
    assert b"tenant" not in write(Operation.GET, "0.3", b'{"id":"1","tenant":"ours"}', "t").body


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{"a": 1}}', b'{"a": 1}'),
        (b'{"id":"x","error":null,"result":{}}', b"{}"),
        (b'{"result":"\xff"}', '"\ufffd"'.encode()),
        (b'{"result":"\\ud83d"}', b'"\\ufffd"'),
    ],
)
def test_a_result_is_given_as_it_came(body: bytes, found: bytes) -> None:
    assert read(Operation.GET, "1.0", body) == found


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"jsonrpc":"2.0","id":1}', b'{"result":{'])
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(Operation.GET, "1.0", body)


def test_a_deletion_has_no_result() -> None:
    assert read(Operation.DELETE_PUSH, "1.0", b'{"jsonrpc":"2.0","id":1,"result":null}') == b"null"
    assert read(Operation.DELETE_PUSH, "1.0", b'{"jsonrpc":"2.0","id":1}') == b"null"


def test_an_error_is_one_wherever_it_stands() -> None:
    body = b'{"error":{"code":-32001,"message":"No","data":[1]},"result":null}'
    with pytest.raises(RpcError, match="No") as caught:
        read(Operation.GET, "1.0", body)
    assert (caught.value.code, caught.value.data) == (-32001, [1])
    with pytest.raises(RpcError, match="No"):
        read_event("1.0", b"", body)
    error = refused(400, body)
    assert error is not None
    assert error.code == -32001


@pytest.mark.parametrize("body", [b"", b'{"detail":"Not Found"}', b'{"error":null}', b"[1]"])
def test_not_every_refusal_is_one_of_the_protocol(body: bytes) -> None:
    assert refused(404, body) is None


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"result":{"a":1}}', b'{"a":1}'),
        (b'{"result":null}', None),
        (b"nonsense", None),
        (b'{"method":"x"}', None),
    ],
)
def test_an_event_brings_a_result_or_nothing(data: bytes, found: Any) -> None:
    assert read_event("1.0", b"", data) == found
