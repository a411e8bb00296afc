from __future__ import annotations

import pytest

from pointsman.a2a.protocol.operations import (
    INTERRUPTED,
    TERMINAL,
    VERSIONS,
    Operation,
    Version,
    method_name,
    named,
    state_name,
    state_of,
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("operation", Operation)
def test_a_method_names_its_operation_and_its_version(operation: Operation, version: Version) -> None:
    assert named(method_name(operation, version)) == (operation, version)


def test_methods_are_named_exactly() -> None:
    assert named("sendMessage") is None
    assert named("Message/Send") is None
    assert method_name(Operation.SUBSCRIBE, "0.3") == "tasks/resubscribe"
    assert method_name(Operation.LIST_PUSH, "1.0") == "ListTaskPushNotificationConfigs"


def test_streams_are_those_of_messages_and_of_tasks() -> None:
    assert {one for one in Operation if one.is_streamed} == {Operation.STREAM, Operation.SUBSCRIBE}


@pytest.mark.parametrize("state", [*TERMINAL, *INTERRUPTED, "submitted", "working", "unknown"])
def test_a_state_is_the_same_in_both_versions(state: str) -> None:
    found = state_of(state)
    assert found == state
    assert state_of(state_name(found, "1.0")) == state
    assert state_name(found, "0.3") == state


@pytest.mark.parametrize("text", [None, 5, "", "Completed", "TASK_STATE_UNSPECIFIED", ["completed"]])
def test_what_is_no_state_is_unknown(text: object) -> None:
    assert state_of(text) == "unknown"


def test_the_protocol_buffers_of_0_3_spell_one_in_their_own_way() -> None:
    assert state_of("TASK_STATE_CANCELLED") == "canceled"
