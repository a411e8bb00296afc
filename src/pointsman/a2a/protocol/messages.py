"""Messages, artifacts and their parts, from one version into the other.

Each function makes a new object. Members that nobody here knows stay where they are, for both versions let readers
ignore them; those that only the one version knows are translated or left out. What does not have the shape that it has
to have is a :class:`Malformed`; a part of a kind that is new stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Object = dict[str, Any]
ROLES: Final[Mapping[str, str]] = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}
WRAPPED: Final = "data_part_compat"
"""In the metadata of a part: its data is no object in 1.0, and ``{"value": ...}`` in 0.3. The SDKs' own mark."""

_MEMBERS: Final = (
    "acceptedOutputModes artifactId configId contextId fileWithBytes fileWithUri historyLength includeArtifacts "
    "lastChunk mediaType messageId mimeType nextPageToken pageSize pageToken pushNotification pushNotificationConfig "
    "pushNotificationConfigId referenceTaskIds returnImmediately statusTimestampAfter taskId "
    "taskPushNotificationConfig statusUpdate artifactUpdate totalSize"
)
NAMES: Final = {re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name): name for name in _MEMBERS.split()}
"""Members by their names in protocol buffers, which the JSON of those may have as well."""


class Malformed(Exception):
    """Something does not have the shape that both versions want; the text says what."""


def object_of(value: object, what: str) -> Object:
    """A new object with the same members; those that the protocol has, by their names in JSON.

    :raises Malformed: it is none
    """
    found = map_of(value, what)
    for name in value if isinstance(value, dict) else ():
        if "_" in name and (known := NAMES.get(name)) is not None:
            found.setdefault(known, found[name])
            del found[name]
    return found


def map_of(value: object, what: str) -> Object:
    """The same of an object whose members have names that somebody has chosen."""
    if not isinstance(value, dict):
        raise Malformed(f"{what!r} has to be an object")
    return dict(value)


def each(value: object, what: str, function: Callable[[Object], Object]) -> list[Object]:
    """What a function makes of each object of a list; nothing at all is an empty one.

    :raises Malformed: it is no list of objects
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{what!r} has to be a list")
    return [function(object_of(one, what)) for one in value]


def modern_message(value: object) -> Object:
    """A message of 0.3 in 1.0."""
    found = object_of(value, "message")
    found.pop("kind", None)
    if isinstance(role := found.get("role"), str):
        found["role"] = ROLES.get(role, role)
    found["parts"] = each(found.get("parts"), "parts", modern_part)
    return found


def legacy_message(value: object) -> Object:
    """A message of 1.0 in 0.3."""
    found = object_of(value, "message")
    found["kind"] = "message"
    found["role"] = "user" if found.get("role") in ("ROLE_USER", "user") else "agent"
    found.setdefault("messageId", "")
    found["parts"] = each(found.get("parts"), "parts", legacy_part)
    return found


def modern_artifact(value: object) -> Object:
    """An artifact of 0.3 in 1.0."""
    found = object_of(value, "artifact")
    found["parts"] = each(found.get("parts"), "parts", modern_part)
    return found


def legacy_artifact(value: object) -> Object:
    """An artifact of 1.0 in 0.3."""
    found = object_of(value, "artifact")
    found.setdefault("artifactId", "")
    found["parts"] = each(found.get("parts"), "parts", legacy_part)
    return found


def modern_part(found: Object) -> Object:
    """A part of 0.3, which is the caller's to give away, in 1.0."""
    found.pop("kind", None)
    if (file := found.pop("file", None)) is not None:
        file = object_of(file, "file")
        content = "raw" if file.get("bytes") is not None else "url"
        found[content] = file.get("bytes" if content == "raw" else "uri") or ""
        _rename(file, found, (("mimeType", "mediaType"), ("name", "filename")))
    elif isinstance(data := found.get("data"), dict):
        metadata = found.get("metadata")
        if isinstance(metadata, dict) and metadata.get(WRAPPED) and "value" in data:
            found["data"] = data["value"]
            found["metadata"] = {name: one for name, one in metadata.items() if name != WRAPPED}
            if not found["metadata"]:
                del found["metadata"]
    return found


def legacy_part(found: Object) -> Object:
    """A part of 1.0, which is the caller's to give away, in 0.3."""
    if found.get("text") is not None:
        found["kind"] = "text"
    elif found.get("raw") is not None or found.get("url") is not None:
        raw, url = found.pop("raw", None), found.pop("url", None)
        file: Object = {"bytes": raw} if raw is not None else {"uri": url}
        _rename(found, file, (("mediaType", "mimeType"), ("filename", "name")))
        found["kind"], found["file"] = "file", file
    elif "data" in found:
        found["kind"] = "data"
        if not isinstance(found["data"], dict):
            found["data"] = {"value": found["data"]}
            found["metadata"] = {**map_of(found.get("metadata") or {}, "metadata"), WRAPPED: True}
    return found


def _rename(source: Object, target: Object, names: tuple[tuple[str, str], ...]) -> None:
    for old, new in names:
        if value := source.pop(old, None):
            target[new] = value
