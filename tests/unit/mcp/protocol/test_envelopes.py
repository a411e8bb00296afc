from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.mcp.base import Introduction, Scope
from pointsman.mcp.protocol.envelopes import (
    completed,
    digest,
    discover_result,
    initialize_result,
    input_required,
    input_state,
    is_modern,
    open_envelope,
    read_envelope,
    status_of,
    with_state,
)
from pointsman.wire.jsonrpc import Message, RpcError

P = "io.modelcontextprotocol/"
META = {P + "protocolVersion": "2026-07-28", P + "clientCapabilities": {"roots": {}}}


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def read(value: Raw) -> Any:
    return msgspec.json.decode(value)


def test_what_is_between_the_client_and_us_is_read_and_taken_out() -> None:
    meta = META | {P + "clientInfo": {"name": "x"}, P + "logLevel": "info", "progressToken": 1, "traceparent": "00-1"}
    envelope = read_envelope(*open_envelope(Message(params=raw({"name": "add", "z": {"y": 1}, "_meta": meta}))))
    assert (envelope.revision, envelope.capabilities) == ("2026-07-28", {"roots": {}})
    assert (envelope.info, envelope.log_level) == ({"name": "x"}, "info")
    assert read(envelope.params) == {"name": "add", "z": {"y": 1}, "_meta": {"progressToken": 1, "traceparent": "00-1"}}


def test_parameters_keep_their_spelling() -> None:
    params = Raw(b'{"n": 1.50e3, "_meta": ' + msgspec.json.encode(META) + b', "s": "\\u00e9"}')
    assert bytes(read_envelope(*open_envelope(Message(params=params))).params) == b'{"n":1.50e3,"s":"\\u00e9"}'


@pytest.mark.parametrize(
    "params",
    [
        Raw(b""),
        Raw(b"{}"),
        Raw(b"[]"),
        raw({"_meta": 1}),
        raw({"_meta": {P + "protocolVersion": "2026-07-28"}}),
        raw({"_meta": {P + "clientCapabilities": {}}}),
        raw({"_meta": META | {P + "protocolVersion": 3}}),
        raw({"_meta": META | {P + "clientCapabilities": None}}),
        raw({"_meta": META | {P + "logLevel": "x"}}),
    ],
)
def test_an_envelope_has_to_be_whole(params: Raw) -> None:
    with pytest.raises(RpcError) as raised:
        read_envelope(*open_envelope(Message(params=params)))
    assert (raised.value.code, status_of(raised.value)) == (-32602, 400)


def test_another_revision_is_told_which_there_are() -> None:
    with pytest.raises(RpcError) as raised:
        read_envelope(*open_envelope(Message(params=raw({"_meta": META | {P + "protocolVersion": "v" * 999}}))))
    assert raised.value.code == -32022
    assert raised.value.data == {"supported": ["2026-07-28"], "requested": "v" * 100}


@pytest.mark.parametrize(
    ("params", "is_it"),
    [
        (raw({"_meta": META}), True),
        (raw({"_meta": {P + "protocolVersion": None}}), True),
        (raw({"x": P + "protocolVersion"}), False),
        (raw({"_meta": {"x": {P + "protocolVersion": "2026-07-28"}}}), False),
        (Raw(b""), False),
    ],
)
def test_a_request_stands_for_itself_where_it_says_its_revision(params: Raw, *, is_it: bool) -> None:
    assert is_modern(params) is is_it


def test_a_request_is_the_same_when_it_comes_again() -> None:
    first = digest(
        "tools/call", Raw(b'{"name": "a", "arguments": {"x": 1, "y": [1, 2]}, "_meta": {"progressToken": 1}}')
    )
    again = digest(
        "tools/call", raw({"arguments": {"y": [1, 2], "x": 1}, "name": "a", "requestState": "s", "inputResponses": {}})
    )
    assert first == again
    for other in ({"name": "b"}, {"arguments": {"x": 1, "y": [2, 1]}}, {"more": None}):
        assert digest("tools/call", raw({"name": "a", "arguments": {"x": 1, "y": [1, 2]}} | other)) != first
    assert digest("prompts/get", raw({"name": "a", "arguments": {"x": 1, "y": [1, 2]}})) != first
    assert digest("tools/call", raw({"name": "a", "arguments": {"x": 1, "y": [1, 2]}}), Scope(("a",))) != first


