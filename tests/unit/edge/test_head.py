from __future__ import annotations

import pytest

from pointsman.edge.head import MAX_HEADERS, check_coding, check_host, check_size, join_repeated, split_target
from pointsman.errors import HeadTooLarge, InvalidRequest


@pytest.mark.parametrize("host", [b"h", b"a.example:4000", b"127.0.0.1", b"[::1]:80", b"under_score"])
def test_a_host_is_a_name_or_an_address_with_a_port(host: bytes) -> None:
    check_host(host, "1.1")


@pytest.mark.parametrize("host", [None, b"", b"a/x?", b"a b", b"a#b", b"a:port", b"user@h", b"a,b:c"])
def test_anything_else_is_no_host(host: bytes | None) -> None:
    with pytest.raises(InvalidRequest, match="Host"):
        check_host(host, "1.1")


def test_http_1_0_may_leave_the_host_out() -> None:
    check_host(None, "1.0")


def test_only_chunked_is_understood_and_only_in_http_1_1() -> None:
    check_coding(b"Chunked", "1.1")
    for coding, version in ((b"gzip, chunked", "1.1"), (b"identity", "1.1"), (b"chunked", "1.0")):
        with pytest.raises(InvalidRequest):
            check_coding(coding, version)


def test_the_size_of_a_head_is_that_of_its_target_names_and_values() -> None:
    check_size(b"/abc", {b"ab": b"cd"}, 8)
    with pytest.raises(HeadTooLarge):
        check_size(b"/abc", {b"ab": b"cd"}, 7)


def test_a_repeated_header_is_joined_unless_it_must_stand_once_or_there_are_too_many() -> None:
    headers = {b"accept": b"a", b"host": b"h"}
    join_repeated(headers, b"accept", b"b", 1)
    assert headers[b"accept"] == b"a, b"
    with pytest.raises(InvalidRequest, match="more than one host"):
        join_repeated(headers, b"host", b"x", 2)
    with pytest.raises(HeadTooLarge):
        join_repeated(headers, b"accept", b"c", MAX_HEADERS)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (b"/v1/models", ("/v1/models", "")),
        (b"/a%20b?x=%41&y", ("/a b", "x=%41&y")),
        (b"http://h/v1?x", ("/v1", "x")),
        (b"http://h", ("/", "")),
    ],
)
def test_a_target_is_split_into_a_decoded_path_and_a_raw_query(url: bytes, target: tuple[str, str]) -> None:
    assert split_target(url) == target


def test_what_is_no_target_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="target"):
        split_target(b"nonsense here")
