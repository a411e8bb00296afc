from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from pointsman.mcp.protocol.headers import check_parameters, check_standard
from pointsman.wire.jsonrpc import RpcError

REVISION = "2026-07-28"
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "is_it": {"type": "boolean", "x-mcp-header": "Is-It"},
        "free": {"type": "string"},
    },
}


def standard(**changed: str | None) -> dict[bytes, bytes]:
    given = {"version": REVISION, "method": "resources/read", "name": "file:///a"} | changed
    names = {"version": b"mcp-protocol-version", "method": b"mcp-method", "name": b"mcp-name"}
    return {names[name]: value.encode("latin-1") for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    "changed",
    [
        {"version": None},
        {"version": "2025-11-25"},
        {"method": None},
        {"method": "Resources/Read"},
        {"name": None},
        {"name": "file:///b"},
        {"name": "=?base64?ZmlsZTovLy9hY?="},
        {"name": "\xe4"},
    ],
)
def test_standard_headers_say_what_the_body_says(changed: dict[str, str | None]) -> None:
    params = {"uri": Raw(b'"file:///a"')}
    check_standard("resources/read", REVISION, params, standard())
    with pytest.raises(RpcError) as raised:
        check_standard("resources/read", REVISION, params, standard(**changed))
    assert (raised.value.code, raised.value.status) == (-32020, 400)


@pytest.mark.parametrize("name", [" file:///a\t", "=?base64?ZmlsZTovLy9h?="])
def test_a_name_may_be_padded_or_encoded(name: str) -> None:
    check_standard("resources/read", REVISION, {"uri": Raw(b'"file:///a"')}, standard(name=name))


def test_a_request_without_a_name_needs_no_header_for_it() -> None:
    check_standard("tools/list", REVISION, {"name": Raw(b'"x"')}, standard(method="tools/list", name=None))
    check_standard("tools/call", REVISION, {}, standard(method="tools/call", name=None))
    check_standard("tools/call", REVISION, {"name": Raw(b"3")}, standard(method="tools/call", name=None))


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"region": None}, {}),
        ({"region": "eu", "free": "x"}, {"region": "eu"}),
        ({"region": "é"}, {"region": "=?base64?w6k=?="}),
        ({"region": "=?base64?SGVsbG8="}, {"region": "=?base64?SGVsbG8="}),
        ({"deep": {"count": 42}}, {"count": "42"}),
        ({"deep": {"count": 42}}, {"count": "42.0"}),
        ({"deep": {"count": 42.0}}, {"count": "42"}),
        ({"deep": {"count": -7}}, {"count": "-7"}),
        ({"deep": 1}, {}),
        ({"is_it": True}, {"is-it": "true"}),
    ],
)
def test_parameters_and_their_headers_agree(arguments: dict[str, Any], headers: dict[str, str]) -> None:
    check_parameters(SCHEMA, arguments, {b"mcp-param-" + k.encode(): v.encode() for k, v in headers.items()})


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {}),
        ({}, {"region": "eu"}),
        ({"region": None}, {"region": "eu"}),
        ({"region": "eu"}, {"region": "us"}),
        ({"region": "eu"}, {"region": "=?base64?ZXU?="}),
        ({"region": "42"}, {"region": "42.0"}),
        ({"deep": {"count": 42}}, {"count": "42.5"}),
        ({"deep": {"count": 42}}, {"count": "x"}),
        ({"deep": {"count": 9007199254740991}}, {"count": "9007199254740990"}),
        ({"is_it": True}, {"is-it": "1"}),
        ({"is_it": True}, {"is-it": "false"}),
    ],
)
def test_parameters_and_their_headers_must_not_differ(arguments: dict[str, Any], headers: dict[str, str]) -> None:
    with pytest.raises(RpcError) as raised:
        check_parameters(SCHEMA, arguments, {b"mcp-param-" + k.encode(): v.encode() for k, v in headers.items()})
    assert (raised.value.code, raised.value.status) == (-32020, 400)


def test_a_schema_that_clients_have_to_leave_alone_wants_no_headers() -> None:
    check_parameters({"x-mcp-header": "A", "properties": SCHEMA["properties"]}, {"region": "eu"}, {})