@pytest.mark.parametrize(
    ("method", "result", "told"),
    [
        ("tools/call", b"{}", {"resultType": "complete"}),
        ("tools/call", b' { "a" : 1 } ', {"resultType": "complete", "a": 1}),
        ("tools/call", b'{"resultType":"task"}', {"resultType": "task"}),
        ("tools/call", b'{"a":{"resultType":"x"}}', {"resultType": "complete", "a": {"resultType": "x"}}),
        ("resources/read", b"{}", {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}),
        ("resources/read", b'{"ttlMs":5}', {"resultType": "complete", "ttlMs": 5, "cacheScope": "private"}),
        ("resources/read", b'{"resultType":"input_required"}', {"resultType": "input_required"}),
    ],
)
def test_a_result_says_what_it_is(method: str, result: bytes, told: dict[str, Any]) -> None:
    assert read(completed(method, Raw(result))) == told


def test_a_result_that_is_none_is_the_failure_of_the_server() -> None:
    with pytest.raises(RpcError) as raised:
        completed("tools/call", Raw(b"[]"))
    assert raised.value.code == -32603


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (b'{"resultType":"input_required","requestState":"s"}', "s"),
        (b'{"resultType":"input_required","inputRequests":{}}', None),
        (b'{"resultType":"input_required","requestState":3}', None),
        (b'{"resultType":"complete","requestState":"s","x":"input_required"}', None),
        (b'{"x":{"resultType":"input_required","requestState":"s"}}', None),
    ],
)
def test_the_state_of_a_server_is_found(result: bytes, state: str | None) -> None:
    assert input_state(Raw(result)) == state


def test_a_state_is_put_in_and_taken_out() -> None:
    values = raw({"a": 1, "requestState": "s"})
    assert read(with_state(values, "t")) == {"a": 1, "requestState": "t"}
    assert read(with_state(values, None)) == {"a": 1}


def test_what_is_wanted_of_a_client_is_a_result() -> None:
    wanted = {"k": ("roots/list", Raw(b"")), "e": ("elicitation/create", Raw(b'{"x":1}'))}
    assert read(input_required(wanted, "s")) == {
        "resultType": "input_required",
        "inputRequests": {"k": {"method": "roots/list"}, "e": {"method": "elicitation/create", "params": {"x": 1}}},
        "requestState": "s",
    }


def introduction(era: Any, told: dict[str, Any], **more: Any) -> Introduction:
    capabilities = {"tools": {}, "tasks": {"list": {}}, "vendor": 1}
    info = {"name": "n", "version": "1"}
    return Introduction(era=era, revision="x", capabilities=capabilities, info=info, raw=raw(told), **more)


def test_a_modern_server_is_told_to_a_legacy_client_as_one_of_its_kind() -> None:
    told = {
        "supportedVersions": ["2026-07-28"],
        "ttlMs": 5,
        "cacheScope": "public",
        "resultType": "complete",
        "capabilities": {},
        "_meta": {P + "serverInfo": {"name": "n"}, "x": 1},
        "z": 1,
    }
    assert read(initialize_result(introduction("modern", told, instructions="i"), "2025-06-18")) == {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}, "tasks": {"list": {}}, "vendor": 1},
        "serverInfo": {"name": "n", "version": "1"},
        "instructions": "i",
        "_meta": {"x": 1},
        "z": 1,
    }


def test_a_legacy_server_is_told_to_a_modern_client_as_one_of_its_kind() -> None:
    told = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "n"}, "capabilities": {}, "z": 1}
    assert read(discover_result(introduction("legacy", told))) == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}, "vendor": 1},
        "ttlMs": 60_000,
        "cacheScope": "private",
        "_meta": {P + "serverInfo": {"name": "n", "version": "1"}},
        "z": 1,
    }


def test_a_modern_server_says_itself_for_how_long_it_is_as_it_says() -> None:
    result = read(discover_result(introduction("modern", {"ttlMs": 5, "cacheScope": "public"})))
    assert (result["ttlMs"], result["cacheScope"]) == (5, "public")
    assert result["capabilities"]["tasks"] == {"list": {}}


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [(-32601, 200, 404), (-32602, 200, 400), (-32021, 200, 400), (-1, 200, 200), (-1, 403, 403), (-32601, 400, 400)],
)
def test_a_code_has_its_status(code: int, status: int, told: int) -> None:
    assert status_of(RpcError(code, "x", status=status)) == told
