from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.a2a.protocol.messages import Malformed
from pointsman.a2a.protocol.protojson import (
    read_card,
    read_message,
    read_push,
    read_send,
    read_set_push,
    read_task,
    read_told,
    write_card,
    write_message,
    write_push,
    write_send,
    write_set_push,
    write_task,
    write_told,
)

MESSAGE: dict[str, Any] = {
    "kind": "message",
    "messageId": "m",
    "role": "user",
    "parts": [{"kind": "text", "text": "a"}, {"kind": "data", "data": {"snake_case": 1}}],
    "metadata": {"snake_case": 1},
}
WRITTEN: dict[str, Any] = {
    "messageId": "m",
    "role": "ROLE_USER",
    "content": [{"text": "a"}, {"data": {"data": {"snake_case": 1}}}],
    "metadata": {"snake_case": 1},
}
TASK: dict[str, Any] = {
    "kind": "task",
    "id": "t",
    "contextId": "c",
    "status": {"state": "canceled", "message": MESSAGE, "timestamp": "2026-01-01T00:00:00Z"},
    "artifacts": [{"artifactId": "a", "name": "n", "parts": [{"kind": "file", "file": {"uri": "u", "name": "f"}}]}],
    "history": [MESSAGE],
}
WRITTEN_TASK: dict[str, Any] = {
    "id": "t",
    "contextId": "c",
    "status": {"state": "TASK_STATE_CANCELLED", "message": WRITTEN, "timestamp": "2026-01-01T00:00:00Z"},
    "artifacts": [{"artifactId": "a", "name": "n", "parts": [{"file": {"fileWithUri": "u", "name": "f"}}]}],
    "history": [WRITTEN],
}
STATUS = {"kind": "status-update", "taskId": "t", "contextId": "c", "status": {"state": "working"}, "final": True}
ARTIFACT = {
    "kind": "artifact-update",
    "taskId": "t",
    "contextId": "c",
    "artifact": {"artifactId": "a", "parts": []},
    "append": True,
}


def test_messages_and_tasks_are_written_and_read_again() -> None:
    assert write_message(MESSAGE) == WRITTEN
    assert read_message(WRITTEN) == MESSAGE
    assert write_task(TASK) == WRITTEN_TASK
    assert read_task(WRITTEN_TASK) == TASK


@pytest.mark.parametrize(
    ("told", "member"),
    [(TASK, "task"), (MESSAGE, "message"), (STATUS, "statusUpdate"), (ARTIFACT, "artifactUpdate")],
)
def test_what_is_told_stands_in_a_member_of_its_name(told: dict[str, Any], member: str) -> None:
    written = write_told(told)
    assert list(written) == [member]
    assert "kind" not in written[member]
    assert read_told(written) == told
    assert read_told(told) == told, "as JSON-RPC has it"


def test_names_with_underscores_are_read_and_those_of_metadata_left_alone() -> None:
    written = {"message_id": "m", "role": "ROLE_USER", "content": WRITTEN["content"], "metadata": {"snake_case": 1}}
    assert read_message(written) == MESSAGE
    assert read_told({"msg": written}) == MESSAGE
    assert read_send({"request": written}) == {"message": MESSAGE}


def test_nothing_is_written_that_the_protocol_buffers_do_not_have() -> None:
    more = MESSAGE | {"referenceTaskIds": ["r"], "new": 1, "contextId": None}
    assert write_message(more) == WRITTEN


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b64encode(b64encode(b"\x00\x01")).decode(), b64encode(b"\x00\x01").decode()),
        (b64encode(b"\x00\x01").decode(), b64encode(b"\x00\x01").decode()),
        (b64encode(b"some words").decode(), b64encode(b"some words").decode()),
        ("not base64!", "not base64!"),
    ],
)
def test_the_bytes_of_a_file_are_read_whether_they_are_base64_once_or_twice(wire: str, content: str) -> None:
    for name in ("fileWithBytes", "file_with_bytes"):
        read = read_message({"content": [{"file": {name: wire}}]})
        assert read["parts"] == [{"kind": "file", "file": {"bytes": content}}]


def test_the_bytes_of_a_file_are_written_as_the_sdk_reads_them() -> None:
    content = b64encode(b"\x00\x01").decode()
    written = write_message({"parts": [{"kind": "file", "file": {"bytes": content, "mimeType": "a/b"}}]})
    assert written["content"] == [{"file": {"mimeType": "a/b", "fileWithBytes": b64encode(content.encode()).decode()}}]


