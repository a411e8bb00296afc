from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.wire.cachecontrol import CacheControl, cache_control


def test_who_says_nothing_reads_and_writes() -> None:
    said = cache_control(None, None, None)
    assert said == CacheControl(is_asked_for=False, can_read=True, can_write=True, ttl=None, max_age=None, namespace="")
    assert cache_control({}, None, b"") == said


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"no-cache": True}, CacheControl(can_read=False)),
        ({"no-store": True}, CacheControl(can_write=False)),
        ({"no-cache": True, "no-store": True}, CacheControl(can_read=False, can_write=False)),
        ({"no-cache": False, "no-store": None}, CacheControl()),
        ({"ttl": 300}, CacheControl(ttl=300.0)),
        ({"ttl": 0.5}, CacheControl(ttl=0.5)),
        ({"s-maxage": 60}, CacheControl(max_age=60.0)),
        ({"namespace": "team-a"}, CacheControl(namespace="team-a")),
        ({"use-cache": True}, CacheControl(is_asked_for=True)),
        ({"use-cache": False}, CacheControl()),
        ({"something": "else"}, CacheControl()),
    ],
)
def test_the_body_says_it_as_with_litellm(members: dict[str, Any], expected: CacheControl) -> None:
    assert cache_control(members, None, None) == expected


def test_caching_is_a_switch() -> None:
    assert cache_control(None, True, None) == CacheControl(is_asked_for=True)
    assert cache_control({"use-cache": True}, False, None) == CacheControl(
        is_asked_for=True, can_read=False, can_write=False
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"no-cache", CacheControl(can_read=False)),
        (b"No-Store, no-cache", CacheControl(can_read=False, can_write=False)),
        (b"max-age=60", CacheControl(max_age=60.0)),
        (b'max-age="60"', CacheControl(max_age=60.0)),
        (b"max-age=60, s-maxage=10", CacheControl(max_age=10.0)),
        (b"max-age=0", CacheControl(max_age=0.0)),
        (b"max-age=" + b"9" * 500, CacheControl(max_age=float("inf"))),
        (b"max-age=-1", CacheControl()),
        (b"max-age=soon, s-maxage", CacheControl()),
        ("max-age=\u00b2".encode("latin-1"), CacheControl()),
        (b"private, ,=,\xff", CacheControl()),
    ],
)
def test_the_header_says_it_as_http_has_it(header: bytes, expected: CacheControl) -> None:
    assert cache_control(None, None, header) == expected


def test_the_body_goes_before_the_header() -> None:
    said = cache_control({"no-cache": False, "no-store": False, "s-maxage": 5}, None, b"no-cache, no-store, max-age=9")
    assert said == CacheControl(max_age=5.0)
    assert cache_control({"ttl": 5}, None, b"no-cache") == CacheControl(can_read=False, ttl=5.0)


@pytest.mark.parametrize(
    "members",
    [{"ttl": "long"}, {"ttl": -1}, {"s-maxage": -0.1}, {"no-cache": "yes"}, {"no-store": 1}, {"namespace": 7}],
)
def test_what_has_the_wrong_type_is_refused_by_name(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=rf"Invalid 'cache': .*\$\.{next(iter(members))}") as raised:
        cache_control(members, None, None)
    assert raised.value.param == "cache"
