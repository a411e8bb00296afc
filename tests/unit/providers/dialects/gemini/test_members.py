from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.members import objects_of, read_object


def test_names_are_read_in_camel_case_and_nothing_within_is_touched() -> None:
    assert read_object({"a_b": {"c_d": 1}, "eF": 2}, "x") == {"aB": {"c_d": 1}, "eF": 2}


def test_one_object_stands_for_a_list_of_one() -> None:
    assert objects_of({"a": 1}, "x") == [("x", {"a": 1})]
    assert objects_of([{"a": 1}, {}], "x") == [("x[0]", {"a": 1}), ("x[1]", {})]
    assert objects_of(None, "x") == []


@pytest.mark.parametrize(("value", "param"), [("a", "x"), (7, "x"), ([{}, 7], "x[1]")])
def test_what_is_no_object_is_refused_by_its_place(value: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        objects_of(value, "x")
    assert caught.value.param == param
