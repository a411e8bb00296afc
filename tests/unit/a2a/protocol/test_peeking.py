from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import VERSIONS, Operation, Version
from pointsman.a2a.protocol.peeking import MAX_ID, MAX_REFERENCES, NAMES, Asked, Told, asked, listed, told
from pointsman.wire.jsonrpc import RpcError


def ask(operation: Operation, version: Version, value: object) -> Asked:
    return asked(operation, version, json.dumps(value).encode())


def refused(operation: Operation, version: Version, value: object) -> str:
    with pytest.raises(RpcError) as caught:
        ask(operation, version, value)
    assert caught.value.code == faults.INVALID_PARAMS.code
    return caught.value.message


@pytest.mark.parametrize(
    ("version", "configuration"),
    [
        (
            "1.0",
            {
                "returnImmediately": True,
                "historyLength": 0,
                "taskPushNotificationConfig": {"id": "p", "url": "https://x"},
            },
        ),
        ("0.3", {"blocking": False, "pushNotificationConfig": {"id": "p", "url": "https://x"}}),
    ],
)
def test_a_message_says_what_it_is_about(version: Version, configuration: dict[str, Any]) -> None:
    message = {"messageId": "m", "taskId": "t", "contextId": "c", "referenceTaskIds": ["r"], "parts": [{"taskId": 5}]}
    found = ask(
        Operation.SEND, version, {"tenant": "n", "message": message, "configuration": configuration, "metadata": {}}
    )
    assert found == Asked(
        task="t",
        context="c",
        references=("r",),
        tenant="n",
        message_id="m",
        push_id="p",
        webhook="https://x",
        has_webhook=True,
        is_immediate=True,
        history_length=0 if version == "1.0" else None,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_message_is_about_nothing_yet(version: Version) -> None:
    nulls = {"taskId": None, "contextId": None, "referenceTaskIds": None}
    for message in ({"messageId": "m"}, {"messageId": "m"} | nulls):
        assert ask(Operation.STREAM, version, {"message": message, "configuration": None}) == Asked(message_id="m")


@pytest.mark.parametrize(
    ("operation", "version", "value", "found"),
    [
        (Operation.GET, "1.0", {"id": "t", "historyLength": 2}, Asked(task="t", history_length=2)),
        (Operation.GET, "0.3", {"id": "t", "historyLength": 0}, Asked(task="t")),
        (Operation.CANCEL, "1.0", {"id": "t", "tenant": "n"}, Asked(task="t", tenant="n")),
        (Operation.SUBSCRIBE, "0.3", {"id": "t"}, Asked(task="t")),
        (Operation.LIST, "1.0", {"contextId": "c", "id": 5}, Asked(context="c")),
        (
            Operation.SET_PUSH,
            "1.0",
            {"taskId": "t", "id": "p", "url": "u"},
            Asked(task="t", push_id="p", webhook="u", has_webhook=True),
        ),
        (
            Operation.SET_PUSH,
            "0.3",
            {"taskId": "t", "pushNotificationConfig": {"url": "u"}},
            Asked(task="t", webhook="u", has_webhook=True),
        ),
        (Operation.GET_PUSH, "1.0", {"taskId": "t", "id": "p"}, Asked(task="t", push_id="p")),
        (Operation.GET_PUSH, "0.3", {"id": "t", "pushNotificationConfigId": "p"}, Asked(task="t", push_id="p")),
        (Operation.LIST_PUSH, "0.3", {"id": "t"}, Asked(task="t")),
        (Operation.DELETE_PUSH, "1.0", {"taskId": "t", "id": "p"}, Asked(task="t", push_id="p")),
    ],
)
def test_each_operation_says_whose_task_it_means(
    operation: Operation, version: Version, value: dict[str, Any], found: Asked
) -> None:
    assert ask(operation, version, value) == found


def test_the_extended_card_needs_no_parameters() -> None:
    assert asked(Operation.EXTENDED_CARD, "0.3", b"") == Asked()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "operation", [one for one in Operation if one not in (Operation.LIST, Operation.EXTENDED_CARD)]
)
def test_what_decides_has_to_be_there(operation: Operation, version: Version) -> None:
    assert "is missing" in refused(operation, version, {})


@pytest.mark.parametrize("wrong", [5, [], {}, True])
def test_an_id_is_a_text(wrong: object) -> None:
    refused(Operation.GET, "1.0", {"id": wrong})
    refused(Operation.SEND, "0.3", {"message": {"taskId": wrong}})
    refused(Operation.SEND, "1.0", {"message": {"contextId": wrong}})
    if wrong != []:
        refused(Operation.SEND, "1.0", {"message": {"referenceTaskIds": wrong}})


def test_ids_are_bounded() -> None:
    refused(Operation.GET, "1.0", {"id": "x" * (MAX_ID + 1)})
    refused(Operation.SEND, "1.0", {"message": {"referenceTaskIds": ["x"] * (MAX_REFERENCES + 1)}})


@pytest.mark.requirement("a2a.ownership")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_task_cannot_be_named_in_a_way_that_only_the_agent_reads(version: Version) -> None:
    assert ask(Operation.SEND, version, {"message": {"task_id": "t"}}).task == "t"
    assert ask(Operation.SEND, version, {"message": {"reference_task_ids": ["t"]}}).references == ("t",)
    for name in ("TaskId", "TASKID", "ta\u017fkId", "task__id", "taskid", "Task_Id"):
        assert "has to be written 'taskId'" in refused(Operation.SEND, version, {"message": {name: "t"}})
    assert "twice" in refused(Operation.SEND, version, {"message": {"taskId": "mine", "task_id": "other"}})
    refused(Operation.SEND, version, {"message": {}, "Message": {"taskId": "other"}})
    refused(Operation.GET, version, {"id": "mine", "ID": "other"})


