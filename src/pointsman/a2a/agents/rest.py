"""Speaking to an agent over HTTP+JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol import rest as protocol
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.protocol.rest import Outgoing
from pointsman.errors import UpstreamBroken
from pointsman.wire.jsonrpc import RpcError, readable, whole

ACCEPT: Final = "application/a2a+json, application/json"
NEAR: Final = 32
"""Bytes at the beginning of an event in which its one member is named, if it is an error."""


class _Syntax(msgspec.Struct):
    """Decoding into this builds nothing."""


_SYNTAX: Final = msgspec.json.Decoder(_Syntax)


def write(operation: Operation, version: Version, params: bytes, tenant: str = "") -> Outgoing:
    """The request for an operation; ``tenant`` is that of the interface."""
    return protocol.write(operation, version, params, tenant)


def read(operation: Operation, version: Version, body: bytes) -> bytes:
    """The result in an answer, as JSON-RPC has it.

    :raises RpcError: it is no such result
    :raises UpstreamBroken: it is no JSON
    """
    found = body if operation is Operation.DELETE_PUSH else _object_in(body)
    if found is None:
        raise UpstreamBroken("The agent's answer is no JSON object")
    return protocol.read_result(operation, version, found)


def refused(status: int, body: bytes) -> RpcError | None:
    """The error in an answer with the status of a failure; ``None``: whoever has sent it does not know of agents."""
    found = _object(body)
    inner = found.get("error")
    told = inner if isinstance(inner, dict) else found
    is_told = isinstance(told.get("message"), str) and not {"code", "type", "status"}.isdisjoint(told)
    return faults.read_rest(status, body) if is_told else None


def read_event(version: Version, name: bytes, data: bytes) -> bytes | None:
    """What an event of a stream brings, as JSON-RPC has it; ``None``: nothing.

    :raises RpcError: an error
    """
    if name == b"error" or data.find(b'"error"', 0, NEAR) >= 0:
        error = refused(500, data)
        if error is not None:
            raise error
    found = _object_in(data)
    return None if found is None else protocol.read_event(version, found)


def _object_in(data: bytes) -> bytes | None:
    """The same if it is an object, in text that can be read."""
    data = readable(data)
    for text in (data, whole(data)):
        try:
            _SYNTAX.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            continue
        return text
    return None


def _object(data: bytes) -> dict[str, Any]:
    """What is in it; empty where it is no object."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
