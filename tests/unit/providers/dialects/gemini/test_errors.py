from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.gemini.golden import cases

from pointsman.errors import GatewayError, InvalidRequest, ModelNotFound, Overloaded, RateLimited, UpstreamBroken
from pointsman.providers.dialects.gemini.errors import error_body, error_event
from pointsman.providers.failures import classify


@cases("errors")
def test_an_error_of_googles_is_classified(case: dict[str, Any]) -> None:
    error = classify(
        case["status"], [], json.dumps(case["native"]).encode(), secrets=(), address="https://g.example/", now=0
    )
    found = {"status": error.status, "kind": error.kind, "code": error.code, "retry_after": error.retry_after}
    assert found == case["expected"]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (InvalidRequest("no"), 400, "INVALID_ARGUMENT"),
        (ModelNotFound(), 404, "NOT_FOUND"),
        (RateLimited(), 429, "RESOURCE_EXHAUSTED"),
        (Overloaded(), 503, "UNAVAILABLE"),
        (UpstreamBroken(), 502, "UNAVAILABLE"),
    ],
)
def test_an_error_has_googles_name_for_its_status(error: GatewayError, code: int, status: str) -> None:
    body = json.loads(error_body(error))["error"]
    assert (body["code"], body["status"], body["message"]) == (code, status, error.message)


def test_code_place_and_delay_are_details() -> None:
    error = RateLimited("slow", param="contents[0]", retry_after=2.5)
    details = json.loads(error_body(error))["error"]["details"]
    assert [detail["@type"].rpartition(".")[2] for detail in details] == ["ErrorInfo", "BadRequest", "RetryInfo"]
    assert details[0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert details[1]["fieldViolations"] == [{"field": "contents[0]", "description": "slow"}]
    assert details[2]["retryDelay"] == "2.5s"


def test_an_unusual_status_has_the_name_of_its_kind() -> None:
    error = InvalidRequest("too large")
    error.status = 413
    assert json.loads(error_body(error))["error"]["status"] == "INVALID_ARGUMENT"


def test_a_stream_ends_with_an_event_or_an_element() -> None:
    body = error_body(Overloaded())
    assert error_event(Overloaded()) == b"data: " + body + b"\r\n\r\n"
    assert json.loads(b"[{}" + error_event(Overloaded(), is_array=True)) == [{}, json.loads(body)]
