from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import VERSIONS, Operation, Version
from pointsman.a2a.protocol.rest import event, read, read_event, read_result, result, write
from pointsman.errors import MethodNotAllowed
from pointsman.wire.jsonrpc import RpcError

SEND = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": []}}
LEGACY_SEND = {"message": {"kind": "message", "messageId": "m", "role": "user", "parts": []}}
CONFIG = {"taskId": "t", "id": "p", "url": "u"}
LEGACY_CONFIG = {"taskId": "t", "pushNotificationConfig": {"id": "p", "url": "u"}}
ASKED: list[tuple[Operation, Version, Any, str, str]] = [
    (Operation.SEND, "1.0", SEND, "POST", "/message:send"),
    (Operation.SEND, "0.3", LEGACY_SEND, "POST", "/message:send"),
    (Operation.STREAM, "1.0", SEND, "POST", "/message:stream"),
    (Operation.STREAM, "0.3", LEGACY_SEND, "POST", "/message:stream"),
    (Operation.GET, "1.0", {"id": "t", "historyLength": 0}, "GET", "/tasks/t?historyLength=0"),
    (Operation.GET, "0.3", {"id": "a/b c:d"}, "GET", "/tasks/a%2Fb%20c%3Ad"),
    (
        Operation.LIST,
        "1.0",
        {"contextId": "c d", "pageSize": 5, "includeArtifacts": True},
        "GET",
        "/tasks?contextId=c%20d&pageSize=5&includeArtifacts=true",
    ),
    (Operation.LIST, "0.3", {}, "GET", "/tasks"),
    (Operation.CANCEL, "1.0", {"id": "t", "metadata": {"a": 1}}, "POST", "/tasks/t:cancel"),
    (Operation.CANCEL, "0.3", {"id": "t"}, "POST", "/tasks/t:cancel"),
    (Operation.SUBSCRIBE, "1.0", {"id": "t"}, "POST", "/tasks/t:subscribe"),
    (Operation.SUBSCRIBE, "0.3", {"id": "t"}, "POST", "/tasks/t:subscribe"),
    (Operation.SET_PUSH, "1.0", CONFIG, "POST", "/tasks/t/pushNotificationConfigs"),
    (Operation.SET_PUSH, "0.3", LEGACY_CONFIG, "POST", "/tasks/t/pushNotificationConfigs"),
    (Operation.GET_PUSH, "1.0", {"taskId": "t", "id": "p"}, "GET", "/tasks/t/pushNotificationConfigs/p"),
    (
        Operation.GET_PUSH,
        "0.3",
        {"id": "t", "pushNotificationConfigId": "p"},
        "GET",
        "/tasks/t/pushNotificationConfigs/p",
    ),
    (Operation.LIST_PUSH, "1.0", {"taskId": "t", "pageSize": 2}, "GET", "/tasks/t/pushNotificationConfigs?pageSize=2"),
    (Operation.LIST_PUSH, "0.3", {"id": "t"}, "GET", "/tasks/t/pushNotificationConfigs"),
    (Operation.DELETE_PUSH, "1.0", {"taskId": "t", "id": "p"}, "DELETE", "/tasks/t/pushNotificationConfigs/p"),
    (
        Operation.DELETE_PUSH,
        "0.3",
        {"id": "t", "pushNotificationConfigId": "p"},
        "DELETE",
        "/tasks/t/pushNotificationConfigs/p",
    ),
    (Operation.EXTENDED_CARD, "1.0", {}, "GET", "/extendedAgentCard"),
    (Operation.EXTENDED_CARD, "0.3", {}, "GET", "/card"),
]


@pytest.mark.requirement("a2a.rest")
@pytest.mark.parametrize(("operation", "version", "params", "method", "path"), ASKED)
def test_what_is_asked_over_rest_is_what_is_asked(
    operation: Operation, version: Version, params: dict[str, Any], method: str, path: str
) -> None:
    made = write(operation, version, json.dumps(params).encode())
    bare = made.path.removeprefix("/v1") if version == "0.3" else made.path
    assert (made.method, bare) == (method, path)
    where, _, query = bare.partition("?")
    asked = read(version, made.method, where, dict(one.split("=") for one in query.split("&") if one), made.body)
    assert asked.operation is operation
    found = json.loads(asked.params)
    assert {name: str(value).replace(" ", "%20") if query else value for name, value in found.items()} == {
        name: str(value).replace(" ", "%20") if query else value for name, value in params.items()
    }


