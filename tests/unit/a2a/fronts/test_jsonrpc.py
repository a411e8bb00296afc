from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from replies import Reply

from pointsman.a2a.fronts.entry import Fronts
from pointsman.a2a.fronts.jsonrpc import RpcForm
from pointsman.a2a.fronts.streams import Request
from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import Operation, method_name
from pointsman.errors import (
    Forbidden,
    GatewayError,
    Overloaded,
    RateLimited,
    Unauthenticated,
    Unseen,
    UpstreamTimeout,
    UpstreamUnreachable,
)

Make = Callable[..., tuple[Request, Reply]]
SEND = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": {"messageId": "m"}}}
V1 = {b"a2a-version": b"1.0"}
SSE = {b"accept": b"text/event-stream"}


def body(**members: Any) -> bytes:
    return json.dumps({name: value for name, value in (SEND | members).items() if value is not ...}).encode()


async def post(fronts: Fronts, make: Make, data: bytes, headers: Mapping[bytes, bytes] | None = None) -> Reply:
    request, reply = make(data, headers)
    await fronts.post(request)
    return reply


@pytest.mark.requirement("a2a.jsonrpc")
@pytest.mark.parametrize("name", [1, "abc", 0, "", None, 2.5, 2**53])
async def test_the_result_goes_out_as_the_bytes_that_came(
    fronts: Fronts, gateway: Any, make_request: Make, name: Any
) -> None:
    gateway.answer = b'{"task": {"id":"t",  "x":1e2}}'
    reply = await post(fronts, make_request, body(id=name))
    assert reply.status == 200
    assert (
        reply.body == b'{"jsonrpc":"2.0","id":%b,"result":{"task": {"id":"t",  "x":1e2}}}' % json.dumps(name).encode()
    )
    assert reply.headers == {"content-type": "application/json", "x-request-id": "r1"}


