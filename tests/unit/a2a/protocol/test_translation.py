from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.a2a.protocol import faults, translation
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.wire.jsonrpc import RpcError

TASK = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
LEGACY_TASK = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}
CONFIG = {"taskId": "t", "url": "u"}
LEGACY_CONFIG = {"taskId": "t", "pushNotificationConfig": {"url": "u"}}
PAIRS: list[tuple[Operation, Any, Any]] = [
    (Operation.SEND, {"task": TASK}, LEGACY_TASK),
    (Operation.GET, TASK, LEGACY_TASK),
    (Operation.CANCEL, TASK, LEGACY_TASK),
    (Operation.LIST, {"tasks": [TASK], "nextPageToken": ""}, {"tasks": [LEGACY_TASK], "nextPageToken": ""}),
    (Operation.SET_PUSH, CONFIG, LEGACY_CONFIG),
    (Operation.GET_PUSH, CONFIG, LEGACY_CONFIG),
    (Operation.LIST_PUSH, {"configs": [CONFIG], "nextPageToken": ""}, [LEGACY_CONFIG]),
    (Operation.DELETE_PUSH, {}, None),
]


@pytest.mark.parametrize(("operation", "modern", "legacy"), PAIRS, ids=[one[0].value for one in PAIRS])
def test_a_result_goes_to_the_other_version_and_back(operation: Operation, modern: Any, legacy: Any) -> None:
    assert translation.result(operation, modern, "1.0", "0.3") == legacy
    assert translation.result(operation, legacy, "0.3", "1.0") == modern
    data = json.dumps(modern).encode()
    assert json.loads(translation.result_bytes(operation, data, "1.0", "0.3")) == legacy


def test_what_is_the_same_version_stays_the_same_object() -> None:
    value, data = {"not": "looked at"}, b"nor this"
    assert translation.params(Operation.SEND, value, "1.0", "1.0") is value
    assert translation.result(Operation.SEND, value, "0.3", "0.3") is value
    assert translation.event(value, "0.3", "0.3") is value
    assert translation.card(value, "1.0", "1.0") is value
    assert translation.push(value, "1.0", "1.0") is value
    assert translation.notice(value, "1.0", "1.0") is value
    assert translation.params_bytes(Operation.SEND, data, "1.0", "1.0") is data
    assert translation.result_bytes(Operation.SEND, data, "1.0", "1.0") is data
    assert translation.event_bytes(data, "1.0", "1.0") is data


def test_a_task_that_stands_in_a_member_is_found() -> None:
    assert translation.result(Operation.GET, {"task": TASK}, "1.0", "0.3") == LEGACY_TASK


def test_events_and_parameters_are_translated_as_bytes_too() -> None:
    found = translation.event_bytes(json.dumps({"task": TASK}).encode(), "1.0", "0.3")
    assert json.loads(found) == LEGACY_TASK
    assert translation.params_bytes(Operation.GET, b'{"id":"t"}', "1.0", "0.3") == b'{"id":"t"}'
    assert translation.params_bytes(Operation.EXTENDED_CARD, b"", "0.3", "1.0") == b"{}"
    assert json.loads(json.dumps(translation.push(CONFIG, "1.0", "0.3"))) == LEGACY_CONFIG
    assert translation.notice(LEGACY_TASK, "0.3", "1.0") == {"task": TASK}


def test_parameters_that_cannot_be_read_are_the_clients_fault() -> None:
    for value in ({}, {"message": 5}):
        with pytest.raises(RpcError) as caught:
            translation.params(Operation.SEND, value, "0.3", "1.0")
        assert caught.value.code == faults.INVALID_PARAMS.code
    with pytest.raises(RpcError) as caught:
        translation.params_bytes(Operation.SEND, b"{", "0.3", "1.0")
    assert caught.value.code == faults.PARSE_ERROR.code


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"task": {"status": 5}}'])
def test_an_answer_that_cannot_be_read_is_the_agents_fault(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        translation.event_bytes(body, "1.0", "0.3")
    assert caught.value.code == faults.INVALID_AGENT_RESPONSE.code
    with pytest.raises(RpcError) as caught:
        translation.result_bytes(Operation.SEND, body, "1.0", "0.3")
    assert caught.value.code == faults.INVALID_AGENT_RESPONSE.code


MEMBERS = re.findall(
    r"\w+",
    """
    id kind task message statusUpdate artifactUpdate status state timestamp parts text raw url data file metadata role
    artifacts history configs tasks taskId pushNotificationConfig authentication schemes skills capabilities security
    securitySchemes securityRequirements supportedInterfaces additionalInterfaces flows type configuration artifact
    """,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "task", "message", "oauth2", "working", "0.3"]),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(MEMBERS), one, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from(Operation), st.sampled_from([("1.0", "0.3"), ("0.3", "1.0")]))
def test_whatever_comes_is_translated_or_refused(
    value: object, operation: Operation, versions: tuple[Version, Version]
) -> None:
    source, target = versions
    calls: list[Callable[[], object]] = [
        lambda: translation.params(operation, value, source, target),
        lambda: translation.result(operation, value, source, target),
        lambda: translation.event(value, source, target),
        lambda: translation.card(value, source, target),
        lambda: translation.push(value, source, target),
        lambda: translation.notice(value, source, target),
    ]
    for call in calls:
        try:
            json.dumps(call())
        except RpcError as error:
            assert error.code in {faults.INVALID_PARAMS.code, faults.INVALID_AGENT_RESPONSE.code}  # noqa: PT017
