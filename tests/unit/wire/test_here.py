from __future__ import annotations

import pytest

from pointsman.wire.here import base_of


@pytest.mark.parametrize(
    ("public_url", "headers", "base"),
    [
        ("https://gate.example/", {b"host": b"other"}, "https://gate.example"),
        ("", {b"host": b"gate.example:4000"}, "http://gate.example:4000"),
        ("", {b"host": b"[::1]:4000"}, "http://[::1]:4000"),
        ("", {b"host": b"gate.example", b"x-forwarded-proto": b"https, http"}, "https://gate.example"),
        ("", {b"host": b"gate.example", b"x-forwarded-proto": b"javascript"}, "http://gate.example"),
        ("", {b"host": b"gate.example/x\r\nset-cookie: a"}, "http://localhost"),
        ("", {b"host": b'gate"><script>'}, "http://localhost"),
        ("", {}, "http://localhost"),
    ],
)
def test_the_gateway_is_where_it_says_or_where_a_client_has_found_it(
    public_url: str, headers: dict[bytes, bytes], base: str
) -> None:
    assert base_of(public_url, headers) == base
