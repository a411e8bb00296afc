"""A failure as JSON, in the shapes that callers of the OpenAI dialect read."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.errors import GatewayError, InternalError, RateLimited, ResourceNotFound, Unauthenticated

ALWAYS_SHORT = (Unauthenticated, RateLimited, InternalError)
"""Errors whose body has no ``param`` member unless there is one to name."""


def error_body(error: GatewayError) -> bytes:
    """OpenAI's ``{"error": ...}``, or ``{"detail": ...}`` for a resource that is not there."""
    if isinstance(error, ResourceNotFound):
        return msgspec.json.encode({"detail": error.message})
    members: dict[str, Any] = {"message": error.message, "type": error.kind}
    if error.param is not None or not isinstance(error, ALWAYS_SHORT):
        members["param"] = error.param
    members["code"] = error.code
    return msgspec.json.encode({"error": members})
