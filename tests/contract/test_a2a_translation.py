"""What the gateway makes of an object of the one version is what the official SDK makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2 as old
from a2a.compat.v0_3 import conversions, types
from a2a.compat.v0_3.proto_utils import FromProto, ToProto
from a2a.types import a2a_pb2 as pb2
from contract import a2a_objects as objects
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pointsman.a2a.protocol import protojson, translation
from pointsman.a2a.protocol.operations import Operation

pytestmark = pytest.mark.requirement("a2a.translation")
Json = dict[str, Any]

EXCEPTIONS = {
    "final": "1.0 ends a stream at an interrupted state too, and 0.3 is told so by `final`; the SDK leaves it open.",
    "append": "What is not told of a chunk is not told; the SDK says that it is neither appended nor the last one.",
    "ids": "A configuration of push notifications without an id has that of its task, as servers of 0.3 have it; the "
    "SDK leaves it out.",
    "silence": "A configuration that does not say whether to wait does so over the REST of 0.3 too, where silence is a "
    "no; the SDK makes it one.",
    "empty": "An empty metadata stays; the SDK leaves it out. The objects here have none.",
    "waits": "A message without a configuration waits for its task in 1.0, which 0.3 has to be told; the SDK does not. "
    "The messages of 1.0 here have one.",
    "interfaces": "A main interface that is told again is told once, and a card without one of 0.3 keeps those that it "
    "has; the SDK tells it twice, and refuses the card. The objects here have neither.",
    "flows": "Of several OAuth flows 1.0 can have one: the first, and not the last. The objects here have one.",
    "times": "A time without a zone is taken for UTC, and what is no time is left out; the SDK refuses the object. The "
    "objects here have times with a zone.",
}
"""Where the two differ, and why."""


def parsed(value: Json, into: Message) -> Message:
    """As the SDK reads it."""
    return ParseDict(value, into)


def dumped(model: BaseModel) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def as_the_sdk_says(value: Json) -> Json:
    """Ours, with the exceptions that are in values taken back."""
    if value.get("kind") == "status-update":
        state = value["status"]["state"]
        value = value | {"final": state in {"completed", "canceled", "failed", "rejected"}}
    if value.get("kind") == "artifact-update":
        value = {"append": False, "lastChunk": False} | value
    return value


@settings(max_examples=150, deadline=None)
@given(objects.modern_events)
def test_an_event_of_1_0_is_told_in_0_3(value: Json) -> None:
    theirs = conversions.to_compat_stream_response(parsed(value, pb2.StreamResponse())).result
    ours = translation.event(value, "1.0", "0.3")
    assert dumped(type(theirs).model_validate(as_the_sdk_says(ours))) == dumped(theirs)


@settings(max_examples=150, deadline=None)
@given(objects.legacy_events)
def test_an_event_of_0_3_is_told_in_1_0(value: Json) -> None:
    model = types.SendStreamingMessageSuccessResponse.model_validate({"id": 1, "jsonrpc": "2.0", "result": value})
    ours = translation.event(value, "0.3", "1.0")
    assert parsed(ours, pb2.StreamResponse()) == conversions.to_core_stream_response(model)


@settings(max_examples=80, deadline=None)
@given(objects.modern_events)
def test_what_goes_to_0_3_and_back_is_what_it_was(value: Json) -> None:
    legacy = translation.event(value, "1.0", "0.3")
    assert translation.event(legacy, "0.3", "1.0") == value


@settings(max_examples=60, deadline=None)
@given(objects.modern_sends)
def test_a_message_of_1_0_is_sent_in_0_3(value: Json) -> None:
    theirs = conversions.to_compat_send_message_request(parsed(value, pb2.SendMessageRequest()), 1)
    for operation in (Operation.SEND, Operation.STREAM):
        ours = translation.params(operation, value, "1.0", "0.3")
        assert dumped(types.MessageSendParams.model_validate(ours)) == dumped(theirs.params)


@settings(max_examples=60, deadline=None)
@given(objects.legacy_sends)
def test_a_message_of_0_3_is_sent_in_1_0(value: Json) -> None:
    request = types.SendMessageRequest.model_validate({"id": 1, "params": value})
    for operation in (Operation.SEND, Operation.STREAM):
        ours = translation.params(operation, value, "0.3", "1.0")
        assert parsed(ours, pb2.SendMessageRequest()) == conversions.to_core_send_message_request(request)


@settings(max_examples=60, deadline=None)
@given(objects.modern_cards)
def test_a_card_of_1_0_is_told_in_0_3(value: Json) -> None:
    theirs = conversions.to_compat_agent_card(parsed(value, pb2.AgentCard()))
    ours = translation.card(value, "1.0", "0.3")
    assert dumped(types.AgentCard.model_validate(ours)) == dumped(theirs)


@settings(max_examples=60, deadline=None)
@given(objects.legacy_cards)
def test_a_card_of_0_3_is_told_in_1_0(value: Json) -> None:
    theirs = conversions.to_core_agent_card(types.AgentCard.model_validate(value))
    assert parsed(translation.card(value, "0.3", "1.0"), pb2.AgentCard()) == theirs


ids = objects.texts
TO_CORE: list[tuple[Operation, Any, type[Message], Callable[[Any], Message], type[BaseModel]]] = [
    (
        Operation.GET,
        objects.made({"id": ids}, historyLength=st.integers(0, 9), metadata=objects.metadata),
        pb2.GetTaskRequest,
        conversions.to_core_get_task_request,
        types.GetTaskRequest,
    ),
    (
        Operation.CANCEL,
        objects.made({"id": ids}, metadata=objects.metadata),
        pb2.CancelTaskRequest,
        conversions.to_core_cancel_task_request,
        types.CancelTaskRequest,
    ),
    (
        Operation.SUBSCRIBE,
        objects.made({"id": ids}, metadata=objects.metadata),
        pb2.SubscribeToTaskRequest,
        conversions.to_core_subscribe_to_task_request,
        types.TaskResubscriptionRequest,
    ),
    (
        Operation.SET_PUSH,
        objects.legacy_task_push,
        pb2.TaskPushNotificationConfig,
        conversions.to_core_create_task_push_notification_config_request,
        types.SetTaskPushNotificationConfigRequest,
    ),
    (
        Operation.GET_PUSH,
        objects.made({"id": ids}, pushNotificationConfigId=ids),
        pb2.GetTaskPushNotificationConfigRequest,
        conversions.to_core_get_task_push_notification_config_request,
        types.GetTaskPushNotificationConfigRequest,
    ),
    (
        Operation.LIST_PUSH,
        objects.made({"id": ids}),
        pb2.ListTaskPushNotificationConfigsRequest,
        conversions.to_core_list_task_push_notification_config_request,
        types.ListTaskPushNotificationConfigRequest,
    ),
    (
        Operation.DELETE_PUSH,
        objects.made({"id": ids, "pushNotificationConfigId": ids}),
        pb2.DeleteTaskPushNotificationConfigRequest,
        conversions.to_core_delete_task_push_notification_config_request,
        types.DeleteTaskPushNotificationConfigRequest,
    ),
]
TO_COMPAT: list[tuple[Operation, Any, type[Message], Callable[[Any, Any], Any], type[BaseModel]]] = [
    (
        Operation.GET,
        objects.made({"id": ids}, historyLength=st.integers(0, 9)),
        pb2.GetTaskRequest,
        conversions.to_compat_get_task_request,
        types.TaskQueryParams,
    ),
    (
        Operation.CANCEL,
        objects.made({"id": ids}, metadata=objects.metadata),
        pb2.CancelTaskRequest,
        conversions.to_compat_cancel_task_request,
        types.TaskIdParams,
    ),
    (
        Operation.SUBSCRIBE,
        objects.made({"id": ids}),
        pb2.SubscribeToTaskRequest,
        conversions.to_compat_subscribe_to_task_request,
        types.TaskIdParams,
    ),
    (
        Operation.SET_PUSH,
        objects.modern_task_push,
        pb2.TaskPushNotificationConfig,
        conversions.to_compat_create_task_push_notification_config_request,
        types.TaskPushNotificationConfig,
    ),
    (
        Operation.GET_PUSH,
        objects.made({"taskId": ids, "id": ids}),
        pb2.GetTaskPushNotificationConfigRequest,
        conversions.to_compat_get_task_push_notification_config_request,
        types.GetTaskPushNotificationConfigParams,
    ),
    (
        Operation.LIST_PUSH,
        objects.made({"taskId": ids}),
        pb2.ListTaskPushNotificationConfigsRequest,
        conversions.to_compat_list_task_push_notification_config_request,
        types.ListTaskPushNotificationConfigParams,
    ),
    (
        Operation.DELETE_PUSH,
        objects.made({"taskId": ids, "id": ids}),
        pb2.DeleteTaskPushNotificationConfigRequest,
        conversions.to_compat_delete_task_push_notification_config_request,
        types.DeleteTaskPushNotificationConfigParams,
    ),
]


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_all_other_parameters_of_0_3_are_told_in_1_0(data: st.DataObject) -> None:
    operation, values, core, convert, model = data.draw(st.sampled_from(TO_CORE))
    value = data.draw(values)
    ours = translation.params(operation, value, "0.3", "1.0")
    theirs = convert(model.model_validate({"id": 1, "params": value}))
    if operation in {Operation.GET_PUSH, Operation.SET_PUSH} and not theirs.id:
        theirs.id = theirs.task_id
    assert parsed(ours, core()) == theirs


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_all_other_parameters_of_1_0_are_told_in_0_3(data: st.DataObject) -> None:
    operation, values, core, convert, model = data.draw(st.sampled_from(TO_COMPAT))
    value = data.draw(values)
    theirs = convert(parsed(value, core()), 1).params
    ours = translation.params(operation, value, "1.0", "0.3")
    assert dumped(model.model_validate(ours)) == dumped(theirs)


@settings(max_examples=60, deadline=None)
@given(st.lists(objects.modern_task_push, max_size=2), st.lists(objects.legacy_task_push, max_size=2))
def test_lists_of_configurations_are_told_in_both(modern: list[Json], legacy: list[Json]) -> None:
    core = parsed({"configs": modern}, pb2.ListTaskPushNotificationConfigsResponse())
    root = conversions.to_compat_list_task_push_notification_config_response(core, 1).root
    assert isinstance(root, types.ListTaskPushNotificationConfigSuccessResponse)
    ours = translation.result(Operation.LIST_PUSH, {"configs": modern}, "1.0", "0.3")
    assert [dumped(types.TaskPushNotificationConfig.model_validate(one)) for one in ours] == [
        dumped(one) for one in root.result
    ]
    model = types.ListTaskPushNotificationConfigResponse.model_validate({"id": 1, "result": legacy})
    ours = translation.result(Operation.LIST_PUSH, legacy, "0.3", "1.0")
    theirs = conversions.to_core_list_task_push_notification_config_response(model)
    assert parsed(ours, pb2.ListTaskPushNotificationConfigsResponse()) == theirs


@settings(max_examples=60, deadline=None)
@given(objects.modern_tasks, objects.legacy_tasks)
def test_a_task_that_is_asked_for_is_told_in_both(modern: Json, legacy: Json) -> None:
    theirs = conversions.to_compat_task(parsed(modern, pb2.Task()))
    ours = translation.result(Operation.GET, modern, "1.0", "0.3")
    assert dumped(types.Task.model_validate(ours)) == dumped(theirs)
    ours = translation.result(Operation.CANCEL, legacy, "0.3", "1.0")
    assert parsed(ours, pb2.Task()) == conversions.to_core_task(types.Task.model_validate(legacy))


def model_of(event: Json) -> Any:
    return types.SendStreamingMessageSuccessResponse.model_validate({"id": 1, "result": event}).result


@settings(max_examples=100, deadline=None)
@given(objects.legacy_events)
def test_the_rest_of_0_3_gets_an_event_as_its_protocol_buffers_have_it(value: Json) -> None:
    theirs = ToProto.stream_response(model_of(value))
    assert parsed(protojson.write_told(value), old.StreamResponse()) == theirs


@settings(max_examples=100, deadline=None)
@given(objects.legacy_events, st.booleans())
def test_the_rest_of_0_3_tells_an_event_as_its_protocol_buffers_have_it(value: Json, has_underscores: bool) -> None:
    sent = ToProto.stream_response(model_of(value))
    ours = protojson.read_told(MessageToDict(sent, preserving_proto_field_name=has_underscores))
    theirs = dumped(FromProto.stream_response(sent))
    # Nothing at all is empty there.
    assert without_empty(dumped(model_of(ours))) == without_empty(theirs)


@example(
    send={"message": {"kind": "message", "messageId": "0", "role": "user", "parts": []}},
    push={"taskId": "0", "pushNotificationConfig": {"url": "0", "id": "/"}},
    has_underscores=False,
)
@example(
    send={"message": {"kind": "message", "messageId": "0", "role": "user", "parts": []}},
    push={"taskId": "0", "pushNotificationConfig": {"url": "0", "id": "\n"}},
    has_underscores=False,
)
@settings(max_examples=60, deadline=None)
@given(objects.legacy_sends, objects.legacy_task_push.filter(lambda one: "/" not in one["taskId"]), st.booleans())
def test_the_rest_of_0_3_asks_as_its_protocol_buffers_have_it(send: Json, push: Json, has_underscores: bool) -> None:
    model = types.MessageSendParams.model_validate(send)
    sent = old.SendMessageRequest(
        request=ToProto.message(model.message),
        configuration=ToProto.message_send_configuration(model.configuration) if model.configuration else None,
        metadata=ToProto.metadata(model.metadata),
    )
    wire = MessageToDict(sent, preserving_proto_field_name=has_underscores)
    ours = protojson.read_send(wire)
    theirs = dumped(FromProto.message_send_params(sent))
    assert without_empty(dumped(types.MessageSendParams.model_validate(ours))) == without_empty(theirs)
    if model.configuration is not None and model.configuration.blocking is None:
        sent.configuration.blocking = True
    assert parsed(protojson.write_send(send), old.SendMessageRequest()) == sent
    config = ToProto.task_push_notification_config(types.TaskPushNotificationConfig.model_validate(push))
    ours = protojson.read_push(MessageToDict(config, preserving_proto_field_name=has_underscores))
    if "id" in push["pushNotificationConfig"]:
        assert parsed(protojson.write_push(push), old.TaskPushNotificationConfig()) == config
        assert ours == push


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: without_empty(one) for name, one in value.items()}
        return {name: one for name, one in found.items() if one not in (None, "", [], {}, False)}
    return [without_empty(one) for one in value] if isinstance(value, list) else value
