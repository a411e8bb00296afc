from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.faults import FAULTS, Fault, fault_of, of_gateway, read_rest, refusal, rest, told
from pointsman.a2a.protocol.operations import VERSIONS
from pointsman.errors import Forbidden, InternalError, Overloaded, RateLimited, Unseen, UpstreamUnreachable
from pointsman.wire.jsonrpc import INTERNAL_ERROR, RpcError

INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def read(raw: object) -> Any:
    return json.loads(bytes(raw))  # type: ignore[call-overload]


@pytest.mark.requirement("a2a.faults")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_fault_says_in_1_0_which_one_it_is(fault: Fault) -> None:
    found = read(told(refusal(fault, "because", taskId="t"), "1.0"))
    info = {"@type": INFO, "reason": fault.reason, "domain": "a2a-protocol.org", "metadata": {"taskId": "t"}}
    assert found == {"code": fault.code, "message": "because", "data": [info]}
    status, body = rest(refusal(fault, taskId="t"), "1.0")
    error = {"code": fault.status, "status": fault.name, "message": fault.text, "details": [info]}
    assert (status, read(body)) == (fault.status, {"error": error})


@pytest.mark.requirement("a2a.faults")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_fault_is_told_in_0_3_by_its_code_and_its_name(fault: Fault) -> None:
    assert read(told(refusal(fault), "0.3")) == {"code": fault.code, "message": fault.text}
    status, body = rest(refusal(fault), "0.3")
    assert status == fault.legacy_status
    assert read(body) == {"code": fault.code, "type": fault.kind, "message": fault.text}


@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_what_is_told_over_rest_is_read_again(fault: Fault, version: Any) -> None:
    error = read_rest(*rest(refusal(fault, "because"), version))
    assert error.message == "because"
    # 1.0 has one word for JSON that is broken and for a request that is none.
    same = {faults.PARSE_ERROR.code, faults.INVALID_REQUEST.code}
    assert error.code == fault.code or (version == "1.0" and {error.code, fault.code} <= same)


def test_a_fault_of_an_agent_gets_the_details_that_1_0_wants() -> None:
    found = read(told(RpcError(-32001, "gone", {"taskId": "t", "n": 5}), "1.0"))
    assert found["data"][0]["reason"] == "TASK_NOT_FOUND"
    assert found["data"][0]["metadata"] == {"taskId": "t", "n": "5"}
    more = [{"@type": "x", "a": 1}, "words", {"no": "type"}]
    found = read(told(RpcError(-32602, "no", more), "1.0"))
    assert [one["@type"] for one in found["data"]] == [INFO, "x"]
    assert "data" not in read(told(RpcError(-1, "own", "words"), "1.0"))


def test_what_else_an_agent_tells_is_told_in_0_3() -> None:
    assert read(told(RpcError(-32001, "gone", {"taskId": "t"}), "0.3"))["data"] == {"taskId": "t"}
    details = refusal(faults.TASK_NOT_FOUND).data
    assert isinstance(details, list)
    assert read(told(RpcError(-32001, "gone", [*details, {"@type": "x"}]), "0.3"))["data"] == [{"@type": "x"}]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Forbidden(), 403, 403),
        (Unseen("Agent x not found"), 404, 404),
        (RateLimited(), 429, 429),
        (Overloaded(), 503, 503),
        (InternalError(), INTERNAL_ERROR, 200),
        (UpstreamUnreachable(operator_detail="http://secret"), INTERNAL_ERROR, 200),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_failure_of_the_gateway_is_told_too(error: Any, code: int, status: int) -> None:
    found = of_gateway(error)
    assert (found.code, found.status, found.message) == (code, status, error.message)
    assert b"secret" not in bytes(told(found, "1.0"))
    assert read(told(found, "1.0"))["data"][0]["domain"] == "pointsman"
    assert "data" not in read(told(found, "0.3"))


def test_a_failure_of_the_gateway_keeps_its_status_over_rest() -> None:
    status, body = rest(RateLimited(), "1.0")
    assert (status, read(body)["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    status, body = rest(UpstreamUnreachable(), "1.0")
    assert (status, read(body)["error"]["code"]) == (502, 502)
    status, body = rest(Forbidden(), "0.3")
    assert (status, read(body)["code"]) == (403, 403)


def test_an_error_of_an_agent_that_is_none_of_the_protocol_is_a_500_over_rest() -> None:
    status, body = rest(RpcError(-32050, "own"), "1.0")
    assert (status, read(body)["error"]["message"]) == (500, "own")


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (404, b'{"message": "Task not found"}', faults.TASK_NOT_FOUND),
        (404, b'{"message": "Method not found"}', faults.METHOD_NOT_FOUND),
        (404, b'{"message": "Authenticated Extended Card is not configured"}', faults.NO_EXTENDED_CARD),
        (404, b"<html>", faults.TASK_NOT_FOUND),
        (409, b"", faults.TASK_NOT_CANCELABLE),
        (501, b'{"message": "Push Notification is not supported"}', faults.PUSH_NOT_SUPPORTED),
        (501, b"{}", faults.UNSUPPORTED_OPERATION),
        (400, b'{"type": "TaskNotCancelableError"}', faults.TASK_NOT_CANCELABLE),
        (400, b'{"code": -32003}', faults.PUSH_NOT_SUPPORTED),
        (500, b'{"error": {"code": 500, "message": 5, "details": "none"}}', faults.INTERNAL_ERROR),
        (418, b"[]", faults.INTERNAL_ERROR),
    ],
)
def test_an_agents_fault_is_found_by_whatever_it_tells(status: int, body: bytes, fault: Fault) -> None:
    assert fault_of(read_rest(status, body)) is fault


@settings(deadline=None)
@given(
    st.integers(100, 599),
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda one: (
            st.lists(one, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "details", "data", "code", "type", "message", "reason"]), one)
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_whatever_an_agent_says_is_some_error(status: int, body: bytes) -> None:
    error = read_rest(status, body)
    assert fault_of(error) is not None
    for version in VERSIONS:
        json.loads(bytes(told(error, version)))
        assert rest(error, version)[0] >= 400