@pytest.mark.requirement("a2a.ownership")
@settings(deadline=None)
@given(
    st.sampled_from(NAMES).flatmap(
        lambda name: st.lists(st.booleans(), min_size=len(name), max_size=len(name)).map(
            lambda ups: (name, "".join(one.upper() if up else one for one, up in zip(name, ups, strict=True)))
        )
    )
)
def test_a_member_in_other_letters_is_refused(pair: tuple[str, str]) -> None:
    name, other = pair
    try:
        ask(Operation.LIST, "1.0", {other: None})
    except RpcError:
        assert other != name
    else:
        assert other == name


@pytest.mark.requirement("a2a.webhooks")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_webhook_is_seen_under_the_name_of_either_version(version: Version) -> None:
    for name in ("pushNotificationConfig", "taskPushNotificationConfig", "push_notification_config"):
        configured = {"message": {}, "configuration": {name: {"url": "u"}}}
        assert ask(Operation.SEND, version, configured).webhook == "u"
        assert ask(Operation.SET_PUSH, version, {"taskId": "t", name: {"url": "u"}}).webhook == "u"
    both = {"pushNotificationConfig": {"url": "u"}, "taskPushNotificationConfig": {"url": "v"}}
    refused(Operation.SEND, version, {"message": {}, "configuration": both})
    refused(Operation.SET_PUSH, version, {"taskId": "t", "url": "v", "pushNotificationConfig": {"url": "u"}})


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"id": "\xff"}', b"{'id': 1}"])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        asked(Operation.GET, "1.0", body)
    assert caught.value.code == faults.PARSE_ERROR.code


STATUS = {"state": "TASK_STATE_WORKING", "timestamp": "2026-01-01T00:00:00Z"}
LEGACY_STATUS = {"state": "working", "timestamp": "2026-01-01T00:00:00Z"}
AT = STATUS["timestamp"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (
            {"task": {"id": "t", "contextId": "c", "status": STATUS}},
            Told(kind="task", task="t", context="c", state="working", at=AT, version="1.0"),
        ),
        (
            {"id": "t", "contextId": "c", "status": STATUS},
            Told(kind="task", task="t", context="c", state="working", at=AT, version="1.0"),
        ),
        (
            {"kind": "task", "id": "t", "contextId": "c", "status": LEGACY_STATUS},
            Told(kind="task", task="t", context="c", state="working", at=AT, version="0.3"),
        ),
        (
            {"message": {"messageId": "m", "contextId": "c", "parts": []}},
            Told(kind="message", context="c", is_final=True, version="1.0"),
        ),
        (
            {"kind": "message", "taskId": "t", "parts": []},
            Told(kind="message", task="t", is_final=True, version="0.3"),
        ),
        (
            {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_INPUT_REQUIRED"}}},
            Told(kind="status", task="t", state="input-required", is_final=True, version="1.0"),
        ),
        (
            {"kind": "status-update", "taskId": "t", "status": LEGACY_STATUS, "final": True},
            Told(kind="status", task="t", state="working", at=AT, is_final=True, version="0.3"),
        ),
        (
            {"artifactUpdate": {"taskId": "t", "artifact": {"artifactId": "a"}, "append": True, "lastChunk": True}},
            Told(kind="artifact", task="t", artifact="a", is_appended=True, is_last=True, version="1.0"),
        ),
        (
            {"kind": "artifact-update", "taskId": "t", "artifact": {"artifactId": "a"}, "append": None},
            Told(kind="artifact", task="t", artifact="a", version="0.3"),
        ),
        (
            {"taskId": "t", "status": {"state": "failed"}},
            Told(kind="status", task="t", state="failed", is_final=True, version="0.3"),
        ),
        ({"messageId": "m", "parts": []}, Told(kind="message", is_final=True)),
        ({"id": "p", "taskId": "t", "url": "u"}, Told(kind="other", task="t")),
        ({}, Told(kind="other")),
        ([], Told(kind="other")),
        (None, Told(kind="other")),
        ({"kind": "task", "id": 5}, Told(kind="other")),
    ],
)
def test_what_an_agent_tells_is_known_in_either_form(value: object, found: Told) -> None:
    assert told(json.dumps(value).encode()) == found


def test_a_listing_is_many_tasks() -> None:
    value = {"tasks": [{"id": "a", "status": {"state": "working"}}, {"id": "b", "contextId": "c"}], "totalSize": 2}
    found = listed(json.dumps(value).encode())
    assert [(one.kind, one.task, one.context, one.state) for one in found] == [
        ("task", "a", "", "working"),
        ("task", "b", "c", None),
    ]
    assert listed(b"{}") == []


@pytest.mark.parametrize("body", [b"[]", b'{"tasks": 5}', b'{"tasks": [{"id": 5}]}', b"x"])
def test_a_listing_that_is_none_is_the_agents_fault(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        listed(body)
    assert caught.value.code == faults.INVALID_AGENT_RESPONSE.code


def test_an_answer_that_is_no_json_is_the_agents_fault() -> None:
    with pytest.raises(RpcError) as caught:
        told(b"<html>")
    assert caught.value.code == faults.INVALID_AGENT_RESPONSE.code
