from __future__ import annotations

import pytest
from msgspec import Raw

from pointsman.mcp.protocol.meta import members_of, meta_of, text_of, with_members, with_meta
from pointsman.wire.jsonrpc import NONE, RpcError

ODD = Raw(b'{"name": "a","x":  1e2,"_meta":{"progressToken":"t","vendor":  {"a": 1.0}}}')


def test_members_that_nobody_looks_at_stay_as_they_came() -> None:
    assert bytes(members_of(ODD)["x"]) == b"1e2"
    assert bytes(with_meta(ODD, {"b": 1})) == (
        b'{"name":"a","x":1e2,"_meta":{"progressToken":"t","vendor":{"a": 1.0},"b":1}}'
    )


def test_meta_is_added_to_parameters_that_are_not_there() -> None:
    assert bytes(with_meta(NONE, {"b": 1})) == b'{"_meta":{"b":1}}'
    assert meta_of(NONE) == {}


def test_members_of_meta_are_dropped_and_an_empty_one_with_them() -> None:
    assert bytes(with_meta(Raw(b'{"uri":"a","_meta":{"x":1}}'), {}, ("x",))) == b'{"uri":"a"}'
    assert bytes(with_meta(Raw(b'{"_meta":{"x":1,"y":2}}'), {}, ("x", "z"))) == b'{"_meta":{"y":2}}'


def test_members_are_replaced() -> None:
    assert bytes(with_members(Raw(b'{"a":1,"b": 2.0}'), {"a": [3]})) == b'{"a":[3],"b":2.0}'


@pytest.mark.parametrize("params", [b"[]", b"1", b'"a"'])
def test_parameters_that_are_no_object_are_refused(params: bytes) -> None:
    with pytest.raises(RpcError, match="'params' is no object"):
        with_meta(Raw(params), {"b": 1})


def test_meta_that_is_no_object_is_refused() -> None:
    with pytest.raises(RpcError, match="'_meta' is no object"):
        meta_of(Raw(b'{"_meta":1}'))


def test_a_text_is_empty_where_there_is_none() -> None:
    assert text_of(members_of(ODD), "name") == "a"
    assert text_of(members_of(ODD), "x") == ""
    assert text_of({}, "name") == ""
