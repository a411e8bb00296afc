from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.openai.fields import Fields


def test_what_was_not_taken_is_left_and_null_is_nothing() -> None:
    fields = Fields({"a": "x", "b": None, "c": 1})
    assert (fields.text("a"), fields.text("b"), fields.rest) == ("x", None, {"c": 1})


def test_every_type_is_read() -> None:
    fields = Fields({"f": True, "n": 1.5, "w": 7.0, "i": [1], "o": {"x": 1}, "s": {}, "any": [None]})
    assert fields.flag("f") is True
    assert fields.number("n") == 1.5
    assert fields.whole("w") == 7
    assert fields.items("i") == [1]
    inner = fields.inner("o")
    assert inner is not None
    assert inner.place("x") == "o.x"
    assert fields.schema("s") == {}
    assert fields.take("any") == [None]
    assert fields.items("none") == []


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 1),
        ("flag", 1),
        ("number", True),
        ("number", "1"),
        ("whole", 1.5),
        ("items", {}),
        ("inner", []),
        ("schema", []),
        ("needed_text", None),
        ("needed_inner", None),
    ],
)
def test_a_member_of_another_type_is_refused_by_its_place(method: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        getattr(Fields({"x": value}, "messages[2]"), method)("x")
    assert caught.value.param == "messages[2].x"
    assert "messages[2].x" in caught.value.message


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="The body must be an object"):
        Fields([])
    with pytest.raises(InvalidRequest, match=r"tools\[0\]"):
        Fields("x", "tools[0]")