async def test_what_is_asked_reaches_the_gateway(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    data = b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params": {"message":{},  "unknown":[1]} }'
    await post(fronts, make_request, data, V1 | {b"a2a-extensions": b"urn:a"})
    (call,) = gateway.calls
    assert (call.agent, call.operation, call.version) == ("demo", Operation.SEND, "1.0")
    assert call.params == b'{"message":{},  "unknown":[1]}'
    assert (call.caller.name, call.extensions, call.request_id) == ("k", ("urn:a",), "r1")
    assert call.headers[b"a2a-version"] == b"1.0"


@pytest.mark.requirement("a2a.versions")
@pytest.mark.parametrize("operation", [one for one in Operation if not one.is_streamed])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize("given", ["", "0.3", "1.0"])
async def test_the_name_of_a_method_says_its_version(
    fronts: Fronts, gateway: Any, make_request: Make, operation: Operation, version: Any, given: str
) -> None:
    headers = {b"a2a-version": given.encode()} if given else {}
    await post(fronts, make_request, body(method=method_name(operation, version)), headers)
    assert [(call.operation, call.version) for call in gateway.calls] == [(operation, version)]


async def test_a_request_without_parameters_has_an_empty_object(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    await post(fronts, make_request, body(method="GetExtendedAgentCard", params=...))
    await post(fronts, make_request, body(method="GetExtendedAgentCard", params=None))
    assert [call.params for call in gateway.calls] == [b"{}", b"{}"]


@pytest.mark.requirement("a2a.jsonrpc")
@pytest.mark.parametrize(
    ("data", "code", "name"),
    [
        (b'{"jsonrpc": "2.0", "id": 7', -32700, None),
        (b"", -32700, None),
        (b"\xff\xfe", -32700, None),
        (b"[]", -32600, None),
        (b"[" + json.dumps(SEND).encode() + b"]", -32600, None),
        (b'"text"', -32600, None),
        (body(jsonrpc="1.0", id="a"), -32600, "a"),
        (body(jsonrpc=...), -32600, 1),
        (body(method=...), -32600, 1),
        (body(method=5), -32600, 1),
        (body(method=""), -32600, 1),
        (body(id={"bad": "type"}), -32600, None),
        (body(id=True), -32600, None),
        (body(method=..., params=..., result={}), -32600, 1),
        (body(method="message/ssend"), -32601, 1),
        (body(method="tasks"), -32601, 1),
        (body(params=[1]), -32602, 1),
        (body(params="x"), -32602, 1),
    ],
)
@pytest.mark.parametrize("headers", [{}, V1])
async def test_what_is_no_request_is_told_with_the_codes_of_json_rpc(
    fronts: Fronts, gateway: Any, make_request: Make, data: bytes, code: int, name: Any, headers: dict[bytes, bytes]
) -> None:
    reply = await post(fronts, make_request, data, headers)
    assert (reply.status, reply.json["error"]["code"], reply.json["id"]) == (200, code, name)
    assert reply.json["jsonrpc"] == "2.0"
    # Whoever has not said that it speaks 1.0 is not told details that 0.3 does not have.
    assert ("data" in reply.json["error"]) == (headers == V1 or (code == -32602))
    assert gateway.calls == []


async def test_a_request_without_an_id_is_answered_all_the_same(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    reply = await post(fronts, make_request, body(id=...))
    assert reply.json["id"] is None
    assert "result" in reply.json
    assert len(gateway.calls) == 1


@pytest.mark.requirement("a2a.jsonrpc")
async def test_the_kind_of_the_body_is_looked_at_before_the_body(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    reply = await post(fronts, make_request, b"{'no': 'json'}", V1 | {b"content-type": b"text/plain"})
    assert (reply.status, reply.json["error"]["code"]) == (200, -32005)
    reply = await post(fronts, make_request, body(id="i"), V1 | {b"content-type": b"text/plain"})
    assert (reply.json["id"], reply.json["error"]["data"][0]["reason"]) == ("i", "CONTENT_TYPE_NOT_SUPPORTED")
    assert gateway.calls == []


@pytest.mark.requirement("a2a.versions")
async def test_a_version_that_nobody_speaks_is_refused(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    reply = await post(fronts, make_request, body(), {b"a2a-version": b"99.0"})
    error = reply.json["error"]
    assert (reply.status, error["code"], reply.json["id"]) == (200, -32009, 1)
    assert error["data"][0]["reason"] == "VERSION_NOT_SUPPORTED"
    request, reply = make_request(body(), query={"A2A-Version": "99.0"})
    await fronts.post(request)
    assert reply.json["error"]["code"] == -32009
    assert gateway.calls == []


async def test_a_refusal_of_the_agent_is_told_in_the_version_of_the_client(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.answer = faults.refusal(faults.TASK_NOT_FOUND, taskId="t")
    modern = (await post(fronts, make_request, body(method="GetTask"))).json["error"]
    assert (modern["code"], modern["data"][0]["metadata"]) == (-32001, {"taskId": "t"})
    legacy = (await post(fronts, make_request, body(method="tasks/get"))).json["error"]
    assert legacy == {"code": -32001, "message": "Task not found"}


@pytest.mark.requirement("a2a.errors")
@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (Unauthenticated(headers=(("www-authenticate", "Bearer"),)), 401, 401, {"www-authenticate": "Bearer"}),
        (Forbidden(), 403, 403, {}),
        (Unseen(), 404, 404, {}),
        (RateLimited(retry_after=3), 429, 429, {"retry-after": "3"}),
        (Overloaded(retry_after=1), 503, 503, {"retry-after": "1"}),
        (UpstreamUnreachable(), 200, -32603, {}),
        (UpstreamTimeout(), 200, -32603, {}),
    ],
)
@pytest.mark.parametrize("method", ["SendMessage", "message/send", "SendStreamingMessage", "message/stream"])
async def test_a_failure_of_the_gateway_has_its_status(
    fronts: Fronts,
    gateway: Any,
    make_request: Make,
    error: GatewayError,
    status: int,
    code: int,
    headers: dict[str, str],
    method: str,
) -> None:
    gateway.answer = error
    gateway.will_tell(error)
    reply = await post(fronts, make_request, body(method=method))
    assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (status, 1, code)
    assert reply.headers == {"content-type": "application/json", "x-request-id": "r1"} | headers


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["SendStreamingMessage", "message/stream", "SubscribeToTask", "tasks/resubscribe"])
async def test_events_go_out_as_the_bytes_that_came(
    fronts: Fronts, gateway: Any, make_request: Make, method: str
) -> None:
    gateway.will_tell(b'{"task": {}}', b'{"statusUpdate":{}}', None)
    reply = await post(fronts, make_request, body(method=method, id="s"), SSE)
    assert reply.is_stream
    assert reply.is_finished
    assert reply.headers["x-request-id"] == "r1"
    assert reply.body == (
        b'data: {"jsonrpc":"2.0","id":"s","result":{"task": {}}}\n\n'
        b'data: {"jsonrpc":"2.0","id":"s","result":{"statusUpdate":{}}}\n\n'
    )


async def test_what_fails_before_the_first_event_is_json_where_the_client_reads_that(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    refusal = faults.refusal(faults.UNSUPPORTED_OPERATION)
    for method, headers in (("SendStreamingMessage", V1 | SSE), ("message/stream", {}), ("SubscribeToTask", SSE)):
        gateway.will_tell(refusal)
        reply = await post(fronts, make_request, body(method=method), headers)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert reply.json["error"]["code"] == -32004


@pytest.mark.requirement("a2a.errors")
async def test_clients_of_the_old_version_that_stream_read_a_refusal_as_an_event(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.will_tell(faults.refusal(faults.TASK_NOT_FOUND))
    reply = await post(fronts, make_request, body(method="tasks/resubscribe"), SSE)
    assert reply.is_stream
    assert [one["error"]["code"] for one in reply.messages] == [-32001]
    reply = await post(fronts, make_request, body(method="message/stream", params=[]), SSE)
    assert [one["error"]["code"] for one in reply.messages] == [-32602]
    gateway.will_tell(Forbidden())
    reply = await post(fronts, make_request, body(method="message/stream"), SSE)
    assert (reply.status, reply.headers["content-type"]) == (403, "application/json")


@pytest.mark.requirement("a2a.errors")
async def test_what_fails_later_is_the_last_event(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    gateway.will_tell(b"{}", UpstreamTimeout("too slow"))
    reply = await post(fronts, make_request, body(method="SendStreamingMessage"), V1)
    first, last = reply.messages
    assert first == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (last["id"], last["error"]["code"], last["error"]["message"]) == (1, -32603, "too slow")
    assert reply.is_finished


def test_an_event_of_several_lines_stays_one() -> None:
    told = RpcForm(1, "1.0").event(b'{\n"task": {}\r\n}')
    assert told == b'data: {"jsonrpc":"2.0","id":1,"result":{\ndata: "task": {}\ndata: }}\n\n'


# -- extensions -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.extensions")
@pytest.mark.parametrize(("method", "header"), [("GetTask", "a2a-extensions"), ("tasks/get", "x-a2a-extensions")])
async def test_extensions_that_the_agent_has_are_told_to_be_in_force(
    fronts: Fronts, cards: Any, make_request: Make, method: str, header: str
) -> None:
    cards.card = {"capabilities": {"extensions": [{"uri": "urn:b"}, {"uri": "urn:a"}, {"no": 1}]}}
    reply = await post(fronts, make_request, body(method=method), {b"a2a-extensions": b"urn:a, urn:x,urn:b"})
    assert reply.headers[header] == "urn:a, urn:b"


@pytest.mark.parametrize(
    "card", [{}, {"capabilities": {}}, {"capabilities": {"extensions": None}}, {"capabilities": 1}]
)
async def test_none_is_told_where_the_card_has_none(
    fronts: Fronts, cards: Any, make_request: Make, card: dict[str, Any]
) -> None:
    cards.card = card
    reply = await post(fronts, make_request, body(), {b"a2a-extensions": b"urn:a"})
    assert "a2a-extensions" not in reply.headers


async def test_the_card_is_only_asked_where_a_client_wants_extensions(
    fronts: Fronts, cards: Any, gateway: Any, make_request: Make
) -> None:
    await post(fronts, make_request, body())
    assert cards.asked == []
    cards.card = {"capabilities": {"extensions": [{"uri": "urn:a"}]}}
    gateway.will_tell(b"{}", None)
    reply = await post(fronts, make_request, body(method="SendStreamingMessage"), {b"a2a-extensions": b"urn:a"})
    assert (cards.asked, reply.headers["a2a-extensions"]) == (["demo"], "urn:a")
