from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.anthropic import golden

from pointsman.errors import (
    Forbidden,
    GatewayError,
    InvalidRequest,
    Overloaded,
    RateLimited,
    Unauthenticated,
    UpstreamRejected,
    UpstreamTimeout,
)
from pointsman.providers.dialects.anthropic import error_body, error_event
from pointsman.providers.dialects.anthropic.errors import read_error
from pointsman.providers.failures import classify


@pytest.mark.requirement("anthropic.errors")
@pytest.mark.parametrize("path", golden.cases("errors"), ids=lambda path: path.stem)
def test_a_providers_error_is_classified_as_recorded(path: Path) -> None:
    case = golden.load(path)
    headers = [(name.encode(), value.encode()) for name, value in case["headers"].items()]
    body = msgspec.json.encode(case["native"])
    error = classify(case["status"], headers, body, secrets=(), address="", now=0.0)
    assert {name: getattr(error, name) for name in case["expected"]} == case["expected"]


@pytest.mark.requirement("anthropic.errors")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("no"), "invalid_request_error"),
        (Unauthenticated(), "authentication_error"),
        (UpstreamRejected(status=402, kind="x"), "billing_error"),
        (Forbidden(), "permission_error"),
        (UpstreamRejected(status=404, kind="x"), "not_found_error"),
        (UpstreamRejected(status=413, kind="x"), "request_too_large"),
        (UpstreamRejected(status=422, kind="x"), "invalid_request_error"),
        (RateLimited(), "rate_limit_error"),
        (GatewayError(), "api_error"),
        (UpstreamRejected(status=502, kind="x"), "api_error"),
        (Overloaded(), "overloaded_error"),
        (UpstreamTimeout(), "timeout_error"),
    ],
)
def test_the_type_goes_by_the_status(error: GatewayError, kind: str) -> None:
    envelope = msgspec.json.decode(error_body(error))
    assert envelope == {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": None}
    assert error_event(error) == b"event: error\ndata: " + error_body(error) + b"\n\n"


def test_a_conversation_that_is_too_long_is_told_in_the_words_that_claude_code_knows() -> None:
    def message(text: str) -> Any:
        return msgspec.json.decode(error_body(InvalidRequest(text, code="context_length_exceeded")))["error"]["message"]

    assert message("maximum context length is 8192") == "prompt is too long: maximum context length is 8192"
    assert message("Prompt is too long: 9 > 8") == "Prompt is too long: 9 > 8"


@pytest.mark.parametrize(
    ("raw", "status", "is_retryable"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 503, True),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow"}}, 429, True),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "No"}}, 400, False),
        ({"type": "error", "error": {"type": "new_error", "message": "?"}}, 502, True),
        ({"type": "error", "error": "text"}, 502, True),
        ({"type": "error", "error": {"type": [], "message": "?"}}, 502, True),
        ({"type": "error"}, 502, True),
    ],
)
def test_an_error_inside_a_200_has_the_status_of_its_type(raw: Any, status: int, is_retryable: bool) -> None:
    error = read_error(raw)
    assert (error.status, error.is_retryable) == (status, is_retryable)
