from __future__ import annotations

import pytest

from pointsman.a2a.fronts.versions import (
    MAX_EXTENSIONS,
    check_json,
    extensions_of,
    given_version,
    likely,
    version_of,
)
from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import Version
from pointsman.wire.jsonrpc import RpcError


def test_the_header_is_asked_before_the_query() -> None:
    assert given_version({b"a2a-version": b" 1.0 "}, {"A2A-Version": "0.3"}) == "1.0"
    assert given_version({}, {"x": "y", "A2A-Version": "0.3"}) == "0.3"
    assert given_version({b"a2a-version": b""}, {"a2a-version": "1.0"}) == "1.0"
    assert given_version({}, {}) == ""


@pytest.mark.requirement("a2a.versions")
@pytest.mark.parametrize(
    ("given", "version"),
    [("", "0.3"), ("0.3", "0.3"), ("0.3.0", "0.3"), ("1.0", "1.0"), ("1.0.1", "1.0")],
)
def test_only_the_first_two_numbers_count(given: str, version: Version) -> None:
    assert version_of(given, "0.3") == version


@pytest.mark.requirement("a2a.versions")
@pytest.mark.parametrize("given", ["99.0", "1", "1.1", "0.2.5", "0.30", "v1.0", "1.0-beta", "latest", "\u0660.\u0663"])
def test_other_versions_are_refused_with_those_that_there_are(given: str) -> None:
    with pytest.raises(RpcError, match=r"1\.0, 0\.3 are") as caught:
        version_of(given, "0.3")
    assert caught.value.code == faults.VERSION_NOT_SUPPORTED.code


def test_a_long_version_is_not_told_back_in_full() -> None:
    with pytest.raises(RpcError) as caught:
        version_of("9" * 5000, "0.3")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("given", "version"), [("", "0.3"), ("0.2.6", "0.3"), ("0.3", "0.3"), ("1.1", "1.0"), ("99.0", "1.0"), ("x", "0.3")]
)
def test_a_refusal_is_told_in_the_nearest_version(given: str, version: Version) -> None:
    assert likely(given, "0.3") == version


def test_extensions_come_from_both_headers_and_each_of_them_once() -> None:
    headers = {b"a2a-extensions": b"urn:a, urn:b,", b"x-a2a-extensions": b"urn:b,urn:c"}
    assert extensions_of(headers) == ("urn:a", "urn:b", "urn:c")
    assert extensions_of({}) == ()


def test_there_are_only_so_many_extensions() -> None:
    many = b",".join(b"urn:%d" % number for number in range(MAX_EXTENSIONS + 10))
    assert len(extensions_of({b"a2a-extensions": many})) == MAX_EXTENSIONS


@pytest.mark.parametrize(
    "kind",
    [b"application/json", b"Application/JSON; charset=utf-8", b"application/a2a+json", b"application/x-y.z+json"],
)
def test_json_is_taken_by_any_of_its_names(kind: bytes) -> None:
    check_json({b"content-type": kind})


@pytest.mark.parametrize("kind", [None, b"", b"text/plain", b"application/jsonx", b"text/json"])
def test_what_is_not_said_to_be_json_is_refused(kind: bytes | None) -> None:
    with pytest.raises(RpcError) as caught:
        check_json({} if kind is None else {b"content-type": kind})
    assert caught.value.code == faults.CONTENT_TYPE_NOT_SUPPORTED.code
