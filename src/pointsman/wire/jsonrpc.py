"""JSON-RPC 2.0: the envelope, and what is in it as it came.

Parameters, results and errors stay raw bytes until somebody has a reason to look into them, so nothing that this
gateway does not know is lost or changed on its way. Source: https://www.jsonrpc.org/specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from pointsman.errors import GatewayError, SignInNeeded

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
NONE: Final = msgspec.Raw(b"")
"""Stands for a member that is not there."""
MAX_TEXT: Final = 4000
"""Characters that are told of an error."""

Id = str | int | float | None
T = TypeVar("T")


class RpcError(Exception):
    """What is answered instead of a result. ``status`` is that of the HTTP reply where there is one."""

    def __init__(self, code: int, message: str, data: object = None, *, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        """Any JSON value; ``None``: there is none."""
        self.status = status

    def raw(self) -> msgspec.Raw:
        """The ``error`` member."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            found["data"] = self.data
        return msgspec.Raw(msgspec.json.encode(found))


class Message(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One message: a request, a notification or a response."""

    jsonrpc: str = ""
    id: Id | msgspec.UnsetType = msgspec.UNSET
    method: str = ""
    params: msgspec.Raw = NONE
    result: msgspec.Raw = NONE
    error: msgspec.Raw = NONE

    @property
    def is_request(self) -> bool:
        """Whether it wants an answer."""
        return self.method != "" and self.id is not msgspec.UNSET

    @property
    def is_notification(self) -> bool:
        """Whether it wants none."""
        return self.method != "" and self.id is msgspec.UNSET

    def read(self) -> dict[str, Any]:
        """The parameters as a new mapping; empty where there are none.

        :raises RpcError: they are no object
        """
        return _object(self.params, "params")

    def outcome(self) -> dict[str, Any]:
        """The result of a response as a new mapping.

        :raises RpcError: it is an error, or no object
        """
        self.check()
        return _object(self.result, "result")

    def check(self) -> None:
        """:raises RpcError: this response is an error"""
        if self.error:
            raise error_of(self.error)

    def encode(self) -> bytes:
        """The message as it goes over a wire."""
        return _ENCODER.encode(self)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Message)
_BATCH = msgspec.json.Decoder(list[Message])
_HALF = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u[dD](?:"
    rb"[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a first half without a second
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"  # a second half without a first
)


def request(id: Id, method: str, params: Mapping[str, Any] | msgspec.Raw | None = None) -> Message:  # noqa: A002
    """A request."""
    return Message(jsonrpc="2.0", id=id, method=method, params=raw(params))


def notification(method: str, params: Mapping[str, Any] | msgspec.Raw | None = None) -> Message:
    """A notification."""
    return Message(jsonrpc="2.0", method=method, params=raw(params))


def success(id: Id, result: Mapping[str, Any] | msgspec.Raw) -> Message:  # noqa: A002
    """A response with a result."""
    return Message(jsonrpc="2.0", id=id, result=raw(result))


def failure(id: Id, error: RpcError) -> Message:  # noqa: A002
    """A response with an error."""
    return Message(jsonrpc="2.0", id=id, error=error.raw())


def raw(value: Mapping[str, Any] | msgspec.Raw | None) -> msgspec.Raw:
    """A value as it stands in a message."""
    if value is None:
        return NONE
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))


def of_gateway(error: GatewayError) -> RpcError:
    """A failure of the gateway, as it is told in this form.

    The code is that of HTTP, for those that JSON-RPC reserves belong to whoever specifies a protocol on top of it. The
    status of the reply is the same where a caller is refused. Of other failures it is 200, for to clients a 5xx is the
    end of a connection and not the failure of one request.
    """
    is_internal = error.status == 500
    is_refusal = error.source == "caller" or error.status == 503
    data = {"type": error.kind, "code": error.code}
    if isinstance(error, SignInNeeded):
        data["url"] = error.link
    return RpcError(
        INTERNAL_ERROR if is_internal else error.status,
        error.message[:MAX_TEXT],
        data,
        status=error.status if is_refusal else 200,
    )


def error_body(error: GatewayError) -> bytes:
    """A whole reply for what has not become a request."""
    return failure(None, of_gateway(error)).encode()


def parse(body: bytes | bytearray | str) -> Message:
    """One message.

    Half a surrogate pair, which is what other languages write of a text that was cut in the middle of a character, is
    read as U+FFFD: no text of Unicode can have it.

    :raises RpcError: it is no JSON (:data:`PARSE_ERROR`), or no message (:data:`INVALID_REQUEST`)
    """
    return _checked(_decoded(_DECODER, body, "message"))


def parse_batch(body: bytes, most: int) -> list[Message]:
    """Several messages in an array, at least one and at most ``most``; see :func:`parse`.

    :raises RpcError: it is no such array
    """
    found = _decoded(_BATCH, body, "batch")
    if not 0 < len(found) <= most:
        raise RpcError(INVALID_REQUEST, f"A batch has between 1 and {most} messages", status=400)
    return [_checked(one) for one in found]


def readable(data: bytes) -> bytes:
    """The same text, with U+FFFD for what is no UTF-8: a server's answer is worth more than the characters in it."""
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


def whole(body: bytes) -> bytes:
    """The same with U+FFFD for half surrogate pairs, see :func:`parse`."""
    return _HALF.sub(rb"\1\\ufffd", body)


def error_of(error: msgspec.Raw) -> RpcError:
    """The failure that an ``error`` member tells; whatever is wrong with it, there is one."""
    try:
        found = msgspec.json.decode(error, type=dict[str, Any])
    except msgspec.MsgspecError:
        found = {}
    code, message = found.get("code"), found.get("message")
    return RpcError(
        code if isinstance(code, int) else INTERNAL_ERROR,
        message[:MAX_TEXT] if isinstance(message, str) else "The server gave an error without a text",
        found.get("data"),
    )


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes | bytearray | str, what: str) -> T:
    try:
        if not isinstance(body, str) and not body.isascii():
            # What stays raw is not looked at by the decoder.
            body.decode()
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            whole, count = _HALF.subn(rb"\1\\ufffd", body.encode() if isinstance(body, str) else body)
            if not count:
                raise
            return decoder.decode(whole)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_REQUEST, f"This is no JSON-RPC {what}: {error}"[:MAX_TEXT], status=400) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"The body is no JSON: {error}"[:MAX_TEXT], status=400) from error


def _checked(message: Message) -> Message:
    if message.jsonrpc != "2.0":
        raise RpcError(INVALID_REQUEST, "'jsonrpc' has to be \"2.0\"", status=400)
    members = bool(message.result) + bool(message.error)
    if (message.method != "") == (members > 0) or members > 1:
        raise RpcError(INVALID_REQUEST, "A message has one of 'method', 'result' and 'error'", status=400)
    return message


def _object(value: msgspec.Raw, name: str) -> dict[str, Any]:
    if not value:
        return {}
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"{name!r} is no object") from error
