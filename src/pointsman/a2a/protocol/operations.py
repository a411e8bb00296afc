"""What can be asked of an agent, and how each version and binding calls it.

Source: the specification of A2A 1.0.1, sections 5.3 (methods), 9 (JSON-RPC) and 11 (HTTP+JSON); that of 0.3.0,
section 3.5.6.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

Version = Literal["0.3", "1.0"]
Binding = Literal["jsonrpc", "rest"]
VERSIONS: Final[tuple[Version, ...]] = ("1.0", "0.3")


class Operation(StrEnum):
    """What can be asked."""

    SEND = "send"
    STREAM = "stream"
    GET = "get"
    LIST = "list"
    CANCEL = "cancel"
    SUBSCRIBE = "subscribe"
    SET_PUSH = "set_push"
    GET_PUSH = "get_push"
    LIST_PUSH = "list_push"
    DELETE_PUSH = "delete_push"
    EXTENDED_CARD = "extended_card"

    @property
    def is_streamed(self) -> bool:
        """Whether it is answered with events."""
        return self in {Operation.STREAM, Operation.SUBSCRIBE}


State = Literal[
    "submitted", "working", "completed", "failed", "canceled", "input-required", "rejected", "auth-required", "unknown"
]
"""Of a task, by the names of version 0.3: those of the ledger, the log and the metrics too."""
TERMINAL: Final[frozenset[State]] = frozenset({"completed", "failed", "canceled", "rejected"})
"""After these nothing happens any more."""
INTERRUPTED: Final[frozenset[State]] = frozenset({"input-required", "auth-required"})
"""In these the task waits for its client, and a stream of it ends."""

_METHODS: Final[dict[Operation, tuple[str, str]]] = {
    Operation.SEND: ("SendMessage", "message/send"),
    Operation.STREAM: ("SendStreamingMessage", "message/stream"),
    Operation.GET: ("GetTask", "tasks/get"),
    # 0.3 has it in its table and not in its JSON-RPC; some agents and clients speak it all the same.
    Operation.LIST: ("ListTasks", "tasks/list"),
    Operation.CANCEL: ("CancelTask", "tasks/cancel"),
    Operation.SUBSCRIBE: ("SubscribeToTask", "tasks/resubscribe"),
    Operation.SET_PUSH: ("CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set"),
    Operation.GET_PUSH: ("GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get"),
    Operation.LIST_PUSH: ("ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"),
    Operation.DELETE_PUSH: ("DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"),
    Operation.EXTENDED_CARD: ("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"),
}
_NAMED: Final[dict[str, tuple[Operation, Version]]] = {
    **{modern: (operation, "1.0") for operation, (modern, _) in _METHODS.items()},
    **{legacy: (operation, "0.3") for operation, (_, legacy) in _METHODS.items()},
}
_STATES: Final[dict[State, str]] = {
    "submitted": "TASK_STATE_SUBMITTED",
    "working": "TASK_STATE_WORKING",
    "completed": "TASK_STATE_COMPLETED",
    "failed": "TASK_STATE_FAILED",
    "canceled": "TASK_STATE_CANCELED",
    "input-required": "TASK_STATE_INPUT_REQUIRED",
    "rejected": "TASK_STATE_REJECTED",
    "auth-required": "TASK_STATE_AUTH_REQUIRED",
    "unknown": "TASK_STATE_UNSPECIFIED",
}
_SPELLED: Final[dict[str, State]] = {
    **{modern: state for state, modern in _STATES.items()},
    **{state: state for state in _STATES},
    # As the protocol buffers of 0.3 spell it, which its REST binding speaks.
    "TASK_STATE_CANCELLED": "canceled",
}


def method_name(operation: Operation, version: Version) -> str:
    """How JSON-RPC calls it."""
    return _METHODS[operation][0 if version == "1.0" else 1]


def named(method: str) -> tuple[Operation, Version] | None:
    """What a method of JSON-RPC asks, and which version calls it so; ``None``: nothing that is known."""
    return _NAMED.get(method)


def state_name(state: State, version: Version) -> str:
    """How a version spells it."""
    return _STATES[state] if version == "1.0" else state


def state_of(text: object) -> State:
    """The state that either version spells so; ``unknown`` for all else."""
    return _SPELLED.get(text, "unknown") if isinstance(text, str) else "unknown"
