"""From one version into the other: parameters, results, events, cards.

Where both versions are the same, the value itself is what comes out. What cannot be read is an ``RpcError``: parameters
are the client's fault, all else is the agent's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.cards import legacy_card, modern_card
from pointsman.a2a.protocol.messages import Malformed, each, object_of
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.protocol.params import legacy_params, modern_params
from pointsman.a2a.protocol.push import legacy_notice, legacy_task_config, modern_notice, modern_task_config
from pointsman.a2a.protocol.tasks import legacy_task, legacy_told, modern_task, modern_told, wrapper_of


def params(operation: Operation, value: object, source: Version, target: Version) -> Any:
    """:raises RpcError: they are not what the operation wants (:data:`~faults.INVALID_PARAMS`)"""
    if source == target:
        return value
    try:
        return modern_params(operation, value) if target == "1.0" else legacy_params(operation, value)
    except Malformed as error:
        raise faults.refusal(faults.INVALID_PARAMS, f"Invalid parameters: {error}") from error


def result(operation: Operation, value: object, source: Version, target: Version) -> Any:
    """Of an operation that is not streamed.

    :raises RpcError: it is no result of that (:data:`~faults.INVALID_AGENT_RESPONSE`)
    """
    return _told(lambda: _result(operation, value, target), value, source, target)


def event(value: object, source: Version, target: Version) -> Any:
    """:raises RpcError: it is no event (:data:`~faults.INVALID_AGENT_RESPONSE`)"""
    return _told(lambda: modern_told(value) if target == "1.0" else legacy_told(value), value, source, target)


def card(value: object, source: Version, target: Version) -> Any:
    """A card in the form of one version, also out of a hybrid one.

    :raises RpcError: it is no card (:data:`~faults.INVALID_AGENT_RESPONSE`)
    """
    return _told(lambda: modern_card(value) if target == "1.0" else legacy_card(value), value, source, target)


def push(value: object, source: Version, target: Version) -> Any:
    """The configuration of push notifications of one task.

    :raises RpcError: it is none (:data:`~faults.INVALID_AGENT_RESPONSE`)
    """
    return _told(
        lambda: modern_task_config(value) if target == "1.0" else legacy_task_config(value), value, source, target
    )


def notice(value: object, source: Version, target: Version) -> Any:
    """What is pushed to a webhook.

    :raises RpcError: it is no such thing (:data:`~faults.INVALID_AGENT_RESPONSE`)
    """
    return _told(lambda: modern_notice(value) if target == "1.0" else legacy_notice(value), value, source, target)


def params_bytes(operation: Operation, data: bytes, source: Version, target: Version) -> bytes:
    """:func:`params` over JSON."""
    if source == target:
        return data
    return msgspec.json.encode(params(operation, _decoded(data, faults.PARSE_ERROR), source, target))


def result_bytes(operation: Operation, data: bytes, source: Version, target: Version) -> bytes:
    """:func:`result` over JSON."""
    if source == target:
        return data
    return msgspec.json.encode(result(operation, _decoded(data, faults.INVALID_AGENT_RESPONSE), source, target))


def event_bytes(data: bytes, source: Version, target: Version) -> bytes:
    """:func:`event` over JSON."""
    if source == target:
        return data
    return msgspec.json.encode(event(_decoded(data, faults.INVALID_AGENT_RESPONSE), source, target))


def _result(operation: Operation, value: object, target: Version) -> object:
    if operation is Operation.DELETE_PUSH:
        # Of a deletion nothing is told: nothing at all in 0.3, and an empty object in 1.0.
        return {} if target == "1.0" else None
    modern, legacy = _RESULTS[operation]
    return modern(value) if target == "1.0" else legacy(value)


def _modern_bare(value: object) -> object:
    return modern_task(_bare(value))


def _legacy_bare(value: object) -> object:
    return legacy_task(_bare(value))


def _bare(value: object) -> object:
    """A task that stands in a member although it is asked for by its id: some agents do that."""
    return value["task"] if isinstance(value, dict) and wrapper_of(value) == "task" else value


def _modern_list(value: object) -> object:
    found = object_of(value, "result")
    return found | {"tasks": each(found.get("tasks"), "tasks", modern_task)}


def _legacy_list(value: object) -> object:
    found = object_of(value, "result")
    return found | {"tasks": each(found.get("tasks"), "tasks", legacy_task)}


def _modern_configs(value: object) -> object:
    return {"configs": each(value, "result", modern_task_config), "nextPageToken": ""}


def _legacy_configs(value: object) -> object:
    return each(object_of(value, "result").get("configs"), "configs", legacy_task_config)


def _told(function: Callable[[], Any], value: object, source: Version, target: Version) -> Any:
    if source == target:
        return value
    try:
        return function()
    except Malformed as error:
        raise faults.refusal(faults.INVALID_AGENT_RESPONSE, f"Invalid agent response: {error}") from error


def _decoded(data: bytes, fault: faults.Fault) -> object:
    try:
        return msgspec.json.decode(data or b"null")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise faults.refusal(fault) from error


_RESULTS: Final[Mapping[Operation, tuple[Callable[[object], object], Callable[[object], object]]]] = {
    Operation.SEND: (modern_told, legacy_told),
    Operation.STREAM: (modern_told, legacy_told),
    Operation.SUBSCRIBE: (modern_told, legacy_told),
    Operation.GET: (_modern_bare, _legacy_bare),
    Operation.CANCEL: (_modern_bare, _legacy_bare),
    Operation.LIST: (_modern_list, _legacy_list),
    Operation.SET_PUSH: (modern_task_config, legacy_task_config),
    Operation.GET_PUSH: (modern_task_config, legacy_task_config),
    Operation.LIST_PUSH: (_modern_configs, _legacy_configs),
    Operation.EXTENDED_CARD: (modern_card, legacy_card),
}
"""What makes a result of 1.0, and one of 0.3."""
