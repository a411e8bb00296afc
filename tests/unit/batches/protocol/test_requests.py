from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.batches.protocol.requests import RequestScanner
from pointsman.errors import BodyTooLarge, GatewayError, InvalidRequest

TRICKY: dict[str, Any] = {
    "metadata": {"requests": [{"no": 1}]},
    "requests": [
        {"custom_id": "a", "params": {"text": 'she said \\"{[ "requests": [ ]}', "requests": [{"x": 1}]}},
        {},
        {"b": [[{"c": "é\n\t"}], "\\"]},
    ],
    "more": [{"no": 2}],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("requests"), inner, max_size=3),
    max_leaves=10,
)


def scan(body: bytes, size: int, max_bytes: int = 1 << 20) -> list[Any]:
    scanner = RequestScanner(max_bytes)
    found = [one for at in range(0, len(body), size) for one in scanner.feed(body[at : at + size])]
    scanner.close()
    assert scanner.count == len(found)
    return [json.loads(one) for one in found]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("indent", [None, 2])
def test_requests_are_given_however_they_arrive(size: int, indent: int | None) -> None:
    assert scan(json.dumps(TRICKY, indent=indent).encode(), size) == TRICKY["requests"]


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5), JSON, st.integers(1, 50))
def test_requests_are_what_a_parser_finds(requests: list[dict[str, Any]], other: Any, size: int) -> None:
    body = msgspec.json.encode({"other": other, "requests": requests, "z": other})
    assert scan(body, size) == json.loads(body)["requests"]


@given(st.binary(max_size=200) | st.text('{}[]",:\\ requests1null', max_size=80).map(str.encode), st.integers(1, 9))
def test_what_is_taken_is_json_with_these_requests(body: bytes, size: int) -> None:
    try:
        found = scan(body, size)
    except (GatewayError, ValueError):
        return
    assert json.loads(body)["requests"] == found


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not valid JSON"),
        (b'{"requests":[{}', "not valid JSON"),
        (b'{"requests":[{} {}]}', "not valid JSON"),
        (b'{"requests":[{},]}', "not valid JSON"),
        (b'{"requests":[{}]}}', "not valid JSON"),
        (b"]]]]{{{", "not valid JSON"),
        (b"{}", "Field required"),
        (b"[]", "must be an array of objects"),
        (b'{"requests":{}}', "must be an array of objects"),
        (b'{"requests":[1]}', "must be an array of objects"),
        (b'{"requests":[[{}]]}', "must be an array of objects"),
        (b'{"requests":[]}', "must not be empty"),
        (b'{"requests":[null,{}]}', "must hold objects only"),
        (b'{"requests":[{}],"requests":[{}]}', "be there once"),
    ],
)
def test_what_is_no_array_of_requests_is_refused(body: bytes, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        scan(body, 3)


def test_no_more_is_held_than_one_request_may_have() -> None:
    scanner = RequestScanner(100)
    scanner.feed(b'{"requests":[{"a":"')
    scanner.feed(b"x" * 90)
    with pytest.raises(BodyTooLarge, match=r"requests\.0: it is larger than the 100 bytes"):
        scanner.feed(b"x" * 90)


def test_no_more_is_held_of_what_stands_beside_the_requests() -> None:
    scanner = RequestScanner(1 << 30)
    with pytest.raises(InvalidRequest, match="too much"):
        scanner.feed(b'{"metadata":"' + b"x" * 100_000)
