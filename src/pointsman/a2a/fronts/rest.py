"""HTTP+JSON: paths below the address of an agent, those of 0.3 below ``v1/`` there.

A client that does not say its version speaks the one that has the path which it asks for.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from pointsman.a2a.fronts.answering import Answering
from pointsman.a2a.fronts.streams import Failure, Request
from pointsman.a2a.fronts.versions import VERSION, check_json, given_version, likely, version_of
from pointsman.a2a.protocol import faults, rest
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.errors import GatewayError, MethodNotAllowed
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.replies import event, header_lines

KINDS: Final[dict[Version, bytes]] = {
    "1.0": b"content-type: application/a2a+json\r\n",
    "0.3": b"content-type: application/json\r\n",
}
FAILURE: Final = b"content-type: application/json\r\n"
OLD: Final = "v1/"
ERROR: Final = b"error"
NOTHING: Final = b"null"


class RestForm:
    """See :class:`~pointsman.a2a.fronts.streams.Form`."""

    def __init__(self, operation: Operation | None, version: Version) -> None:
        self._operation = operation
        self._version = version

    def result(self, data: bytes) -> tuple[bytes, bytes]:
        """The header lines and the body of a reply."""
        assert self._operation is not None
        body = b"{}" if data == NOTHING else rest.result(self._operation, self._version, data)
        return KINDS[self._version], body

    def failure(self, error: Failure) -> tuple[int, bytes, bytes]:
        """The status, the header lines and the body of a reply."""
        status, body = faults.rest(error, self._version)
        return status, FAILURE + (header_lines(error) if isinstance(error, GatewayError) else b""), body

    def event(self, data: bytes) -> bytes:
        """An event, as it goes out."""
        return event(rest.event(self._version, data))

    def last(self, error: Failure) -> bytes:
        """The event with which a stream fails."""
        return event(faults.rest(error, self._version)[1], ERROR)


async def answer(answering: Answering, request: Request) -> None:
    """Reply to one request of a client."""
    given = given_version(request.headers, request.query)
    is_old = request.path.startswith(OLD)
    usual: Version = "0.3" if is_old else "1.0"
    form = RestForm(None, likely(given, usual))
    try:
        version = version_of(given, usual)
        if request.body:
            check_json(request.headers)
        asked = _read(request, version, request.path.removeprefix(OLD) if is_old else request.path)
        form = RestForm(asked.operation, version)
        await answering.answer(request, asked.operation, version, asked.params, form)
    except (RpcError, GatewayError) as error:
        status, lines, body = form.failure(error)
        request.reply.reply(status, lines + request.lines, body)


def _read(request: Request, version: Version, path: str) -> rest.Request:
    """What is asked.

    :raises RpcError: nothing that there is
    :raises MethodNotAllowed: there is such a path, for another method
    """
    query = {name: value for name, value in request.query.items() if name.lower() != VERSION}
    method = "GET" if request.method == "HEAD" else request.method
    asked = rest.read(version, method, "/" + quote(path, safe="/:"), query, request.body)
    if asked.tenant not in {"", request.agent}:
        raise faults.refusal(faults.METHOD_NOT_FOUND, "There is no such path")
    if request.method == "HEAD" and asked.operation.is_streamed:
        # A stream has no head that could be told without it.
        raise MethodNotAllowed("This path streams: it takes GET and POST", headers=(("allow", "GET, POST"),))
    return asked