def test_a_message_of_1_0_is_passed_on_as_it_came() -> None:
    body = b'{"message" : {}, "new": 1}'
    assert read("1.0", "POST", "/message:send", {}, body).params is body


def test_a_tenant_stands_before_all_paths_of_1_0() -> None:
    made = write(Operation.GET, "1.0", b'{"id":"t","tenant":"other"}', "a b")
    assert made.path == "/a%20b/tasks/t"
    asked = read("1.0", "GET", "/a%20b/tasks/t", {}, b"")
    assert (asked.operation, asked.params, asked.tenant) == (Operation.GET, b'{"id":"t"}', "a b")
    assert read("1.0", "POST", "/x/message:send", {}, b"{}").tenant == "x"
    assert read("1.0", "GET", "/x/extendedAgentCard", {}, b"").tenant == "x"
    assert json.loads(read("1.0", "GET", "/tasks/t", {"tenant": "x"}, b"").params) == {"id": "t", "tenant": "x"}
    with pytest.raises(RpcError):
        read("0.3", "GET", "/x/tasks/t", {}, b"")


def test_tasks_are_not_a_tenant() -> None:
    asked = read("1.0", "GET", "/tasks/tasks", {}, b"")
    assert (asked.operation, asked.params, asked.tenant) == (Operation.GET, b'{"id":"tasks"}', "")
    asked = read("1.0", "GET", "/tasks/t/pushNotificationConfigs", {}, b"")
    assert (asked.operation, asked.tenant) == (Operation.LIST_PUSH, "")


def test_an_id_may_have_a_colon() -> None:
    assert json.loads(read("1.0", "GET", "/tasks/a:b", {}, b"").params) == {"id": "a:b"}
    assert json.loads(read("1.0", "POST", "/tasks/a:b:cancel", {}, b"").params) == {"id": "a:b"}


def test_streams_are_joined_by_either_method() -> None:
    for method in ("GET", "POST"):
        for version in VERSIONS:
            assert read(version, method, "/tasks/t:subscribe", {}, b"").operation is Operation.SUBSCRIBE


@pytest.mark.parametrize("path", ["/", "", "/messages", "/tasks/", "/tasks/t/", "/tasks/t/pushNotificationConfigs/p/x"])
@pytest.mark.parametrize("version", VERSIONS)
def test_another_place_is_not_there(version: Version, path: str) -> None:
    with pytest.raises(RpcError) as caught:
        read(version, "GET", path, {}, b"")
    assert caught.value.code == faults.METHOD_NOT_FOUND.code


def test_another_method_is_said_to_be_one() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        read("1.0", "PUT", "/tasks/t/pushNotificationConfigs", {}, b"")
    assert caught.value.headers == (("Allow", "POST, GET"),)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/tasks/t", {"historyLength": "many"}),
        ("/tasks", {"pageSize": "1.5"}),
        ("/tasks", {"includeArtifacts": "perhaps"}),
    ],
)
def test_a_query_of_the_wrong_type_is_refused(path: str, query: dict[str, str]) -> None:
    with pytest.raises(RpcError, match="has to be"):
        read("1.0", "GET", path, query, b"")


