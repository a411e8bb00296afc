from __future__ import annotations

import pytest

from pointsman.access.places import OURS, origin_of, wrong_header, wrong_network, wrong_url


@pytest.mark.parametrize("url", ["https://h", "http://h:8080/mcp?key=1", "HTTPS://H/x", "http://[::1]/"])
def test_an_address_may_have_a_query(url: str) -> None:
    assert wrong_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "h", "ftp://h", "file:///etc/passwd", "http://", "http://u:p@h", "http://u@h", "http://h/#x"),
        *("http://h:0", "http://h:99999", "http://h/a b", "http://h/\n", "http://é", "http://["),
        "http://h/" + "x" * 2048,
    ],
)
def test_what_nobody_can_call_is_no_address(url: str) -> None:
    assert wrong_url(url) is not None


@pytest.mark.parametrize(
    ("name", "value", "is_well"),
    [
        ("x-key", "a b", True),
        ("Authorization", "Bearer x", True),
        ("x key", "a", False),
        ("", "a", False),
        ("x-key", "a\r\nb", False),
        ("x-key", "a\x00", False),
        ("Host", "h", False),
        ("content-length", "1", False),
        ("Mcp-Session-Id", "x", False),
        ("A2A-Version", "1.0", False),
        ("X-A2A-Extensions", "x", False),
    ],
)
def test_a_header_is_neither_of_the_connection_nor_of_the_protocol(name: str, value: str, is_well: bool) -> None:
    assert (wrong_header(name, value) is None) is is_well


def test_a_network_is_told_from_a_host_by_its_slash() -> None:
    for text in ("10.0.0.0/8", "10.1.2.3/8", "fd00::/8", "10.0.0.1", "inside"):
        assert wrong_network(text) is None
    for text in ("10.0.0.0/99", "inside/8"):
        assert wrong_network(text) is not None


def test_addresses_are_of_the_same_place_if_whoever_answers_is_the_same() -> None:
    assert origin_of("http://H:80/a?b") == origin_of("http://h:80/c")
    others = ("https://h:80", "http://h:81", "http://i:80", "http://h")
    assert origin_of("http://h:80") not in [origin_of(other) for other in others]


def test_headers_with_a_key_of_this_gateway_are_for_nobody_else() -> None:
    assert {"authorization", "x-api-key", "cookie"} <= OURS
