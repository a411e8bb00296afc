"""What parameters, results and events are about: the few members that decide, of bytes that are passed on as they are.

Whose task a request means is decided here and acted on by the agent, so both have to read the same. Some agents take
``task_id`` for ``taskId``, and some take ``TASKID`` for it too: the first is read here as well, the second is refused,
and so is a member that comes under two names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import INTERRUPTED, TERMINAL, Operation, State, Version, state_of
from pointsman.wire.jsonrpc import RpcError

Kind = Literal["task", "message", "status", "artifact", "other"]
MAX_ID: Final = 1_000
"""Characters of an id."""
MAX_REFERENCES: Final = 100
CONFIGS: Final = ("taskPushNotificationConfig", "pushNotificationConfig")
"""What 1.0 and 0.3 call the member with the configuration of push notifications. Either is looked at for both, for an
agent may do so too."""
NAMES: Final = (
    "id",
    "taskId",
    "contextId",
    "messageId",
    "referenceTaskIds",
    "message",
    "configuration",
    "tenant",
    "historyLength",
    "returnImmediately",
    "blocking",
    "url",
    "taskPushNotificationConfig",
    "pushNotificationConfig",
    "pushNotificationConfigId",
)
"""The members that are looked at, at any level."""
_FOLDED: Final = {name.casefold(): name for name in NAMES}
_SNAKES: Final = {"".join("_" + one.lower() if one.isupper() else one for one in name): name for name in NAMES}
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Decoder(str | None)
_TEXTS: Final = msgspec.json.Decoder(list[str] | None)
_BOOL: Final = msgspec.json.Decoder(bool | None)
_INT: Final = msgspec.json.Decoder(int | None)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is about; an empty text: it does not say."""

    task: str = ""
    context: str = ""
    references: tuple[str, ...] = ()
    """Other tasks that a message means."""
    tenant: str = ""
    message_id: str = ""
    push_id: str = ""
    """Of a configuration of push notifications."""
    webhook: str = ""
    """Where such a configuration, alone or beside a message, wants to be told."""
    has_webhook: bool = False
    """Whether there is such a configuration, whatever is in it."""
    is_immediate: bool = False
    """Whether a message is to be answered before its task has ended."""
    history_length: int | None = None
    """How many messages of the history are wanted; ``None``: all of them."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a result or an event is about."""

    kind: Kind
    task: str = ""
    context: str = ""
    state: State | None = None
    """``None``: it does not tell one."""
    at: str = ""
    """When it came into that state, as it stands there."""
    is_final: bool = False
    """Whether nothing comes after it in a stream."""
    artifact: str = ""
    """Its id, of an update of an artifact."""
    is_appended: bool = False
    is_last: bool = False
    version: Version | None = None
    """Of which it has the form; ``None``: both have it."""


def asked(operation: Operation, version: Version, params: bytes) -> Asked:
    """What a request is about.

    :raises RpcError: what decides is not there, or not of the right type, or under a name that is not clear
    """
    try:
        found = _members(params or b"{}")
        if operation in {Operation.SEND, Operation.STREAM}:
            return _of_message(found, version)
        if operation in {Operation.LIST, Operation.EXTENDED_CARD}:
            length = _length(found, version)
            return Asked(context=_text(found, "contextId"), tenant=_text(found, "tenant"), history_length=length)
        return _of_task(operation, found, version)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise faults.refusal(faults.PARSE_ERROR) from error


def told(data: bytes) -> Told:
    """What a result of a message or of a task is about, or an event, in either version's form.

    What has not the shape of one is of the kind ``other``.

    :raises RpcError: it is no JSON
    """
    try:
        return _told(_TOLD.decode(data))
    except msgspec.ValidationError:
        return Told(kind="other")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise faults.refusal(faults.INVALID_AGENT_RESPONSE) from error


def listed(data: bytes) -> list[Told]:
    """The same of each task in the result of a listing.

    :raises RpcError: it is no such result
    """
    try:
        return [_told(one, "task") for one in _LISTED.decode(data).tasks or ()]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise faults.refusal(faults.INVALID_AGENT_RESPONSE) from error


class _Status(msgspec.Struct, frozen=True):
    state: str | None = None
    timestamp: Any = None


class _Artifact(msgspec.Struct, frozen=True, rename="camel"):
    artifact_id: str | None = None


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    kind: str | None = None
    id: str | None = None
    task_id: str | None = None
    context_id: str | None = None
    status: _Status | None = None
    artifact: _Artifact | None = None
    append: bool | None = None
    last_chunk: bool | None = None
    final: bool | None = None
    parts: Raw = Raw(b"")


class _Wrapped(_Body, frozen=True, rename="camel"):
    task: _Body | None = None
    message: _Body | None = None
    status_update: _Body | None = None
    artifact_update: _Body | None = None


class _Tasks(msgspec.Struct, frozen=True):
    tasks: list[_Body] | None = None


_TOLD: Final = msgspec.json.Decoder(_Wrapped)
_LISTED: Final = msgspec.json.Decoder(_Tasks)
_KINDS: Final[Mapping[str, Kind]] = {
    "task": "task",
    "message": "message",
    "status-update": "status",
    "artifact-update": "artifact",
}


