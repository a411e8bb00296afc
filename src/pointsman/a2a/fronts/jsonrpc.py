"""JSON-RPC: what a client sends to the address of an agent, in either version.

The name of a method says in which version its parameters are, for no two versions share one. What the client says of
its version has to be one that is spoken here, and decides how it is told that its request is none.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from pointsman.a2a.fronts.answering import Answering
from pointsman.a2a.fronts.streams import Failure, Request
from pointsman.a2a.fronts.versions import check_json, given_version, likely, version_of
from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import Operation, Version, named
from pointsman.errors import GatewayError
from pointsman.wire.jsonrpc import PARSE_ERROR, Id, Message, RpcError, parse
from pointsman.wire.replies import EVENTS, event, header_lines

JSON: Final = b"content-type: application/json\r\n"
OK: Final = 200


class _Named(msgspec.Struct):
    """All that is looked for in what is no message."""

    id: Id = None


_NAMED: Final = msgspec.json.Decoder(_Named)


class RpcForm:
    """See :class:`~pointsman.a2a.fronts.streams.Form`."""

    def __init__(self, name: Id, version: Version) -> None:
        self._head = b'{"jsonrpc":"2.0","id":%b,' % msgspec.json.encode(name)
        self._version = version

    def result(self, data: bytes) -> tuple[bytes, bytes]:
        """The header lines and the body of a reply."""
        return JSON, b'%b"result":%b}' % (self._head, data)

    def failure(self, error: Failure) -> tuple[int, bytes, bytes]:
        """The status, the header lines and the body of a reply: refusals of the gateway have their status of HTTP."""
        status, lines = OK, JSON
        if isinstance(error, GatewayError):
            lines += header_lines(error)
            error = faults.of_gateway(error)
            status = error.status
        return status, lines, b'%b"error":%b}' % (self._head, faults.told(error, self._version))

    def event(self, data: bytes) -> bytes:
        """An event, as it goes out."""
        return event(self.result(data)[1])

    def last(self, error: Failure) -> bytes:
        """The event with which a stream fails."""
        return event(self.failure(error)[2])


async def answer(answering: Answering, request: Request) -> None:
    """Reply to one message of a client."""
    given = given_version(request.headers, request.query)
    version = likely(given, "0.3")
    message: Message | None = None
    operation: Operation | None = None
    try:
        check_json(request.headers)
        message = _message(request.body)
        operation, version = _asked(message.method, given)
        form = RpcForm(_id(message), version)
        await answering.answer(request, operation, version, _params(message), form)
    except (RpcError, GatewayError) as error:
        form = RpcForm(_name(request.body) if message is None else _id(message), version)
        status, lines, body = form.failure(error)
        if (
            status == OK
            and version == "0.3"
            and operation is not None
            and operation.is_streamed
            and _reads_events(request)
        ):
            # Clients of 0.3 that stream take nothing else.
            lines, body = EVENTS, form.last(error)
        request.reply.reply(status, lines + request.lines, body)


def _message(body: bytes) -> Message:
    """:raises RpcError: it is no request"""
    try:
        message = parse(body)
    except RpcError as error:
        fault = faults.PARSE_ERROR if error.code == PARSE_ERROR else faults.INVALID_REQUEST
        raise faults.refusal(fault, error.message) from error
    if not message.method:
        raise faults.refusal(faults.INVALID_REQUEST, "A request has a 'method'")
    return message


def _asked(method: str, given: str) -> tuple[Operation, Version]:
    """:raises RpcError: no version has it, or the client speaks none of those"""
    found = named(method)
    version_of(given, "0.3")
    if found is None:
        raise faults.refusal(faults.METHOD_NOT_FOUND, f"There is no method {method[:100]}")
    return found


def _params(message: Message) -> bytes:
    """:raises RpcError: they are no object"""
    params = bytes(message.params).strip()
    if params in {b"", b"null"}:
        return b"{}"
    if not params.startswith(b"{"):
        raise faults.refusal(faults.INVALID_PARAMS, "'params' is no object")
    return params


def _id(message: Message) -> Id:
    # One that has none is answered as if it were null: no client of this protocol sends what it wants no answer to.
    return None if isinstance(message.id, msgspec.UnsetType) else message.id


def _name(body: bytes) -> Id:
    """The id of what may be no message."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NAMED.decode(body).id
    return None


def _reads_events(request: Request) -> bool:
    return b"text/event-stream" in request.headers.get(b"accept", b"").lower()