@pytest.mark.parametrize("body", [b"[]", b"5"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    for path in ("/tasks/t:cancel", "/tasks/t/pushNotificationConfigs"):
        with pytest.raises(RpcError, match="object"):
            read("1.0", "POST", path, {}, body)
    with pytest.raises(RpcError) as caught:
        read("0.3", "POST", "/message:send", {}, b"{")
    assert caught.value.code == faults.PARSE_ERROR.code
    with pytest.raises(RpcError) as caught:
        read("0.3", "POST", "/message:send", {}, b"{}")
    assert caught.value.code == faults.INVALID_PARAMS.code


@pytest.mark.requirement("a2a.ownership")
def test_the_task_of_the_path_wins() -> None:
    asked = read("1.0", "POST", "/tasks/t/pushNotificationConfigs", {}, b'{"taskId":"other","url":"u"}')
    assert json.loads(asked.params) == {"taskId": "t", "url": "u"}
    asked = read("1.0", "POST", "/tasks/t:cancel", {}, b'{"id":"other"}')
    assert json.loads(asked.params) == {"id": "t"}
    asked = read("0.3", "POST", "/tasks/t/pushNotificationConfigs", {}, b'{"taskId":"other","config":{"url":"u"}}')
    assert json.loads(asked.params)["taskId"] == "t"


@pytest.mark.parametrize("task", ["", ".", "..", None, 5])
def test_no_path_is_made_of_what_is_no_id(task: object) -> None:
    with pytest.raises(RpcError, match="'id' has to be an id"):
        write(Operation.GET, "1.0", json.dumps({"id": task}).encode())


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20).filter(lambda text: text not in {".", ".."}))
def test_any_id_fits_into_a_path_and_comes_out_of_it(task: str) -> None:
    for version in VERSIONS:
        path = write(Operation.GET, version, json.dumps({"id": task}).encode()).path
        assert path.isascii()
        assert path.removeprefix("/v1").count("/") == 2
        assert json.loads(read(version, "GET", path.removeprefix("/v1"), {}, b"").params) == {"id": task}


TASK = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}
WRITTEN = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
PUSH = {"name": "tasks/t/pushNotificationConfigs/p", "pushNotificationConfig": {"id": "p", "url": "u"}}


@pytest.mark.parametrize(
    ("operation", "bare", "body"),
    [
        (Operation.SEND, TASK, {"task": WRITTEN}),
        (Operation.GET, TASK, WRITTEN),
        (Operation.CANCEL, TASK, WRITTEN),
        (Operation.LIST, {"tasks": [TASK]}, {"tasks": [WRITTEN]}),
        (Operation.SET_PUSH, LEGACY_CONFIG, PUSH),
        (Operation.GET_PUSH, LEGACY_CONFIG, PUSH),
        (Operation.LIST_PUSH, [LEGACY_CONFIG], {"configs": [PUSH]}),
        (Operation.DELETE_PUSH, None, {}),
        (Operation.EXTENDED_CARD, {"name": "n"}, {"name": "n"}),
    ],
)
def test_results_of_0_3_have_bodies_of_their_own(operation: Operation, bare: Any, body: Any) -> None:
    assert json.loads(result(operation, "0.3", json.dumps(bare).encode())) == body
    assert json.loads(read_result(operation, "0.3", json.dumps(body).encode())) == bare


def test_lists_of_0_3_may_be_bare() -> None:
    assert json.loads(read_result(Operation.LIST, "0.3", json.dumps([WRITTEN]).encode())) == {"tasks": [TASK]}
    assert json.loads(read_result(Operation.LIST_PUSH, "0.3", json.dumps([PUSH]).encode())) == [LEGACY_CONFIG]


def test_results_and_events_of_1_0_are_passed_on_as_they_came() -> None:
    data = b'{"task" : {}}'
    assert result(Operation.SEND, "1.0", data) is data
    assert read_result(Operation.SEND, "1.0", data) is data
    assert event("1.0", data) is data
    assert read_event("1.0", data) is data
    assert read_result(Operation.DELETE_PUSH, "1.0", b"") == b"{}"
    assert read_result(Operation.DELETE_PUSH, "0.3", b"") == b"null"


def test_events_of_0_3_have_bodies_of_their_own() -> None:
    assert json.loads(event("0.3", json.dumps(TASK).encode())) == {"task": WRITTEN}
    assert json.loads(read_event("0.3", json.dumps({"task": WRITTEN}).encode())) == TASK


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"task": 5}'])
def test_a_body_that_is_no_answer_is_the_agents_fault(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        read_event("0.3", body)
    assert caught.value.code == faults.INVALID_AGENT_RESPONSE.code
    with pytest.raises(RpcError) as caught:
        read_result(Operation.SEND, "0.3", body)
    assert caught.value.code == faults.INVALID_AGENT_RESPONSE.code