def _told(found: _Body, kind: Kind | None = None) -> Told:
    is_wrapped = False
    if isinstance(found, _Wrapped) and found.kind is None:
        wrapped: tuple[tuple[_Body | None, Kind], ...] = (
            (found.status_update, "status"),
            (found.artifact_update, "artifact"),
            (found.task, "task"),
            (found.message, "message"),
        )
        for one, its_kind in wrapped:
            if one is not None:
                found, kind, is_wrapped = one, its_kind, True
                break
    kind = kind or _kind(found)
    status = found.status
    state = None if status is None else state_of(status.state)
    return Told(
        kind=kind,
        task=(found.id if kind == "task" else found.task_id) or "",
        context=found.context_id or "",
        state=state,
        at=found.status.timestamp if found.status is not None and isinstance(found.status.timestamp, str) else "",
        is_final=kind == "message" or bool(found.final) or state in TERMINAL or state in INTERRUPTED,
        artifact=(found.artifact.artifact_id or "") if found.artifact is not None else "",
        is_appended=bool(found.append),
        is_last=bool(found.last_chunk),
        version=_version(found, is_wrapped=is_wrapped),
    )


def _kind(found: _Body) -> Kind:
    if found.kind is not None and found.kind in _KINDS:
        return _KINDS[found.kind]
    if found.artifact is not None:
        return "artifact"
    if found.status is not None:
        return "status" if found.id is None else "task"
    return "message" if found.parts else "other"


def _version(found: _Body, *, is_wrapped: bool) -> Version | None:
    if is_wrapped:
        return "1.0"
    if found.kind in _KINDS:
        return "0.3"
    state = found.status.state if found.status is not None else None
    if state is None:
        return None
    return "1.0" if state.startswith("TASK_STATE_") else "0.3"


def _of_message(found: Mapping[str, Raw], version: Version) -> Asked:
    if "message" not in found:
        raise _invalid("'message' is missing")
    message = _members(found["message"])
    told = _members(found["configuration"]) if _is_there(found, "configuration") else {}
    config = _config(told)
    references = _TEXTS.decode(message["referenceTaskIds"]) if "referenceTaskIds" in message else None
    if references and len(references) > MAX_REFERENCES:
        raise _invalid(f"'referenceTaskIds' has more than {MAX_REFERENCES} ids")
    is_modern = version == "1.0"
    is_immediate = _flag(told, "returnImmediately") is True if is_modern else _flag(told, "blocking") is False
    return Asked(
        task=_text(message, "taskId"),
        context=_text(message, "contextId"),
        references=tuple(references or ()),
        tenant=_text(found, "tenant"),
        message_id=_text(message, "messageId"),
        push_id=_text(config or {}, "id"),
        webhook=_text(config or {}, "url"),
        has_webhook=config is not None,
        is_immediate=is_immediate,
        history_length=_length(told, version),
    )


def _of_task(operation: Operation, found: Mapping[str, Raw], version: Version) -> Asked:
    is_push = operation in {Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH}
    tenant = _text(found, "tenant")
    if operation is Operation.SET_PUSH:
        inner = _config(found)
        if inner is not None and "url" in found:
            raise _invalid("'url' is there twice")
        config = found if inner is None else inner
        task, push_id, webhook = _needed(found, "taskId"), _text(config, "id"), _text(config, "url")
        return Asked(task=task, tenant=tenant, push_id=push_id, webhook=webhook, has_webhook=True)
    if is_push and version == "1.0":
        return Asked(task=_needed(found, "taskId"), tenant=tenant, push_id=_text(found, "id"))
    push_id = _text(found, "pushNotificationConfigId") if is_push else ""
    length = _length(found, version)
    return Asked(task=_needed(found, "id"), tenant=tenant, push_id=push_id, history_length=length)


def _config(found: Mapping[str, Raw]) -> dict[str, Raw] | None:
    names = [name for name in CONFIGS if _is_there(found, name)]
    if len(names) > 1:
        raise _invalid(f"{names[0]!r} is there twice")
    return _members(found[names[0]]) if names else None


def _members(data: bytes | Raw) -> dict[str, Raw]:
    found = _MEMBERS.decode(data)
    for key in tuple(found):
        name = _FOLDED.get(key.replace("_", "").casefold())
        if name is None or name == key:
            continue
        if _SNAKES.get(key) != name:
            raise _invalid(f"{key!r} has to be written {name!r}")
        if name in found:
            raise _invalid(f"{name!r} is there twice")
        found[name] = found.pop(key)
    return found


def _is_there(found: Mapping[str, Raw], name: str) -> bool:
    return name in found and bytes(found[name]) != b"null"


def _text(found: Mapping[str, Raw], name: str) -> str:
    value = found.get(name)
    if value is None:
        return ""
    text = _TEXT.decode(value) or ""
    if len(text) > MAX_ID and name != "url":
        raise _invalid(f"{name!r} has more than {MAX_ID} characters")
    return text


def _needed(found: Mapping[str, Raw], name: str) -> str:
    text = _text(found, name)
    if not text:
        raise _invalid(f"{name!r} is missing")
    return text


def _flag(found: Mapping[str, Raw], name: str) -> bool | None:
    value = found.get(name)
    return None if value is None else _BOOL.decode(value)


def _length(found: Mapping[str, Raw], version: Version) -> int | None:
    value = found.get("historyLength")
    length = None if value is None else _INT.decode(value)
    return length or None if version == "0.3" else length


def _invalid(text: str) -> RpcError:
    return faults.refusal(faults.INVALID_PARAMS, f"Invalid parameters: {text}"[:500])
