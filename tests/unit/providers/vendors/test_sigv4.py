"""The requests of Amazon's own test suite (aws-sig-v4-test-suite, Apache-2.0), and what it leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.providers.vendors.sigv4 import canonical_request, sign

SUITE = Path(__file__).parents[3] / "golden" / "sigv4.json"
VECTORS: list[dict[str, Any]] = msgspec.json.decode(SUITE.read_bytes())
WHEN = 1_440_938_160.0  # 2015-08-30T12:36:00Z


class Keys(msgspec.Struct, frozen=True):
    access_key_id: str = "AKIDEXAMPLE"
    secret_access_key: str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    session_token: str | None = None


def _lines(vector: dict[str, Any]) -> dict[str, str]:
    signed = sign(
        vector["method"].encode(),
        vector["target"].encode(),
        [(name.encode(), value.encode()) for name, value in vector["headers"]],
        vector["body"].encode(),
        Keys(session_token=vector["token"]),
        region="us-east-1",
        service="service",
        when=WHEN,
    )
    assert signed.endswith(b"\r\n")
    return dict(line.split(": ", 1) for line in signed.decode().removesuffix("\r\n").split("\r\n"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_suites_requests_are_signed_as_it_says(vector: dict[str, Any]) -> None:
    lines = _lines(vector)
    assert lines.pop("authorization") == vector["authorization"]
    token = {} if vector["token"] is None else {"x-amz-security-token": vector["token"]}
    assert lines == {"x-amz-date": "20150830T123600Z"} | token


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/example space/", "/example%20space/"),
        (b"/model/us.amazon.nova-lite-v1%3A0/converse", "/model/us.amazon.nova-lite-v1%253A0/converse"),
        (
            b"/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x/converse-stream",
            "/model/arn%253Aaws%253Abedrock%253Aeu-west-1%253A1%253Ainference-profile%252Feu.x/converse-stream",
        ),
        (b"/a/./b/../c/.", "/a/c/"),
        (b"", "/"),
    ],
)
def test_a_path_is_encoded_once_more_than_it_is_sent(target: bytes, path: str) -> None:
    assert canonical_request(b"GET", target, [(b"host", b"h")], b"")[0].split("\n")[1] == path


def test_another_body_or_key_or_time_gives_another_signature() -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == "post-vanilla")
    first = _lines(vector)["authorization"]
    assert _lines(vector | {"body": "x"})["authorization"] != first
    assert _lines(vector | {"token": "t"})["authorization"] != first
