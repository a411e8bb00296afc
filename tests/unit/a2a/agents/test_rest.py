from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.a2a.agents.rest import read, read_event, refused, write
from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import Operation
from pointsman.errors import UpstreamBroken
from pointsman.wire.jsonrpc import RpcError

TASK = {"id": "1", "contextId": "2", "status": {"state": "TASK_STATE_WORKING"}}


def test_a_request_is_one_of_the_version() -> None:
    sent = write(Operation.GET, "1.0", b'{"id":"1","historyLength":2,"tenant":"ours"}', "t")
    assert (sent.method, sent.path) == ("GET", "/t/tasks/1?historyLength=2")
    assert write(Operation.GET, "0.3", b'{"id":"1"}').path == "/v1/tasks/1"


def test_a_result_is_given_as_it_came_or_as_json_rpc_has_it() -> None:
    body = msgspec.json.encode(TASK)
    assert read(Operation.GET, "1.0", body) == body
    found = msgspec.json.decode(read(Operation.GET, "0.3", body))
    assert (found["kind"], found["status"]["state"]) == ("task", "working")
    assert read(Operation.DELETE_PUSH, "1.0", b"") == b"{}"
    assert read(Operation.GET, "1.0", b'{"a":"\xff","b":"\\ud83d"}') == '{"a":"\ufffd","b":"\\ufffd"}'.encode()


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>"])
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(Operation.GET, "1.0", body)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 404, "status": "NOT_FOUND", "message": "No", "details": [{"reason": "TASK_NOT_FOUND"}]}},
        {"type": "TaskNotFoundError", "message": "No"},
        {"code": -32001, "message": "No"},
    ],
)
def test_an_error_is_known_in_every_form(body: Any) -> None:
    error = refused(404, msgspec.json.encode(body))
    assert error is not None
    assert (error.code, error.message) == (faults.TASK_NOT_FOUND.code, "No")


@pytest.mark.parametrize("body", [b"", b'{"detail":"Not Found"}', b'{"message":"no Route matched"}', b"<html>", b"[]"])
def test_not_every_refusal_is_one_of_the_protocol(body: bytes) -> None:
    assert refused(404, body) is None


def test_an_event_brings_something_or_nothing() -> None:
    data = msgspec.json.encode({"task": TASK})
    assert read_event("1.0", b"", data) == data
    assert msgspec.json.decode(read_event("0.3", b"", data) or b"")["kind"] == "task"
    assert read_event("1.0", b"", b"nonsense") is None


@pytest.mark.parametrize("name", [b"", b"error"])
def test_an_event_may_be_an_error(name: bytes) -> None:
    with pytest.raises(RpcError, match="No"):
        read_event("1.0", name, b'{\n  "error": {"code":500,"status":"INTERNAL","message":"No"}}')


def test_an_event_that_only_names_errors_is_none() -> None:
    data = b'{"task":{"metadata":{"error":1}}}'
    assert read_event("1.0", b"", data) == data
