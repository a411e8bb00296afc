"""Tasks, what becomes of them, and the results and events that tell it, from one version into the other.

What stands for itself in 0.3, and says in ``kind`` what it is, stands in a member of that name in 1.0. Who is sloppy
leaves ``kind`` out, so what has none is known by its members.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pointsman.a2a.protocol.messages import (
    Malformed,
    Object,
    each,
    legacy_artifact,
    legacy_message,
    modern_artifact,
    modern_message,
    object_of,
)
from pointsman.a2a.protocol.operations import INTERRUPTED, TERMINAL, state_name, state_of

MEMBERS: Final[Mapping[str, str]] = {
    "task": "task",
    "message": "message",
    "status-update": "statusUpdate",
    "artifact-update": "artifactUpdate",
}
"""By the kind of 0.3: the member that 1.0 wraps it in."""
_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


def modern_status(value: object) -> Object:
    """A status of 0.3 in 1.0."""
    found = object_of(value, "status")
    if "state" in found:
        found["state"] = state_name(state_of(found["state"]), "1.0")
    if found.get("message") is not None:
        found["message"] = modern_message(found["message"])
    if (told := found.pop("timestamp", None)) is not None and (stamp := timestamp(told)) is not None:
        found["timestamp"] = stamp
    return found


def legacy_status(value: object) -> Object:
    """A status of 1.0 in 0.3; of none at all the state is unknown."""
    found = {} if value is None else object_of(value, "status")
    found["state"] = state_name(state_of(found.get("state")), "0.3")
    if found.get("message") is not None:
        found["message"] = legacy_message(found["message"])
    return found


def timestamp(text: object) -> str | None:
    """A time as 1.0 writes it: in UTC, with a ``Z``. One without a zone is taken for UTC; ``None``: it is no time."""
    if not isinstance(text, str):
        return None
    if _UTC.fullmatch(text):
        return text
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found.isoformat().replace("+00:00", "Z")


def modern_task(value: object) -> Object:
    """A task of 0.3 in 1.0."""
    found = object_of(value, "task")
    found.pop("kind", None)
    if found.get("status") is not None:
        found["status"] = modern_status(found["status"])
    for name, function in (("artifacts", modern_artifact), ("history", modern_message)):
        if found.get(name) is not None:
            found[name] = each(found[name], name, function)
    return found


def legacy_task(value: object) -> Object:
    """A task of 1.0 in 0.3."""
    found = object_of(value, "task")
    found["kind"] = "task"
    found.setdefault("contextId", "")
    found["status"] = legacy_status(found.get("status"))
    for name, function in (("artifacts", legacy_artifact), ("history", legacy_message)):
        if found.get(name) is not None:
            found[name] = each(found[name], name, function)
    return found


def modern_told(value: object) -> Object:
    """A result or an event of 0.3 in 1.0.

    :raises Malformed: it is none
    """
    found = object_of(value, "result")
    if wrapper_of(found) is not None:
        return found
    kind = kind_of(found)
    return {MEMBERS[kind]: _MODERN[kind](found)}


def legacy_told(value: object) -> Object:
    """A result or an event of 1.0 in 0.3.

    :raises Malformed: it is none
    """
    found = object_of(value, "result")
    wrapper = wrapper_of(found)
    if wrapper is None:
        # An agent that says 1.0 and speaks 0.3.
        kind_of(found)
        return found
    return _LEGACY[wrapper](found[wrapper])


def wrapper_of(value: Mapping[str, Any]) -> str | None:
    """The member of 1.0 that a result or an event is in; ``None``: it is none of 1.0."""
    if "kind" in value:
        return None
    # The message of a status is one level deeper, and nothing else in 0.3 has members of these names.
    return next((name for name in MEMBERS.values() if isinstance(value.get(name), dict)), None)


def kind_of(value: Mapping[str, Any]) -> str:
    """What a result or an event of 0.3 is.

    :raises Malformed: nobody can say
    """
    kind = value.get("kind")
    if isinstance(kind, str) and kind in MEMBERS:
        return kind
    if "artifact" in value:
        return "artifact-update"
    if "status" in value:
        return "task" if "id" in value else "status-update"
    if "parts" in value:
        return "message"
    raise Malformed("This is no task, message or update")


def _modern_status_update(value: object) -> Object:
    found = object_of(value, "statusUpdate")
    found.pop("kind", None)
    found.pop("final", None)
    if found.get("status") is not None:
        found["status"] = modern_status(found["status"])
    return found


def _legacy_status_update(value: object) -> Object:
    found = _legacy_update(value, "status-update")
    status = found["status"] = legacy_status(found.get("status"))
    # 1.0 ends the stream there, and tells it by nothing else.
    found["final"] = status["state"] in TERMINAL or status["state"] in INTERRUPTED
    return found


def _modern_artifact_update(value: object) -> Object:
    found = object_of(value, "artifactUpdate")
    found.pop("kind", None)
    if found.get("artifact") is not None:
        found["artifact"] = modern_artifact(found["artifact"])
    return found


def _legacy_artifact_update(value: object) -> Object:
    found = _legacy_update(value, "artifact-update")
    found["artifact"] = legacy_artifact(found.get("artifact") or {})
    return found


def _legacy_update(value: object, kind: str) -> Object:
    found = object_of(value, kind)
    found["kind"] = kind
    found.setdefault("taskId", "")
    found.setdefault("contextId", "")
    return found


_MODERN: Final[Mapping[str, Callable[[Object], Object]]] = {
    "task": modern_task,
    "message": modern_message,
    "status-update": _modern_status_update,
    "artifact-update": _modern_artifact_update,
}
_LEGACY: Final[Mapping[str, Callable[[Object], Object]]] = {
    "task": legacy_task,
    "message": legacy_message,
    "statusUpdate": _legacy_status_update,
    "artifactUpdate": _legacy_artifact_update,
}
