from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from replies import Reply

from pointsman.a2a.fronts.entry import Fronts
from pointsman.a2a.fronts.streams import Request
from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import Operation
from pointsman.errors import Forbidden, GatewayError, Overloaded, RateLimited, Unseen, UpstreamTimeout

Make = Callable[..., tuple[Request, Reply]]
TASK = b'{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}'
OLD_TASK = b'{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}'
MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
OLD_MESSAGE = {"messageId": "m", "role": "ROLE_USER", "content": [{"text": "hi"}]}


async def ask(
    fronts: Fronts,
    make: Make,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[bytes, bytes] | None = None,
    query: Mapping[str, str] | None = None,
) -> Reply:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request, reply = make(data, headers, method=method, path=path, query=query or {})
    await fronts.rest(request)
    return reply


@pytest.mark.requirement("a2a.rest")
@pytest.mark.parametrize("prefix", ["", "v1/"])
@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "tasks/t", Operation.GET),
        ("HEAD", "tasks/t", Operation.GET),
        ("GET", "tasks", Operation.LIST),
        ("POST", "tasks/t:cancel", Operation.CANCEL),
        ("GET", "tasks/t/pushNotificationConfigs", Operation.LIST_PUSH),
        ("GET", "tasks/t/pushNotificationConfigs/p", Operation.GET_PUSH),
        ("DELETE", "tasks/t/pushNotificationConfigs/p", Operation.DELETE_PUSH),
    ],
)
async def test_a_path_stands_for_an_operation_in_the_version_that_has_it(
    fronts: Fronts, gateway: Any, make_request: Make, prefix: str, method: str, path: str, operation: Operation
) -> None:
    gateway.answer = Forbidden()
    await ask(fronts, make_request, method, prefix + path)
    (call,) = gateway.calls
    assert (call.agent, call.operation, call.version) == ("demo", operation, "0.3" if prefix else "1.0")


@pytest.mark.parametrize(("path", "operation"), [("extendedAgentCard", "1.0"), ("v1/card", "0.3")])
async def test_both_versions_have_a_path_for_the_extended_card(
    fronts: Fronts, gateway: Any, make_request: Make, path: str, operation: str
) -> None:
    gateway.answer = b'{"name": "x"}'
    reply = await ask(fronts, make_request, "GET", path)
    assert (reply.status, json.loads(reply.body)) == (200, {"name": "x"})
    assert [(call.operation, call.version) for call in gateway.calls] == [(Operation.EXTENDED_CARD, operation)]


@pytest.mark.requirement("a2a.rest")
async def test_a_message_of_the_newest_version_goes_through_as_bytes(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.answer = b'{"task":  {"id":"t"}}'
    body = b'{"message":  {"messageId":"m"}, "x":1}'
    reply = await ask(fronts, make_request, "POST", "message:send", body)
    assert (reply.status, reply.body) == (200, gateway.answer)
    assert reply.headers == {"content-type": "application/a2a+json", "x-request-id": "r1"}
    assert gateway.calls[0].params == body


async def test_a_message_of_the_old_version_has_another_form_there(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.answer = OLD_TASK
    reply = await ask(fronts, make_request, "POST", "v1/message:send", {"request": OLD_MESSAGE})
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["task"]["status"]["state"] == "TASK_STATE_WORKING"
    params = json.loads(gateway.calls[0].params)
    assert (params["message"]["role"], params["message"]["parts"][0]["text"]) == ("user", "hi")


@pytest.mark.requirement("a2a.versions")
@pytest.mark.parametrize(
    ("path", "given", "version"),
    [
        ("tasks/t", "", "1.0"),
        ("tasks/t", "1.0.1", "1.0"),
        ("tasks/t", "0.3", "0.3"),
        ("v1/tasks/t", "", "0.3"),
        ("v1/tasks/t", "0.3", "0.3"),
        ("v1/tasks/t", "1.0", "1.0"),
    ],
)
async def test_what_a_client_says_of_its_version_is_more_than_the_path(
    fronts: Fronts, gateway: Any, make_request: Make, path: str, given: str, version: str
) -> None:
    gateway.answer = Forbidden()
    await ask(fronts, make_request, "GET", path, query={"A2A-Version": given} if given else {})
    await ask(fronts, make_request, "GET", path, headers={b"a2a-version": given.encode()})
    assert [call.version for call in gateway.calls] == [version] * 2


async def test_the_query_holds_parameters_and_the_version_is_none_of_them(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.answer = TASK
    query = {"historyLength": "3", "A2A-Version": "1.0"}
    await ask(fronts, make_request, "GET", "tasks/t", query=query)
    assert json.loads(gateway.calls[0].params) == {"id": "t", "historyLength": 3}


@pytest.mark.parametrize("task", ["a b", "a%b", "a%2Fb", "ü", "a?b", "a+b"])
async def test_ids_arrive_as_they_are(fronts: Fronts, gateway: Any, make_request: Make, task: str) -> None:
    gateway.answer = TASK
    await ask(fronts, make_request, "POST", f"tasks/{task}:cancel")
    assert json.loads(gateway.calls[0].params)["id"] == task


async def test_a_tenant_in_the_path_is_the_agent_or_nobody(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    await ask(fronts, make_request, "POST", "demo/message:send", {"message": MESSAGE})
    assert [call.operation for call in gateway.calls] == [Operation.SEND]
    reply = await ask(fronts, make_request, "POST", "other/message:send", {"message": MESSAGE})
    assert reply.status == 404
    assert len(gateway.calls) == 1


async def test_a_deletion_is_answered_with_an_empty_object(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    gateway.answer = b"null"
    for prefix in ("", "v1/"):
        reply = await ask(fronts, make_request, "DELETE", prefix + "tasks/t/pushNotificationConfigs/p")
        assert (reply.status, reply.body) == (200, b"{}")


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("POST", "message:other"), ("GET", "v1/a/b/c/d")])
async def test_what_is_not_there_is_not_found(
    fronts: Fronts, gateway: Any, make_request: Make, method: str, path: str
) -> None:
    reply = await ask(fronts, make_request, method, path)
    assert reply.status == 404
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "message:send", "POST"), ("DELETE", "tasks/t", "GET"), ("HEAD", "tasks/t:subscribe", "GET, POST")],
)
async def test_another_method_is_told_which_ones_there_are(
    fronts: Fronts, gateway: Any, make_request: Make, method: str, path: str, allowed: str
) -> None:
    reply = await ask(fronts, make_request, method, path)
    headers = {name.lower(): value for name, value in reply.headers.items()}
    assert (reply.status, headers["allow"]) == (405, allowed)
    assert gateway.calls == []


