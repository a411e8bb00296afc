"""Failures: what a provider says in an answer or a stream that has begun, and what a client is told."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.dialects.responses.fields import Members
from pointsman.providers.failures import classify
from pointsman.wire.failure import error_body

_STATUSES: Final = {
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "image_content_policy_violation": 400,
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "server_is_overloaded": 503,
    "slow_down": 503,
}
"""Statuses that OpenAI answers with where it says the same before a stream has begun."""

_encode: Final = msgspec.json.Encoder().encode


def read_failure(error: Any) -> GatewayError:
    """The failure that an ``error`` object tells of, as it stands in an event or in a failed response."""
    if not isinstance(error, dict):
        return UpstreamBroken("The provider has failed without saying why")
    code = error.get("code")
    status = _STATUSES.get(code, 502) if isinstance(code, str) else 502
    if status == 502 and error.get("type") == "invalid_request_error":
        status = 400
    return classify(status, (), _encode({"error": error}), secrets=(), address="", now=0.0)


def error_event(error: GatewayError) -> bytes:
    """What ends a stream that has begun and fails: the two events that OpenAI itself sends.

    OpenAI's SDKs raise at an ``error`` object in any event and take ``response.failed`` for an answer. Codex does not
    know the first and reads from the second whether to try again. Where the stream stands is not known here, so the
    response has no more than what its readers insist on.
    """
    told = {"type": error.kind, "code": error.code, "message": error.message, "param": error.param}
    flat = {"type": "error", "sequence_number": 0, "code": error.code, "message": error.message, "param": error.param}
    failed = {"type": "response.failed", "sequence_number": 1, "response": _failed(error)}
    return _event("error", flat | {"error": told}) + _event("response.failed", failed)


def _failed(error: GatewayError) -> Members:
    return {
        "id": "resp_failed",
        "object": "response",
        "created_at": 0,
        "status": "failed",
        "error": {"code": error.code or "server_error", "message": error.message},
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "",
        "output": [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }


def _event(name: str, data: Members) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))


__all__ = ["error_body", "error_event", "read_failure"]
