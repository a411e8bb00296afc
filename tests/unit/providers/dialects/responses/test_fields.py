from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.responses import fields


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (fields.text, "x", 1),
        (fields.number, 0.5, "0.5"),
        (fields.number, 1, True),
        (fields.whole, 1, 1.0),
        (fields.whole, 1, True),
        (fields.flag, False, 0),
        (fields.members, {}, []),
        (fields.objects, [{}], [1]),
        (fields.objects, [], {}),
        (fields.texts, ["x"], [None]),
        (fields.texts, [], "x"),
    ],
)
def test_a_value_is_taken_or_refused(read: Callable[[Any, str], Any], good: Any, bad: Any) -> None:
    assert read(good, "a.b") == good
    with pytest.raises(InvalidRequest, match=r"Invalid 'a\.b") as refused:
        read(bad, "a.b")
    assert refused.value.param is not None
    assert refused.value.param.startswith("a.b")


def test_null_is_as_good_as_absent() -> None:
    assert fields.optional({"x": None}, "x", fields.text) is None
    assert fields.optional({}, "x", fields.text) is None
    assert fields.optional({"x": ""}, "x", fields.text) == ""
    with pytest.raises(InvalidRequest, match=r"Missing required parameter: 'a\.x'") as refused:
        fields.needed({"x": None}, "x", fields.text, "a")
    assert refused.value.param == "a.x"
    assert fields.needed({"x": ""}, "x", fields.text, "a") == ""