async def test_the_kind_of_a_body_is_looked_at_where_there_is_one(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    text = {b"content-type": b"text/plain"}
    reply = await ask(fronts, make_request, "POST", "message:send", b"hi", text)
    assert (reply.status, reply.json["error"]["details"][0]["reason"]) == (415, "CONTENT_TYPE_NOT_SUPPORTED")
    assert reply.json["error"]["code"] == 415
    assert gateway.calls == []
    gateway.answer = TASK
    reply = await ask(fronts, make_request, "POST", "tasks/t:cancel", None, text)
    assert reply.status == 200


@pytest.mark.requirement("a2a.versions")
async def test_a_version_that_nobody_speaks_is_refused(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    reply = await ask(fronts, make_request, "GET", "tasks/t", headers={b"a2a-version": b"99.0"})
    error = reply.json["error"]
    assert (reply.status, error["code"], error["status"]) == (400, 400, "FAILED_PRECONDITION")
    assert error["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"
    assert gateway.calls == []


async def test_a_refusal_of_the_agent_is_told_in_the_version_of_the_client(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.answer = faults.refusal(faults.TASK_NOT_FOUND)
    reply = await ask(fronts, make_request, "GET", "tasks/t")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")
    assert reply.json["error"]["status"] == "NOT_FOUND"
    assert reply.json["error"]["details"][0]["reason"] == "TASK_NOT_FOUND"
    reply = await ask(fronts, make_request, "GET", "v1/tasks/t")
    assert reply.status == 404
    assert (reply.json["code"], reply.json["type"]) == (-32001, "TaskNotFoundError")


@pytest.mark.requirement("a2a.errors")
@pytest.mark.parametrize(
    ("error", "status", "name", "headers"),
    [
        (Forbidden(), 403, "PERMISSION_DENIED", {}),
        (Unseen(), 404, "NOT_FOUND", {}),
        (RateLimited(retry_after=3), 429, "RESOURCE_EXHAUSTED", {"retry-after": "3"}),
        (Overloaded(retry_after=1), 503, "UNAVAILABLE", {"retry-after": "1"}),
        (UpstreamTimeout(), 504, "DEADLINE_EXCEEDED", {}),
    ],
)
@pytest.mark.parametrize("path", ["message:send", "message:stream"])
async def test_a_failure_of_the_gateway_has_its_status(
    fronts: Fronts,
    gateway: Any,
    make_request: Make,
    error: GatewayError,
    status: int,
    name: str,
    headers: dict[str, str],
    path: str,
) -> None:
    gateway.answer = error
    gateway.will_tell(error)
    reply = await ask(fronts, make_request, "POST", path, {"message": MESSAGE})
    assert (reply.status, reply.json["error"]["code"], reply.json["error"]["status"]) == (status, status, name)
    assert reply.headers == {"content-type": "application/json", "x-request-id": "r1"} | headers


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "message:stream"), ("POST", "tasks/t:subscribe"), ("GET", "tasks/t:subscribe")]
)
async def test_events_are_bare(fronts: Fronts, gateway: Any, make_request: Make, method: str, path: str) -> None:
    gateway.will_tell(b'{"task": {}}', None)
    body = {"message": MESSAGE} if "message" in path else None
    reply = await ask(fronts, make_request, method, path, body)
    assert reply.is_stream
    assert reply.body == b'data: {"task": {}}\n\n'


async def test_events_of_the_old_version_have_another_form_there(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.will_tell(OLD_TASK, None)
    reply = await ask(fronts, make_request, "POST", "v1/message:stream", {"request": OLD_MESSAGE})
    assert [list(one) for one in reply.messages] == [["task"]]


@pytest.mark.requirement("a2a.errors")
@pytest.mark.parametrize(("prefix", "event", "code"), [("", TASK, 504), ("v1/", OLD_TASK, -32603)])
async def test_what_fails_later_is_an_event_of_its_own_name(
    fronts: Fronts, gateway: Any, make_request: Make, prefix: str, event: bytes, code: int
) -> None:
    gateway.will_tell(event, UpstreamTimeout("too slow"))
    reply = await ask(fronts, make_request, "POST", prefix + "tasks/t:subscribe")
    (_, _), (name, data) = reply.events
    told = json.loads(data)
    told = told.get("error", told)
    assert (name, told["code"], told["message"]) == ("error", code, "too slow")
    assert reply.is_finished


async def test_an_event_that_is_none_ends_the_stream_with_a_failure(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    gateway.will_tell(OLD_TASK, b"[]")
    reply = await ask(fronts, make_request, "POST", "v1/tasks/t:subscribe")
    assert [name for name, _ in reply.events] == ["message", "error"]
    assert gateway.is_closed
