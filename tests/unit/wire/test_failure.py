from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import (
    GatewayError,
    InternalError,
    ModelNotFound,
    RateLimited,
    ResourceNotFound,
    Unauthenticated,
    UpstreamRejected,
)
from pointsman.wire.failure import error_body


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (
            Unauthenticated(),
            {"error": {"message": "Invalid API key", "type": "authentication_error", "code": "invalid_api_key"}},
        ),
        (
            RateLimited(),
            {"error": {"message": "Rate limit exceeded", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
        ),
        (
            InternalError(),
            {"error": {"message": "Internal server error", "type": "internal_error", "code": "internal_error"}},
        ),
        (ResourceNotFound("Agent my-agent not found"), {"detail": "Agent my-agent not found"}),
        (
            ModelNotFound("no", param="model"),
            {
                "error": {
                    "message": "no",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                }
            },
        ),
        (
            UpstreamRejected("too long", status=400, kind="invalid_request_error", code="context_length_exceeded"),
            {
                "error": {
                    "message": "too long",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "context_length_exceeded",
                }
            },
        ),
    ],
)
def test_an_error_has_exactly_its_shape(error: GatewayError, body: dict[str, Any]) -> None:
    assert json.loads(error_body(error)) == body
