"""Errors in Anthropic's envelope, to clients and from providers (docs: platform.claude.com/docs/en/api/errors)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError
from pointsman.providers.failures import classify

_KINDS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "api_error": 500,
    "overloaded_error": 529,
}
_TOO_LONG: Final = "prompt is too long"
_encode: Final = msgspec.json.Encoder().encode


def error_body(error: GatewayError) -> bytes:
    """The body of an error reply."""
    return _encode(_envelope(error))


def error_event(error: GatewayError) -> bytes:
    """The event that ends a stream which has begun and fails."""
    return b"event: error\ndata: " + error_body(error) + b"\n\n"


def read_error(raw: Any) -> GatewayError:
    """What an ``{"type": "error", "error": {...}}`` means that came with status 200."""
    return classify(status_of(raw), (), _encode(raw), secrets=(), address="", now=0.0)


def status_of(raw: Any) -> int:
    """The status that an ``{"type": "error", "error": {...}}`` would have come with; 502: nobody knows."""
    error = raw.get("error") if isinstance(raw, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return _STATUSES.get(kind, 502) if isinstance(kind, str) else 502


def _envelope(error: GatewayError) -> dict[str, Any]:
    """``request_id`` is in the header ``request-id``."""
    kind = _KINDS.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": _message(error)}, "request_id": None}


def _message(error: GatewayError) -> str:
    """Claude Code knows by these words that it has to shorten a conversation, and by nothing else."""
    if error.code == "context_length_exceeded" and _TOO_LONG not in error.message.lower():
        return f"{_TOO_LONG}: {error.message}"
    return error.message
