from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit.providers.dialects.converse import golden

from pointsman.providers.dialects.converse.failing import read_exception
from pointsman.providers.failures import classify


@pytest.mark.parametrize("path", golden.cases("errors"), ids=lambda path: path.stem)
def test_an_error_is_classified_as_recorded(path: Path) -> None:
    case = golden.load(path)
    headers = [(name.encode(), value.encode()) for name, value in case["headers"].items()]
    body = msgspec.json.encode(case["native"])
    address = "https://bedrock-runtime.us-east-1.amazonaws.com"
    error = classify(case["status"], headers, body, secrets=(), address=address, now=0.0)
    assert {name: getattr(error, name) for name in case["expected"]} == case["expected"]


@pytest.mark.parametrize(
    ("name", "payload", "status", "is_retryable"),
    [
        (b"throttlingException", b'{"message":"m"}', 429, True),
        (b"ThrottlingException", b'{"message":"m"}', 429, True),
        (b"validationException", b'{"message":"m"}', 400, False),
        (b"internalServerException", b'{"message":"m"}', 500, True),
        (b"serviceUnavailableException", b"", 503, True),
        (b"modelTimeoutException", b'{"message":"m"}', 504, True),
        (b"modelStreamErrorException", b'{"message":"m","originalStatusCode":400}', 400, False),
        (b"modelStreamErrorException", b'{"message":"m","originalStatusCode":424}', 502, True),
        (b"modelStreamErrorException", b'{"message":"m","originalStatusCode":200}', 502, True),
        (b"modelStreamErrorException", b"not json", 502, True),
        (b"ofTheFuture", b'{"message":"m"}', 502, True),
        (b"\xff", b"[", 502, True),
        (b"modelStreamErrorException", b'{"message":"\xff"}', 502, True),
    ],
)
def test_an_exception_of_a_stream_is_what_its_status_would_be(
    name: bytes, payload: bytes, status: int, is_retryable: bool
) -> None:
    error = read_exception(name, payload)
    assert (error.status, error.is_retryable) == (status, is_retryable)