def test_what_is_sent_has_its_configuration() -> None:
    params = {
        "message": MESSAGE,
        "configuration": {"blocking": False, "historyLength": 3, "pushNotificationConfig": {"url": "u"}},
        "metadata": {"a": 1},
    }
    written = {
        "message": WRITTEN,
        "configuration": {"blocking": False, "historyLength": 3, "pushNotification": {"url": "u"}},
        "metadata": {"a": 1},
    }
    assert write_send(params) == written
    assert read_send(written) == params


def test_silence_is_a_no_on_the_wire_and_means_to_wait_elsewhere() -> None:
    assert read_send({"message": WRITTEN, "configuration": {}})["configuration"] == {"blocking": False}
    assert read_send({"message": MESSAGE, "configuration": {}})["configuration"] == {}, "as JSON-RPC has it"
    assert write_send({"message": MESSAGE, "configuration": {}})["configuration"] == {"blocking": True}
    assert "configuration" not in write_send({"message": MESSAGE})


CONFIG = {
    "taskId": "t",
    "pushNotificationConfig": {"id": "p", "url": "u", "authentication": {"schemes": ["Bearer"], "credentials": "c"}},
}


def test_a_configuration_has_a_path_for_a_name() -> None:
    written = write_push(CONFIG)
    assert written["name"] == "tasks/t/pushNotificationConfigs/p"
    assert read_push(written) == CONFIG
    assert read_push({"name": "tasks/t/pushNotificationConfigs/p"}) == {
        "taskId": "t",
        "pushNotificationConfig": {"url": "", "id": "p"},
    }
    assert read_push({"name": "else"}, "t")["taskId"] == "t"


def test_a_configuration_is_set_in_each_of_the_ways_that_clients_have() -> None:
    written = write_set_push(CONFIG)
    assert (written["parent"], written["configId"]) == ("tasks/t", "p")
    inside = CONFIG["pushNotificationConfig"]
    for way in (
        written,
        {"parent": "tasks/t", "config_id": "p", "config": {"push_notification_config": inside}},
        {"name": "tasks/t/pushNotificationConfigs/p", "pushNotificationConfig": inside},
        {"config": inside},
        inside,
    ):
        assert read_set_push(way, "t") == CONFIG
    assert read_set_push({"configId": "p", "config": {"url": "u"}}, "t")["pushNotificationConfig"]["id"] == "p"


def test_a_card_can_be_read_by_those_who_know_the_one_form_and_by_those_who_know_the_other() -> None:
    scheme = {"type": "http", "scheme": "bearer"}
    card = {"name": "n", "securitySchemes": {"key": scheme}, "security": [{"key": []}], "skills": [{"id": "s"}]}
    written = write_card(card)
    assert written["securitySchemes"] == {"key": scheme | {"httpAuthSecurityScheme": {"scheme": "bearer"}}}
    assert written["security"] == [{"key": []}]
    assert read_card(written) == card
    requirement: list[Any] = [{"schemes": {"key": {"list": []}}}]
    buffers = {
        "name": "n",
        "securitySchemes": {"key": {"httpAuthSecurityScheme": {"scheme": "bearer"}}},
        "security": requirement,
        "skills": [{"id": "s", "security": requirement}],
    }
    assert read_card(buffers) == card | {"skills": [{"id": "s", "security": [{"key": []}]}]}


@pytest.mark.parametrize("wrong", [None, 5, {}, {"message": 5}, {"task": 5}])
def test_what_is_nothing_of_all_that_is_malformed(wrong: object) -> None:
    with pytest.raises(Malformed):
        read_told(wrong)
    with pytest.raises(Malformed):
        write_told(wrong)


FUNCTIONS: list[Callable[[object], object]] = [
    write_told,
    read_told,
    write_task,
    read_task,
    write_message,
    read_message,
    write_send,
    read_send,
    write_push,
    read_push,
    write_set_push,
    lambda value: read_set_push(value, "t"),
    write_card,
    read_card,
]
NAMES = re.findall(
    r"\w+",
    """
    id kind task message msg request statusUpdate artifactUpdate status state update timestamp parts content text data
    file bytes fileWithBytes metadata role artifacts history artifact configuration config name pushNotification
    pushNotificationConfig authentication schemes skills security securitySchemes type flows task_id
    """,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "task", "message", "oauth2", "working", "AAAA"]),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(NAMES), one, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from(FUNCTIONS))
def test_whatever_comes_is_read_or_malformed(value: object, function: Callable[[object], object]) -> None:
    with suppress(Malformed):
        json.dumps(function(value))
