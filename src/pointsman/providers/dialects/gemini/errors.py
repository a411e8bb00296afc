"""Errors for clients: ``google.rpc.Status`` as JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError

_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPE: Final = "type.googleapis.com/google.rpc."
_encode: Final = msgspec.json.Encoder().encode


def error_body(error: GatewayError) -> bytes:
    """The body of an error reply."""
    return _encode(_status(error))


def error_event(error: GatewayError, *, is_array: bool = False) -> bytes:
    """What ends a stream that has begun and fails. ``is_array``: it is a JSON array, some of which was sent."""
    body = _encode(_status(error))
    return b",\r\n" + body + b"]" if is_array else b"data: " + body + b"\r\n\r\n"


def _status(error: GatewayError) -> dict[str, Any]:
    status = _STATUSES.get(error.status) or ("INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    body: dict[str, Any] = {"code": error.status, "message": error.message, "status": status}
    details = _details(error)
    return {"error": body | ({"details": details} if details else {})}


def _details(error: GatewayError) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if error.code is not None:
        details.append({"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper(), "domain": "pointsman"})
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after:g}s"})
    return details
