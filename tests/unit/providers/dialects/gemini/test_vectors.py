from __future__ import annotations

import base64
import json
import struct

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.vectors import dimensions_of, own_options, reply, texts_of
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage


@pytest.mark.parametrize("given", [None, [], 7, [1, 2], [["a"]], {"text": "a"}])
def test_only_texts_are_taken(given: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        texts_of({"input": given})
    assert caught.value.param == "input"


def test_one_text_stands_for_a_list_of_one() -> None:
    assert texts_of({"input": "a"}) == ["a"]


def test_googles_own_parameters_are_taken_and_others_lost() -> None:
    terms = Terms(model="m", drops=frozenset({"foo"}))
    body = {
        "model": "m",
        "input": "a",
        "task_type": "X",
        "user": "u",
        "foo": 1,
        "title": None,
        "encoding_format": "float",
    }
    assert own_options(body, ("taskType", "title"), terms) == {"taskType": "X"}
    assert terms.lost == ["user"]


def test_dimensions_can_be_dropped() -> None:
    assert dimensions_of({"dimensions": 8}, Terms(model="m")) == {"outputDimensionality": 8}
    assert dimensions_of({"dimensions": 8}, Terms(model="m", drops=frozenset({"dimensions"}))) == {}
    assert dimensions_of({}, Terms(model="m")) == {}


def test_base64_is_made_of_little_endian_floats() -> None:
    answer = reply([[0.5, -1.0]], 3, {"model": "m", "input": "a", "encoding_format": "base64"})
    body = json.loads(answer.body)
    assert struct.unpack("<2f", base64.b64decode(body["data"][0]["embedding"])) == (0.5, -1.0)
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert answer.usage == Usage(input_tokens=3, total_tokens=3)


def test_tokens_that_nobody_counted_are_estimated() -> None:
    body = json.loads(reply([[0.5]], None, {"model": "m", "input": ["x" * 36]}).body)
    assert body["usage"]["prompt_tokens"] == 10
