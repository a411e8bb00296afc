"""The HTTP+JSON binding of both versions: paths, queries and bodies, and the operations that they stand for.

Between here and everybody else all is as JSON-RPC has it. For 1.0 that is what the bodies are too; those of 0.3 are in
``protojson.py``. Source: the specification of A2A 1.0.1, section 11, and its protocol buffers; that of 0.3.0, 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import msgspec

from pointsman.a2a.protocol import faults, protojson
from pointsman.a2a.protocol.messages import Malformed, Object, each, object_of
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.errors import MethodNotAllowed

PREFIX: Final = "/v1"
"""Of the paths of 0.3."""


class Request(msgspec.Struct, frozen=True):
    """What a client asks over REST."""

    operation: Operation
    params: bytes
    """As JSON-RPC has them; a tenant of the path is not in them."""
    tenant: str = ""


class Outgoing(msgspec.Struct, frozen=True):
    """What an agent is asked over REST."""

    method: str
    path: str
    """Below the address of the interface, with the query."""
    body: bytes = b""


class _Place(msgspec.Struct, frozen=True):
    methods: Mapping[str, Operation]
    pattern: re.Pattern[str]


_CARDS: Final[Mapping[Version, str]] = {"1.0": "extendedAgentCard", "0.3": "card"}
_NUMBERS: Final = frozenset({"historyLength", "pageSize"})
_FLAGS: Final = frozenset({"includeArtifacts"})
_QUERIES: Final[Mapping[Operation, frozenset[str]]] = {
    Operation.GET: frozenset({"historyLength"}),
    Operation.LIST: frozenset(
        {
            "contextId",
            "status",
            "pageSize",
            "pageToken",
            "historyLength",
            "statusTimestampAfter",
            "includeArtifacts",
        }
    ),
    Operation.LIST_PUSH: frozenset({"pageSize", "pageToken"}),
}
_WITH_BODY: Final = frozenset({Operation.SEND, Operation.STREAM, Operation.CANCEL, Operation.SET_PUSH})
_SUBSCRIBING: Final = {"POST": Operation.SUBSCRIBE, "GET": Operation.SUBSCRIBE}


def _places(version: Version) -> tuple[_Place, ...]:
    tenant = r"(?:/(?P<tenant>[^/]+))?" if version == "1.0" else ""
    task = tenant + r"/tasks/(?P<task>[^/]+?)"
    push = task + "/pushNotificationConfigs"
    paths: tuple[tuple[str, Mapping[str, Operation]], ...] = (
        (tenant + "/message:send", {"POST": Operation.SEND}),
        (tenant + "/message:stream", {"POST": Operation.STREAM}),
        (tenant + "/" + _CARDS[version], {"GET": Operation.EXTENDED_CARD}),
        (tenant + "/tasks", {"GET": Operation.LIST}),
        (task + ":cancel", {"POST": Operation.CANCEL}),
        (task + ":subscribe", _SUBSCRIBING),
        (task, {"GET": Operation.GET}),
        (push, {"POST": Operation.SET_PUSH, "GET": Operation.LIST_PUSH}),
        (push + "/(?P<push>[^/]+)", {"GET": Operation.GET_PUSH, "DELETE": Operation.DELETE_PUSH}),
    )
    return tuple(_Place(methods, re.compile(path)) for path, methods in paths)


_PLACES: Final[Mapping[Version, tuple[_Place, ...]]] = {"1.0": _places("1.0"), "0.3": _places("0.3")}


def read(version: Version, method: str, path: str, query: Mapping[str, str], body: bytes) -> Request:
    """The operation that a request stands for.

    ``path`` begins with a slash and is what comes below the agent's address, without ``/v1`` for 0.3.

    :raises RpcError: there is no such place, or what is asked cannot be read
    :raises MethodNotAllowed: of another method there is one
    """
    place, found = _placed(version, path)
    operation = place.methods.get(method)
    if operation is None:
        raise MethodNotAllowed(headers=(("Allow", ", ".join(place.methods)),))
    names = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
    tenant = names.get("tenant", "")
    if version == "1.0" and operation in {Operation.SEND, Operation.STREAM}:
        return Request(operation, body, tenant)
    try:
        params = _params(version, operation, names, _object(body) if operation in _WITH_BODY else {})
    except Malformed as error:
        raise faults.refusal(faults.INVALID_PARAMS, f"Invalid parameters: {error}") from error
    params |= _queried(operation, query)
    if "tenant" in query and operation not in _WITH_BODY:
        params["tenant"] = query["tenant"]
    return Request(operation, msgspec.json.encode(params), tenant)


def write(operation: Operation, version: Version, params: bytes, tenant: str = "") -> Outgoing:
    """The request that stands for an operation.

    ``tenant`` is that of the interface; it is in the path then, and a tenant in the parameters is left out.

    :raises RpcError: the parameters cannot be read
    """
    is_modern = version == "1.0"
    prefix = (f"/{quote(tenant, safe='')}" if tenant else "") if is_modern else PREFIX
    found = _object(params)
    found.pop("tenant", None)
    if operation in {Operation.SEND, Operation.STREAM}:
        path = f"{prefix}/message:{'send' if operation is Operation.SEND else 'stream'}"
        body = found if is_modern else _fitting(protojson.write_send, found)
        return Outgoing("POST", path, msgspec.json.encode(body))
    if operation is Operation.EXTENDED_CARD:
        return Outgoing("GET", f"{prefix}/{_CARDS[version]}")
    if operation is Operation.LIST:
        return Outgoing("GET", f"{prefix}/tasks" + _query(operation, found))
    if operation in {Operation.GET, Operation.CANCEL, Operation.SUBSCRIBE}:
        return _of_task(operation, f"{prefix}/tasks/{_quoted(found, 'id')}", found)
    return _of_push(operation, version, prefix, found)


def result(operation: Operation, version: Version, data: bytes) -> bytes:
    """The body of a reply, of a result as JSON-RPC has it.

    :raises RpcError: it is no such result
    """
    if version == "1.0":
        return data
    if operation is Operation.DELETE_PUSH:
        return b"{}"
    function = _WRITE.get(operation)
    return data if function is None else _translated(function, data)


def read_result(operation: Operation, version: Version, data: bytes) -> bytes:
    """The same the other way; an empty body is what a deletion may be answered with.

    :raises RpcError: it is no such body
    """
    if operation is Operation.DELETE_PUSH:
        return b"{}" if version == "1.0" else b"null"
    function = _READ.get(operation)
    return data if version == "1.0" or function is None else _translated(function, data)


def event(version: Version, data: bytes) -> bytes:
    """The data of an event in a stream, of an event as JSON-RPC has it.

    :raises RpcError: it is no event
    """
    return data if version == "1.0" else _translated(protojson.write_told, data)


def read_event(version: Version, data: bytes) -> bytes:
    """The same the other way.

    :raises RpcError: it is no event
    """
    return data if version == "1.0" else _translated(protojson.read_told, data)


def _placed(version: Version, path: str) -> tuple[_Place, re.Match[str]]:
    matches = [(place, found) for place in _PLACES[version] if (found := place.pattern.fullmatch(path))]
    if not matches:
        raise faults.refusal(faults.METHOD_NOT_FOUND)
    # A path may also be read as that of a tenant which is called "tasks".
    return min(matches, key=lambda match: match[1].groupdict().get("tenant") is not None)


def _params(version: Version, operation: Operation, names: Mapping[str, str], body: Object) -> Object:
    task, push = names.get("task", ""), names.get("push", "")
    if operation in {Operation.SEND, Operation.STREAM}:
        return protojson.read_send(body)
    if operation is Operation.SET_PUSH:
        return body | {"taskId": task} if version == "1.0" else protojson.read_set_push(body, task)
    if operation in {Operation.LIST, Operation.EXTENDED_CARD}:
        return {}
    if operation in {Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH}:
        if version == "1.0":
            return {"taskId": task} | ({"id": push} if push else {})
        return {"id": task} | ({"pushNotificationConfigId": push} if push else {})
    return {name: body[name] for name in ("metadata",) if name in body} | {"id": task}


def _queried(operation: Operation, query: Mapping[str, str]) -> Object:
    found: Object = {}
    for name in _QUERIES.get(operation, frozenset()):
        value = query.get(name)
        if value is None or value == "":
            continue
        try:
            if name in _NUMBERS:
                found[name] = int(value)
            elif name in _FLAGS:
                found[name] = {"true": True, "false": False}[value.lower()]
            else:
                found[name] = value
        except (ValueError, KeyError):
            what = "a number" if name in _NUMBERS else "true or false"
            raise faults.refusal(faults.INVALID_PARAMS, f"Invalid parameters: {name!r} has to be {what}") from None
    return found


def _of_task(operation: Operation, path: str, found: Object) -> Outgoing:
    if operation is Operation.GET:
        return Outgoing("GET", path + _query(operation, found))
    if operation is Operation.SUBSCRIBE:
        # The protocol buffers say GET, the text says POST, and the SDKs do.
        return Outgoing("POST", f"{path}:subscribe")
    body = {"metadata": found["metadata"]} if found.get("metadata") is not None else {}
    return Outgoing("POST", f"{path}:cancel", msgspec.json.encode(body))


def _of_push(operation: Operation, version: Version, prefix: str, found: Object) -> Outgoing:
    is_modern = version == "1.0"
    has_task_id = is_modern or operation is Operation.SET_PUSH
    path = f"{prefix}/tasks/{_quoted(found, 'taskId' if has_task_id else 'id')}/pushNotificationConfigs"
    if operation is Operation.SET_PUSH:
        body = found if is_modern else _fitting(protojson.write_set_push, found)
        return Outgoing("POST", path, msgspec.json.encode(body))
    if operation is Operation.LIST_PUSH:
        return Outgoing("GET", path + _query(operation, found))
    config = _quoted(found, "id" if is_modern else "pushNotificationConfigId")
    return Outgoing("GET" if operation is Operation.GET_PUSH else "DELETE", f"{path}/{config}")


def _quoted(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value or value in {".", ".."}:
        raise faults.refusal(faults.INVALID_PARAMS, f"Invalid parameters: {name!r} has to be an id")
    return quote(value, safe="")


def _query(operation: Operation, found: Mapping[str, Any]) -> str:
    values = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in found.items()
        if name in _QUERIES[operation] and value is not None
    }
    return "?" + urlencode(values, quote_via=quote) if values else ""


def _object(data: bytes) -> Object:
    if not data:
        return {}
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise faults.refusal(faults.INVALID_PARAMS, "Invalid parameters: an object is wanted") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise faults.refusal(faults.PARSE_ERROR) from error


def _fitting(function: Callable[[object], Object], value: object) -> Object:
    try:
        return function(value)
    except Malformed as error:
        raise faults.refusal(faults.INVALID_PARAMS, f"Invalid parameters: {error}") from error


def _translated(function: Callable[[object], Any], data: bytes) -> bytes:
    try:
        return msgspec.json.encode(function(msgspec.json.decode(data)))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise faults.refusal(faults.INVALID_AGENT_RESPONSE) from error
    except Malformed as error:
        raise faults.refusal(faults.INVALID_AGENT_RESPONSE, f"Invalid agent response: {error}") from error


def _write_list(value: object) -> Object:
    found = object_of(value, "result")
    return found | {"tasks": each(found.get("tasks"), "tasks", protojson.write_task)}


def _read_list(value: object) -> Object:
    # The text of 0.3 has a bare list.
    found = {"tasks": value} if isinstance(value, list) else object_of(value, "result")
    return found | {"tasks": each(found.get("tasks"), "tasks", protojson.read_task)}


def _write_configs(value: object) -> Object:
    return {"configs": each(value, "result", protojson.write_push)}


def _read_configs(value: object) -> list[Object]:
    listed = value if isinstance(value, list) else object_of(value, "result").get("configs")
    return each(listed, "configs", protojson.read_push)


_WRITE: Final[Mapping[Operation, Callable[[object], Any]]] = {
    Operation.SEND: protojson.write_told,
    Operation.GET: protojson.write_task,
    Operation.CANCEL: protojson.write_task,
    Operation.LIST: _write_list,
    Operation.SET_PUSH: protojson.write_push,
    Operation.GET_PUSH: protojson.write_push,
    Operation.LIST_PUSH: _write_configs,
    Operation.EXTENDED_CARD: protojson.write_card,
}
_READ: Final[Mapping[Operation, Callable[[object], Any]]] = {
    Operation.SEND: protojson.read_told,
    Operation.GET: protojson.read_task,
    Operation.CANCEL: protojson.read_task,
    Operation.LIST: _read_list,
    Operation.SET_PUSH: protojson.read_push,
    Operation.GET_PUSH: protojson.read_push,
    Operation.LIST_PUSH: _read_configs,
    Operation.EXTENDED_CARD: protojson.read_card,
}
