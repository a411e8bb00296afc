"""The objects of 0.3 as its REST binding has them: the JSON of its protocol buffers, which is not that of its JSON-RPC.

Parts stand in ``content`` and do not say their kind, enumerations are spelled as constants, a result stands in a member
of its name, and a configuration of push notifications has a path for a name. SDKs write the names of members both with
capitals and with underscores, so both are read, and the objects of JSON-RPC are too. What is written has nothing that
the protocol buffers do not have, for SDKs refuse it.

The bytes of a file are base64 here. The SDK for Python, which most agents and clients of this binding are made with,
has the text of base64 for the bytes, so that what is on the wire is base64 twice: that is what is written, and what is
read as such where it can be.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from pointsman.a2a.protocol.cards import legacy_requirement, legacy_scheme, modern_scheme
from pointsman.a2a.protocol.messages import ROLES, Object, each, object_of
from pointsman.a2a.protocol.operations import State, state_name, state_of
from pointsman.a2a.protocol.push import CONFIG
from pointsman.a2a.protocol.tasks import MEMBERS, kind_of, timestamp

_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})+|(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)")
_ROLES: Final = {modern: legacy for legacy, modern in ROLES.items()}
_PATH: Final = re.compile(r"tasks/([^/]+)(?:/pushNotificationConfigs/(.+))?", re.DOTALL)


def write_told(value: object) -> Object:
    """A result of a message, or an event."""
    found = object_of(value, "result")
    kind = kind_of(found)
    return {MEMBERS[kind]: _WRITE[kind](found)}


def read_told(value: object) -> Object:
    """The same the other way.

    :raises Malformed: it is none
    """
    found = object_of(value, "result")
    if "msg" in found:
        found["message"] = found.pop("msg")
    for kind, member in MEMBERS.items():
        if "kind" not in found and isinstance(found.get(member), dict):
            return _READ[kind](found[member])
    kind = kind_of(found)
    return _READ[kind](found)


def write_task(value: object) -> Object:
    """A task."""
    found = object_of(value, "task")
    return _filled(
        {
            "id": found.get("id"),
            "contextId": found.get("contextId"),
            "status": _write_status(found.get("status") or {}),
            "artifacts": each(found.get("artifacts"), "artifacts", _write_artifact),
            "history": each(found.get("history"), "history", write_message),
            "metadata": found.get("metadata"),
        }
    )


def read_task(value: object) -> Object:
    """The same the other way."""
    found = object_of(value, "task")
    found["kind"] = "task"
    found.setdefault("contextId", "")
    found["status"] = _read_status(found.get("status") or {})
    for name, function in (("artifacts", _read_artifact), ("history", read_message)):
        if found.get(name) is not None:
            found[name] = each(found[name], name, function)
    return found


def write_message(value: object) -> Object:
    """A message."""
    found = object_of(value, "message")
    return _filled(
        {
            "messageId": found.get("messageId"),
            "contextId": found.get("contextId"),
            "taskId": found.get("taskId"),
            "role": ROLES.get(str(found.get("role")), "ROLE_UNSPECIFIED"),
            "content": each(found.get("parts"), "parts", _write_part),
            "metadata": found.get("metadata"),
            "extensions": found.get("extensions"),
        }
    )


def read_message(value: object) -> Object:
    """The same the other way."""
    found = object_of(value, "message")
    content = found.pop("content", None)
    found["kind"] = "message"
    role = str(found.get("role"))
    found["role"] = role if role in ROLES else _ROLES.get(role, "agent")
    found.setdefault("messageId", "")
    found["parts"] = each(found.get("parts") if content is None else content, "parts", _read_part)
    return found


def write_send(value: object) -> Object:
    """The parameters of a message that is sent."""
    found = object_of(value, "params")
    made: Object = {"message": write_message(found.get("message"))}
    if found.get("configuration") is not None:
        told = object_of(found["configuration"], "configuration")
        config = told.get(CONFIG)
        made["configuration"] = _filled(
            {
                "acceptedOutputModes": told.get("acceptedOutputModes"),
                "pushNotification": None if config is None else _write_config(config),
                "historyLength": told.get("historyLength"),
                # What is not told is false here, and with JSON-RPC it is what servers do then: wait.
                "blocking": told.get("blocking") is not False,
            }
        )
    if found.get("metadata") is not None:
        made["metadata"] = found["metadata"]
    return made


def read_send(value: object) -> Object:
    """The same the other way."""
    found = object_of(value, "params")
    if "request" in found:
        found["message"] = found.pop("request")
    is_ours = isinstance(found.get("message"), dict) and "content" in found["message"]
    found["message"] = read_message(found.get("message"))
    if found.get("configuration") is not None:
        told = found["configuration"] = object_of(found["configuration"], "configuration")
        if is_ours:
            told.setdefault("blocking", False)
        config = told.pop("pushNotification", told.get(CONFIG))
        if config is not None:
            told[CONFIG] = _read_config(config)
    return found


def write_push(value: object) -> Object:
    """The configuration of a task."""
    found = object_of(value, CONFIG)
    config = _write_config(found.get(CONFIG) or {})
    name = f"tasks/{found.get('taskId', '')}/pushNotificationConfigs/{config.get('id', '')}"
    return {"name": name, CONFIG: config}


def read_push(value: object, task: str = "") -> Object:
    """The same the other way; ``task`` is the one that it belongs to, where it does not say so itself."""
    found = object_of(value, CONFIG)
    made: Object = {"taskId": task or found.get("taskId") or ""}
    config = _read_config(found.get(CONFIG) or {})
    name = found.get("name")
    if isinstance(name, str) and (path := _PATH.fullmatch(name)):
        made["taskId"] = made["taskId"] or path[1]
        if path[2]:
            config.setdefault("id", path[2])
    return made | {CONFIG: config}


def write_set_push(value: object) -> Object:
    """The parameters of setting one."""
    config = write_push(value)
    task = object_of(value, CONFIG).get("taskId", "")
    return {"parent": f"tasks/{task}", "configId": config[CONFIG].get("id", ""), "config": config}


def read_set_push(value: object, task: str) -> Object:
    """The same the other way; some clients send the configuration of the task alone, and some its inside."""
    found = object_of(value, "params")
    config = found.get("config", found)
    if isinstance(config, dict) and CONFIG not in object_of(config, "config"):
        config = {CONFIG: {name: one for name, one in config.items() if name not in {"name", "parent"}}}
    made = read_push(config, task)
    config_id = found.get("configId")
    if config_id and not made[CONFIG].get("id"):
        made[CONFIG]["id"] = config_id
    return made


def write_card(value: object) -> Object:
    """A card, of which some SDKs read the JSON of JSON-RPC here: where both can stand side by side, they do."""
    found = object_of(value, "card")
    if isinstance(schemes := found.get("securitySchemes"), dict):
        found["securitySchemes"] = {
            name: {**one, **modern_scheme(one)} if isinstance(one, dict) else one for name, one in schemes.items()
        }
    return found


def read_card(value: object) -> Object:
    """The same the other way."""
    found = object_of(value, "card")
    if isinstance(schemes := found.get("securitySchemes"), dict):
        found["securitySchemes"] = {name: legacy_scheme(one) for name, one in schemes.items()}
    if isinstance(skills := found.get("skills"), list):
        found["skills"] = [_required(dict(one)) if isinstance(one, dict) else one for one in skills]
    return _required(found)


def _required(found: Object) -> Object:
    if isinstance(security := found.get("security"), list):
        found["security"] = [
            legacy_requirement(one) if isinstance(one, dict) and isinstance(one.get("schemes"), dict) else one
            for one in security
        ]
    return found


def _write_status(value: object) -> Object:
    found = object_of(value, "status")
    state = state_of(found.get("state"))
    message = found.get("message")
    return _filled(
        {
            "state": "TASK_STATE_CANCELLED" if state == "canceled" else state_name(state, "1.0"),
            "message": None if message is None else write_message(message),
            "timestamp": timestamp(found.get("timestamp")),
        }
    )


def _read_status(value: object) -> Object:
    found = object_of(value, "status")
    state: State = state_of(found.get("state"))
    message = found.pop("update", found.get("message"))
    found["state"] = state
    if message is not None:
        found["message"] = read_message(message)
    return found


def _write_artifact(value: object) -> Object:
    found = object_of(value, "artifact")
    names = ("artifactId", "name", "description", "metadata", "extensions")
    return _filled({name: found.get(name) for name in names}) | {
        "parts": each(found.get("parts"), "parts", _write_part)
    }


def _read_artifact(value: object) -> Object:
    found = object_of(value, "artifact")
    found.setdefault("artifactId", "")
    found["parts"] = each(found.get("parts"), "parts", _read_part)
    return found


def _write_part(found: Object) -> Object:
    made: Object = {}
    if (file := found.get("file")) is not None:
        file = object_of(file, "file")
        made["file"] = _filled({"mimeType": file.get("mimeType"), "name": file.get("name")})
        if file.get("bytes") is not None:
            made["file"]["fileWithBytes"] = b64encode(str(file["bytes"]).encode()).decode()
        else:
            made["file"]["fileWithUri"] = file.get("uri") or ""
    elif isinstance(found.get("data"), dict):
        made["data"] = {"data": found["data"]}
    else:
        made["text"] = found.get("text") or ""
    if found.get("metadata") is not None:
        made["metadata"] = found["metadata"]
    return made


def _read_part(found: Object) -> Object:
    if "kind" in found:
        return found
    if (file := found.pop("file", None)) is not None:
        told = object_of(file, "file")
        made: Object = {name: told[name] for name in ("mimeType", "name") if told.get(name)}
        if told.get("fileWithBytes") is not None:
            made["bytes"] = _once(str(told["fileWithBytes"]))
        else:
            made["uri"] = told.get("fileWithUri", told.get("uri", ""))
        return found | {"kind": "file", "file": made}
    if isinstance(data := found.get("data"), dict):
        return found | {"kind": "data", "data": data.get("data", data)}
    return found | {"kind": "text", "text": found.get("text") or ""}


def _once(text: str) -> str:
    """Base64 of the bytes, of what may be that twice."""
    try:
        inner = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return inner.decode() if _BASE64.fullmatch(inner) else text


def _write_status_update(found: Object) -> Object:
    return _filled(
        {
            "taskId": found.get("taskId"),
            "contextId": found.get("contextId"),
            "status": _write_status(found.get("status") or {}),
            "final": found.get("final") or None,
            "metadata": found.get("metadata"),
        }
    )


def _read_status_update(value: object) -> Object:
    found = _read_update(value, "status-update")
    found["status"] = _read_status(found.get("status") or {})
    found.setdefault("final", False)
    return found


def _write_artifact_update(found: Object) -> Object:
    return _filled(
        {
            "taskId": found.get("taskId"),
            "contextId": found.get("contextId"),
            "artifact": _write_artifact(found.get("artifact") or {}),
            "append": found.get("append") or None,
            "lastChunk": found.get("lastChunk") or None,
            "metadata": found.get("metadata"),
        }
    )


def _read_artifact_update(value: object) -> Object:
    found = _read_update(value, "artifact-update")
    found["artifact"] = _read_artifact(found.get("artifact") or {})
    return found


def _read_update(value: object, kind: str) -> Object:
    found = object_of(value, kind)
    found["kind"] = kind
    found.setdefault("taskId", "")
    found.setdefault("contextId", "")
    return found


def _write_config(value: object) -> Object:
    found = object_of(value, CONFIG)
    told = found.get("authentication")
    if told is not None:
        told = object_of(told, "authentication")
        told = {"schemes": told.get("schemes") or []} | _filled({"credentials": told.get("credentials")})
    return _filled({name: found.get(name) for name in ("id", "url", "token")} | {"authentication": told})


def _read_config(value: object) -> Object:
    found = object_of(value, CONFIG)
    found.setdefault("url", "")
    if found.get("authentication") is not None:
        told = found["authentication"] = object_of(found["authentication"], "authentication")
        told.setdefault("schemes", [])
    return found


def _filled(found: Object) -> Object:
    """Without members that have nothing."""
    return {name: value for name, value in found.items() if value is not None and value != []}


_WRITE: Final[Mapping[str, Callable[[Object], Any]]] = {
    "task": write_task,
    "message": write_message,
    "status-update": _write_status_update,
    "artifact-update": _write_artifact_update,
}
_READ: Final[Mapping[str, Callable[[object], Object]]] = {
    "task": read_task,
    "message": read_message,
    "status-update": _read_status_update,
    "artifact-update": _read_artifact_update,
}
