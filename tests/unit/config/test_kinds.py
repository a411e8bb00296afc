from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pointsman.config import kinds
from pointsman.config.kinds import Kind, Mismatch
from pointsman.wire.secret import Secret


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        (kinds.TEXT, "a", "a"),
        (kinds.IDENTIFIER, 7, "7"),
        (kinds.SECRET, " sk-1\n", Secret("sk-1")),
        (kinds.FLAG, True, True),
        (kinds.FLAG, "False", False),
        (kinds.SECONDS, "30", 30.0),
        (kinds.SECONDS, 0.5, 0.5),
        (kinds.whole(0), "100", 100),
        (kinds.whole(0), 3.0, 3),
        (kinds.number(0), 0, 0.0),
        (kinds.DELAY, "P95", None),
        (kinds.DELAY, "0.5", 0.5),
        (kinds.FALLBACKS, [{"a": ["b"]}], [{"a": ["b"]}]),
        (kinds.one_of({"cancel": False, "drain": True}), "Drain", True),
        (kinds.mapping_to({}), {"a": 1}, {"a": 1}),
        (kinds.USD, "3e-06", Decimal("0.000003")),
        (kinds.USD, 0.0000025, Decimal("0.0000025")),
        (kinds.TEXTS, "one", ("one",)),
        (kinds.TEXTS, ["a", "b"], ("a", "b")),
        (kinds.HEADERS, {"x-a": "1", "x-b": 2}, (("x-a", "1"), ("x-b", "2"))),
        (kinds.HEADER_NAME, "X-My-Key", "X-My-Key"),
        (kinds.URL, "https://host/v1/", "https://host/v1"),
        (kinds.URL, "http://[::1]:8000", "http://[::1]:8000"),
        (kinds.AUTHORITIES, "false", False),
        (kinds.AUTHORITIES, "/etc/ca.pem", "/etc/ca.pem"),
    ],
)
def test_a_value_is_read_as_its_kind(kind: Kind, given: Any, read: Any) -> None:
    assert kind.read(given) == read


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (kinds.TEXT, 4),
        (kinds.TEXT, "  "),
        (kinds.IDENTIFIER, True),
        (kinds.SECRET, 1234),
        (kinds.SECRET, "a\nb"),
        (kinds.SECRET, "schlüssel"),
        (kinds.FLAG, 1),
        (kinds.FLAG, "maybe"),
        (kinds.SECONDS, 0),
        (kinds.SECONDS, 100_000),
        (kinds.SECONDS, "soon"),
        (kinds.SECONDS, True),
        (kinds.SECONDS, "1e999"),
        (kinds.whole(0), 1.5),
        (kinds.whole(1), 0),
        (kinds.whole(0, 10), 11),
        (kinds.number(0), -1),
        (kinds.DELAY, "p99"),
        (kinds.DELAY, 0),
        (kinds.FALLBACKS, {"a": ["b"]}),
        (kinds.one_of({"cancel": False}), "stop"),
        (kinds.one_of({"cancel": False}), True),
        (kinds.mapping_to({}), []),
        (kinds.USD, -0.1),
        (kinds.USD, "nan"),
        (kinds.TEXTS, [1]),
        (kinds.TEXTS, {"a": 1}),
        (kinds.OBJECT, []),
        (kinds.LIST, {}),
        (kinds.HEADERS, {"a b": "c"}),
        (kinds.HEADERS, {"x-a": "b\r\nx-c: d"}),
        (kinds.HEADERS, {"Content-Length": "0"}),
        (kinds.HEADERS, {"Host": "elsewhere"}),
        (kinds.HEADERS, {"x-a": ["b"]}),
        (kinds.HEADER_NAME, "a:b"),
        (kinds.URL, "host/v1"),
        (kinds.URL, "ftp://host"),
        (kinds.URL, "http://"),
        (kinds.URL, "http://host:99999"),
        (kinds.URL, "http://[::1"),
        (kinds.URL, "http://user:pass@host/v1"),
        (kinds.URL, "http://host/v1?key=1"),
        (kinds.URL, "http://ho st/v1"),
        (kinds.AUTHORITIES, 3),
    ],
)
def test_another_value_is_a_mismatch(kind: Kind, given: Any) -> None:
    with pytest.raises(Mismatch):
        kind.read(given)


@pytest.mark.parametrize("kind", [kinds.SECRET, kinds.URL, kinds.SECONDS, kinds.USD, kinds.FLAG, kinds.HEADERS])
def test_a_mismatch_never_repeats_the_value(kind: Kind) -> None:
    for value in ("Confidential\x01", {"x-key": "Confidential\n"}, ["Confidential"]):
        with pytest.raises(Mismatch) as caught:
            kind.read(value)
        assert "Confidential" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "nothing"), (True, "true or false"), (1, "a number"), ("a", "text"), ([], "a list"), ({}, "a mapping")],
)
def test_every_value_has_a_name_in_plain_words(value: Any, words: str) -> None:
    assert kinds.name_of(value) == words
