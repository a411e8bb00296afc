from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic.fields import need, number, objects, place, rest, take, texts, unfit


def test_places_are_joined_by_dots() -> None:
    assert (place("", "model"), place("tools[0]", "name")) == ("model", "tools[0].name")


@pytest.mark.parametrize(
    ("value", "kind"), [(1, str), ("1", int), (True, int), (1.0, int), (1, bool), ({}, list), ([], dict)]
)
def test_a_member_of_another_kind_is_refused(value: Any, kind: type[Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        take({"a": value}, "a", kind, "b")
    assert caught.value.param == "b.a"


def test_what_is_not_there_is_none_and_what_is_needed_is_missed() -> None:
    assert take({}, "a", str) is take({"a": None}, "a", str) is None
    assert need({"a": ""}, "a", str) == ""
    with pytest.raises(InvalidRequest, match=r"Missing 'b\.a'"):
        need({"a": None}, "a", str, "b")


def test_a_number_may_be_whole_but_not_a_truth() -> None:
    assert (number({"a": 2}, "a"), number({"a": 0.5}, "a"), number({}, "a")) == (2.0, 0.5, None)
    with pytest.raises(InvalidRequest):
        number({"a": True}, "a")


def test_objects_come_with_their_places() -> None:
    assert list(objects([{}, {"b": 1}], "a")) == [({}, "a[0]"), ({"b": 1}, "a[1]")]
    with pytest.raises(InvalidRequest) as caught:
        list(objects([{}, []], "a"))
    assert caught.value.param == "a[1]"


def test_a_list_of_texts_holds_texts_only() -> None:
    assert (texts({"a": ["b"]}, "a"), texts({}, "a")) == (["b"], [])
    with pytest.raises(InvalidRequest):
        texts({"a": ["b", None]}, "a")


def test_the_rest_is_what_is_not_known() -> None:
    assert rest({"a": 1, "b": 2}, ("a",)) == {"b": 2}


def test_a_refusal_says_what_was_expected() -> None:
    refusal = unfit("a.b", "a string")
    assert (refusal.message, refusal.param) == ("Invalid 'a.b': expected a string", "a.b")
