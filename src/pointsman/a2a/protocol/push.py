"""Configurations of push notifications, and what is pushed, from one version into the other.

0.3 has the configuration in a member beside the id of the task, and a list of ways to show who one is; in 1.0 all of
that is one object, with one way. What is pushed is a whole task in 0.3, and an event as of a stream in 1.0.
"""

from __future__ import annotations

from typing import Final

from pointsman.a2a.protocol.messages import Object, legacy_message, object_of
from pointsman.a2a.protocol.tasks import legacy_status, legacy_task, modern_told, wrapper_of

CONFIG: Final = "pushNotificationConfig"


def modern_config(value: object) -> Object:
    """What a configuration of 0.3 has without its task, in 1.0."""
    found = object_of(value, CONFIG)
    if (told := found.pop("authentication", None)) is not None:
        told = object_of(told, "authentication")
        schemes = told.pop("schemes", None)
        if isinstance(schemes, list) and schemes:
            told["scheme"] = schemes[0]
        found["authentication"] = told
    return found


def legacy_config(value: object) -> Object:
    """What a configuration of 1.0 has without its task, in 0.3."""
    found = object_of(value, CONFIG)
    for name in ("tenant", "taskId"):
        found.pop(name, None)
    found.setdefault("url", "")
    if (told := found.pop("authentication", None)) is not None:
        told = object_of(told, "authentication")
        scheme = told.pop("scheme", None)
        told["schemes"] = [scheme] if scheme else []
        found["authentication"] = told
    return found


def modern_task_config(value: object) -> Object:
    """The configuration of a task of 0.3 in 1.0."""
    found = object_of(value, CONFIG)
    told = found.pop(CONFIG, None)
    return {**found, **modern_config({} if told is None else told)}


def legacy_task_config(value: object) -> Object:
    """The configuration of a task of 1.0 in 0.3."""
    task = object_of(value, CONFIG).get("taskId", "")
    return {"taskId": task, CONFIG: legacy_config(value)}


def modern_notice(value: object) -> Object:
    """What an agent of 0.3 pushes, as one of 1.0 does."""
    return modern_told(value)


def legacy_notice(value: object) -> Object:
    """What an agent of 1.0 pushes, as one of 0.3 does: a task, of which there is what the event knows of it."""
    found = object_of(value, "notification")
    wrapper = wrapper_of(found)
    if wrapper in {None, "task"}:
        return legacy_task(found if wrapper is None else found["task"])
    told = object_of(found[str(wrapper)], "notification")
    if wrapper == "message":
        return legacy_message(told)
    task: Object = {"kind": "task", "id": told.get("taskId", ""), "contextId": told.get("contextId", "")}
    if wrapper == "statusUpdate":
        return task | {"status": legacy_status(told.get("status"))}
    return legacy_task(task | {"status": {"state": "working"}, "artifacts": [told.get("artifact") or {}]})
