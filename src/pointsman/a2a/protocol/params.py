"""The parameters of each operation, from one version into the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pointsman.a2a.protocol.messages import Object, legacy_message, modern_message, object_of
from pointsman.a2a.protocol.operations import Operation, Version, state_name, state_of
from pointsman.a2a.protocol.push import legacy_config, legacy_task_config, modern_config, modern_task_config


def modern_params(operation: Operation, value: object) -> Object:
    """Those of 0.3 in 1.0."""
    return _MODERN[operation](object_of({} if value is None else value, "params"))


def legacy_params(operation: Operation, value: object) -> Object:
    """Those of 1.0 in 0.3."""
    found = object_of({} if value is None else value, "params")
    found.pop("tenant", None)
    if operation is Operation.SEND and found.get("configuration") is None:
        # 1.0 waits for the task unless it is told not to; what 0.3 does is left to each agent.
        found["configuration"] = {}
    return _LEGACY[operation](found)


def _modern_send(found: Object) -> Object:
    found["message"] = modern_message(found.get("message"))
    if found.get("configuration") is not None:
        told = found["configuration"] = object_of(found["configuration"], "configuration")
        config = told.pop("pushNotificationConfig", None)
        if config is not None:
            told["taskPushNotificationConfig"] = modern_config(config)
        _modern_length(told)
        is_blocking = told.pop("blocking", None)
        if is_blocking is not None:
            told["returnImmediately"] = not is_blocking
    return found


def _legacy_send(found: Object) -> Object:
    found["message"] = legacy_message(found.get("message"))
    if found.get("configuration") is not None:
        told = found["configuration"] = object_of(found["configuration"], "configuration")
        config = told.pop("taskPushNotificationConfig", None)
        if config is not None:
            told["pushNotificationConfig"] = legacy_config(config)
        told["blocking"] = not told.pop("returnImmediately", False)
    return found


def _modern_length(found: Object) -> None:
    """All of the history is 0 in 0.3, and no number in 1.0, where 0 is none of it."""
    if not found.get("historyLength"):
        found.pop("historyLength", None)


def _modern_get(found: Object) -> Object:
    found.pop("metadata", None)
    _modern_length(found)
    return found


def _modern_list(found: Object) -> Object:
    return _list(found, "1.0")


def _legacy_list(found: Object) -> Object:
    return _list(found, "0.3")


def _list(found: Object, version: Version) -> Object:
    """0.3 has the operation without saying what it looks like: as that of 1.0, with its own names of states."""
    if found.get("status") is not None:
        found["status"] = state_name(state_of(found["status"]), version)
    return found


def _without_metadata(found: Object) -> Object:
    found.pop("metadata", None)
    return found


def _same(found: Object) -> Object:
    return found


def _modern_push_ids(found: Object) -> Object:
    """0.3 has the task's id where 1.0 has that of the configuration."""
    found.pop("metadata", None)
    task, config = found.pop("id", ""), found.pop("pushNotificationConfigId", None)
    found["taskId"] = task
    if config is not None:
        found["id"] = config
    return found


def _modern_get_push(found: Object) -> Object:
    """0.3 may leave out which one is meant: the one that was set without an id."""
    found = _modern_push_ids(found)
    found.setdefault("id", found["taskId"])
    return found


def _modern_set_push(found: Object) -> Object:
    """What has no id of its own in 0.3 has that of the task."""
    found = modern_task_config(found)
    if not found.get("id"):
        found["id"] = found.get("taskId", "")
    return found


def _legacy_push_ids(found: Object) -> Object:
    task, config = found.pop("taskId", ""), found.pop("id", None)
    found["id"] = task
    if config:
        found["pushNotificationConfigId"] = config
    return found


def _nothing(_: Object) -> Object:
    return {}


_MODERN: Final[Mapping[Operation, Callable[[Object], Object]]] = {
    Operation.SEND: _modern_send,
    Operation.STREAM: _modern_send,
    Operation.GET: _modern_get,
    Operation.LIST: _modern_list,
    Operation.CANCEL: _same,
    Operation.SUBSCRIBE: _without_metadata,
    Operation.SET_PUSH: _modern_set_push,
    Operation.GET_PUSH: _modern_get_push,
    Operation.LIST_PUSH: _modern_push_ids,
    Operation.DELETE_PUSH: _modern_push_ids,
    Operation.EXTENDED_CARD: _nothing,
}
_LEGACY: Final[Mapping[Operation, Callable[[Object], Object]]] = {
    Operation.SEND: _legacy_send,
    Operation.STREAM: _legacy_send,
    Operation.GET: _same,
    Operation.LIST: _legacy_list,
    Operation.CANCEL: _same,
    Operation.SUBSCRIBE: _same,
    Operation.SET_PUSH: legacy_task_config,
    Operation.GET_PUSH: _legacy_push_ids,
    Operation.LIST_PUSH: _legacy_push_ids,
    Operation.DELETE_PUSH: _legacy_push_ids,
    Operation.EXTENDED_CARD: _nothing,
}
