from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.protocol.messages import Malformed
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.protocol.params import legacy_params, modern_params

MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "a"}]}
LEGACY_MESSAGE = {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "a"}]}


def test_a_message_without_a_configuration_waits_in_0_3_as_it_does_in_1_0() -> None:
    assert legacy_params(Operation.SEND, {"message": MESSAGE}) == {
        "message": LEGACY_MESSAGE,
        "configuration": {"blocking": True},
    }
    assert legacy_params(Operation.STREAM, {"message": MESSAGE}) == {"message": LEGACY_MESSAGE}


@pytest.mark.parametrize(
    ("modern", "legacy"),
    [
        ({"returnImmediately": True}, {"blocking": False}),
        ({"returnImmediately": False, "historyLength": 3}, {"blocking": True, "historyLength": 3}),
        (
            {"returnImmediately": False, "taskPushNotificationConfig": {"url": "u"}},
            {"blocking": True, "pushNotificationConfig": {"url": "u"}},
        ),
    ],
)
def test_a_configuration_is_told_in_both(modern: dict[str, Any], legacy: dict[str, Any]) -> None:
    new, old = {"message": MESSAGE, "configuration": modern}, {"message": LEGACY_MESSAGE, "configuration": legacy}
    assert legacy_params(Operation.SEND, new) == old
    assert modern_params(Operation.SEND, old) == new


def test_no_history_of_0_3_is_all_of_it() -> None:
    assert modern_params(Operation.GET, {"id": "t", "historyLength": 0}) == {"id": "t"}
    old = {"message": LEGACY_MESSAGE, "configuration": {"historyLength": 0}}
    assert modern_params(Operation.SEND, old) == {"message": MESSAGE, "configuration": {}}


@pytest.mark.parametrize("operation", [Operation.GET_PUSH, Operation.DELETE_PUSH])
def test_ids_of_configurations_are_named_by_each_in_its_way(operation: Operation) -> None:
    assert modern_params(operation, {"id": "t", "pushNotificationConfigId": "p"}) == {"taskId": "t", "id": "p"}
    assert legacy_params(operation, {"taskId": "t", "id": "p"}) == {"id": "t", "pushNotificationConfigId": "p"}


def test_a_configuration_without_an_id_has_that_of_its_task() -> None:
    config = {"taskId": "t", "pushNotificationConfig": {"url": "u"}}
    assert modern_params(Operation.SET_PUSH, config) == {"taskId": "t", "id": "t", "url": "u"}
    assert modern_params(Operation.GET_PUSH, {"id": "t"}) == {"taskId": "t", "id": "t"}
    assert modern_params(Operation.LIST_PUSH, {"id": "t"}) == {"taskId": "t"}


def test_members_are_read_by_their_names_in_protocol_buffers_too() -> None:
    message = {"message_id": "m", "task_id": "t", "role": "ROLE_USER", "parts": [{"raw": "", "media_type": "a/b"}]}
    asked = {"message": message | {"x_own": 1}, "configuration": {"return_immediately": True}}
    assert legacy_params(Operation.SEND, asked) == {
        "message": {
            "kind": "message",
            "messageId": "m",
            "taskId": "t",
            "role": "user",
            "parts": [{"kind": "file", "file": {"bytes": "", "mimeType": "a/b"}}],
            "x_own": 1,
        },
        "configuration": {"blocking": False},
    }
    assert legacy_params(Operation.GET_PUSH, {"task_id": "t", "id": "p"}) == {
        "id": "t",
        "pushNotificationConfigId": "p",
    }
    assert legacy_params(Operation.LIST, {"page_size": 3}) == {"pageSize": 3}


def test_a_listing_has_the_states_of_its_version() -> None:
    assert legacy_params(Operation.LIST, {"status": "TASK_STATE_WORKING", "pageSize": 3}) == {
        "status": "working",
        "pageSize": 3,
    }
    assert modern_params(Operation.LIST, {"status": "working"}) == {"status": "TASK_STATE_WORKING"}


@pytest.mark.parametrize("operation", Operation)
def test_no_tenant_gets_into_0_3(operation: Operation) -> None:
    assert "tenant" not in legacy_params(operation, {"tenant": "x", "message": MESSAGE, "id": "t"})


def test_the_extended_card_needs_no_parameters() -> None:
    assert modern_params(Operation.EXTENDED_CARD, None) == {}
    assert legacy_params(Operation.EXTENDED_CARD, None) == {}


@pytest.mark.parametrize("wrong", [{}, {"message": None}, {"message": "hello"}, [], "x"])
@pytest.mark.parametrize("convert", [modern_params, legacy_params])
def test_a_message_that_is_none_is_malformed(wrong: object, convert: Any) -> None:
    with pytest.raises(Malformed):
        convert(Operation.SEND, wrong)
