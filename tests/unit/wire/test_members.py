from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.wire.members import (
    HEAD,
    MAX_CANDIDATES,
    depth_change,
    find_member,
    find_string,
    is_deeper_than,
    plain_value,
)

KEY = b'"model"'

tricky_text = st.text(st.sampled_from('"\\{}[]:, model') | st.characters(codec="utf-8"), max_size=12)
names = st.sampled_from(["model", 'a"model', "model\\", "x"]) | tricky_text
values = st.recursive(
    st.none() | st.booleans() | st.integers() | tricky_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(st.dictionaries(names, values, max_size=5), st.booleans(), st.sampled_from([0, HEAD]))
def test_a_member_is_found_exactly_where_it_stands_at_the_top_level(
    value: dict[str, Any], is_spaced: bool, head: int
) -> None:
    body = json.dumps(value, separators=(" , ", " : ") if is_spaced else (",", ":")).encode()
    member = find_member(body, KEY, head)
    assert (member is not None) == ("model" in value)
    if member is not None:
        assert body[member[0] :].startswith(KEY)
        assert json.JSONDecoder().raw_decode(body.decode(), member[1])[0] == value["model"]


def test_a_member_is_found_between_long_neighbours() -> None:
    long = [{"model": "nested", "text": 'say "model": {[' * 20}] * 20
    for value in (
        {"model": "x", "a": long, "b": long},
        {"a": long, "model": "x", "b": long},
        {"a": long, "b": long, "model": "x"},
    ):
        body = json.dumps(value).encode()
        member = find_member(body, KEY)
        assert member is not None
        assert body[member[1] : member[1] + 3] == b'"x"'


def test_the_search_is_given_up_after_many_nested_namesakes() -> None:
    long = [{"model": "nested"}] * MAX_CANDIDATES
    assert find_member(json.dumps({"pad": "x" * HEAD, "model": "x", "a": long[1:]}).encode(), KEY)
    assert find_member(json.dumps({"pad": "x" * HEAD, "model": "x", "a": long}).encode(), KEY) is None


def test_text_that_is_not_json_gives_an_answer_of_some_kind() -> None:
    for body in (b"", b'"model":', b'{"model"', b"\\", b'{{{{"model":1', b"\xff" * 9, b'"model":"model":"model":'):
        find_member(body, KEY)


@given(values)
def test_nesting_is_measured_exactly(value: Any) -> None:
    body = json.dumps(value).encode()
    levels = depth(value)
    assert not is_deeper_than(body, max(levels, 1))
    assert depth_change(body) == 0
    if levels > 1:
        assert is_deeper_than(body, levels - 1)


def test_many_shallow_values_are_not_deep() -> None:
    assert not is_deeper_than(json.dumps([[[]], {"a": "[[[["}] * 500).encode(), 3)


@pytest.mark.parametrize("limit", [1, 7, 8, 9, 64])
def test_a_level_more_than_the_limit_is_too_deep(limit: int) -> None:
    wide = b"[" + b",".join([b'{"a":[1,2]}'] * 100) + b"]"
    chain = b"[" * (limit - 1) + b"%b" + b"]" * (limit - 1)
    assert not is_deeper_than(chain % b"[]", limit)
    assert is_deeper_than(chain % b"[[]]", limit)
    assert is_deeper_than(chain % wide, limit)
    assert not is_deeper_than(chain % wide, limit + 2)


def test_a_string_ends_at_its_own_quote() -> None:
    assert find_string(rb'x"a\"b\\"y', 1) == 9
    assert find_string(b'"', 0) is None
    assert find_string(b"5", 0) is None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"k":"v"}', b'"v"'),
        (b'{"k": "v"}', b'"v"'),
        (b'{"k":""}', b'""'),
        (b'{"k" :"v"}', None),
        (b'{"k":  "v"}', None),
        (b'{"k":"\\u0076"}', None),
        (b'{"k":1}', None),
        (b'{"k":"v', None),
        (b'{"x":"k"}', None),
        (b'"k"', None),
    ],
)
def test_a_plain_value_is_found_and_anything_else_is_left_to_a_closer_look(body: bytes, value: bytes | None) -> None:
    span = plain_value(body, body.find(b'"k"') + 3, "" if value == b'""' else "v")
    assert (None if span is None else body[slice(*span)]) == value
