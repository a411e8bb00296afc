"""Speaking to an agent over JSON-RPC."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from pointsman.a2a.protocol.operations import Operation, Version, method_name
from pointsman.a2a.protocol.rest import Outgoing
from pointsman.errors import UpstreamBroken
from pointsman.wire.jsonrpc import NONE, RpcError, error_of, readable, whole

ACCEPT: Final = "application/json"
NULL: Final = Raw(b"null")


class _Reply(msgspec.Struct):
    """Lenient: some agents send both members, one of them ``null``, or no ``jsonrpc``."""

    result: Raw = NONE
    error: Raw = NONE


_DECODER: Final = msgspec.json.Decoder(_Reply)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode


def write(operation: Operation, version: Version, params: bytes, tenant: str = "") -> Outgoing:
    """The request for an operation; ``tenant`` is that of the interface."""
    params = with_tenant(params, tenant if version == "1.0" else "")
    asked = b"" if operation is Operation.EXTENDED_CARD and params in (b"{}", b"") else b',"params":' + params
    method = method_name(operation, version).encode()
    return Outgoing("POST", "", b'{"jsonrpc":"2.0","id":1,"method":"%b"%b}' % (method, asked))


def read(operation: Operation, version: Version, body: bytes) -> bytes:  # noqa: ARG001  as each binding has it
    """The result in an answer.

    :raises RpcError: it is an error
    :raises UpstreamBroken: it is neither
    """
    reply = _read(body)
    if reply is None:
        raise UpstreamBroken("The agent's answer is not one of JSON-RPC")
    if reply.error and reply.error != NULL:
        raise error_of(reply.error)
    if not reply.result and operation is not Operation.DELETE_PUSH:
        raise UpstreamBroken("The agent's answer has neither a result nor an error")
    return bytes(reply.result) or b"null"


def refused(status: int, body: bytes) -> RpcError | None:  # noqa: ARG001  as each binding has it
    """The error in an answer with the status of a failure; ``None``: it holds none."""
    reply = _read(body)
    return error_of(reply.error) if reply is not None and reply.error and reply.error != NULL else None


def read_event(version: Version, name: bytes, data: bytes) -> bytes | None:  # noqa: ARG001  as each binding has it
    """What an event of a stream brings; ``None``: nothing.

    :raises RpcError: an error
    """
    reply = _read(data)
    if reply is None:
        return None
    if reply.error and reply.error != NULL:
        raise error_of(reply.error)
    return bytes(reply.result) if reply.result and reply.result != NULL else None


def with_tenant(params: bytes, tenant: str) -> bytes:
    """The same with this tenant, or with none."""
    if not tenant and params.find(b'"tenant"') < 0:
        return params
    try:
        members = _MEMBERS.decode(params)
    except (msgspec.MsgspecError, UnicodeError):
        # It is for the agent to say what is wrong with it.
        return params
    members.pop("tenant", None)
    if tenant:
        members["tenant"] = Raw(_encode(tenant))
    return _encode(members)


def _read(body: bytes) -> _Reply | None:
    try:
        return _DECODER.decode(readable(body))
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError):
        return _read_mended(body)


def _read_mended(body: bytes) -> _Reply | None:
    try:
        return _DECODER.decode(whole(readable(body)))
    except (msgspec.MsgspecError, RecursionError):
        return None
