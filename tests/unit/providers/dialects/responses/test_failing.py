from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.responses import golden

from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.providers.dialects import responses
from pointsman.providers.dialects.responses.failing import read_failure
from pointsman.providers.failures import classify
from pointsman.wire.messages import SseMessages


@pytest.mark.parametrize("path", golden.cases("errors"), ids=lambda path: path.stem)
def test_an_error_answer_is_understood(path: Path) -> None:
    case = golden.load(path)
    headers = [(name.encode(), value.encode()) for name, value in case["headers"].items()]
    body = msgspec.json.encode(case["native"])
    error = classify(
        case["status"], headers, body, secrets=("sk-secret",), address="https://api.openai.com/v1", now=0.0
    )
    assert {name: getattr(error, name) for name in case["expected"]} == case["expected"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"code": "context_length_exceeded", "message": "m"}, 400, "context_length_exceeded"),
        ({"code": "rate_limit_exceeded", "message": "m"}, 429, "rate_limit_exceeded"),
        ({"code": "server_error", "message": "m"}, 502, "server_error"),
        ({"code": None, "type": "invalid_request_error", "message": "m"}, 400, None),
        ({"code": ["odd"], "message": "m"}, 502, None),
        ({}, 502, None),
        ("text", 502, "upstream_broken"),
        (None, 502, "upstream_broken"),
    ],
)
def test_a_failure_inside_an_answer_has_the_status_of_one_before_it(error: Any, status: int, code: str | None) -> None:
    failure = read_failure(error)
    assert isinstance(failure, UpstreamRejected | UpstreamBroken)
    assert (failure.status, failure.code) == (status, code)


def test_a_stream_that_fails_ends_in_what_sdks_raise_and_what_codex_reads() -> None:
    error = UpstreamRejected("Too long.", status=400, kind="invalid_request_error", code="context_length_exceeded")
    ((name, data), (next_name, next_data)) = SseMessages().feed(responses.error_event(error))
    assert (name, next_name) == (b"error", b"response.failed")
    assert msgspec.json.decode(data) == {
        "type": "error",
        "sequence_number": 0,
        "code": "context_length_exceeded",
        "message": "Too long.",
        "param": None,
        "error": {
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
            "message": "Too long.",
            "param": None,
        },
    }
    failed = msgspec.json.decode(next_data)
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "context_length_exceeded", "message": "Too long."}


def test_an_error_reply_is_openais() -> None:
    error = UpstreamBroken("m", param="input")
    assert msgspec.json.decode(responses.error_body(error)) == {
        "error": {"message": "m", "type": "upstream_error", "param": "input", "code": "upstream_broken"}
    }
