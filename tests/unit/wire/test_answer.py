from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.wire.answer import SMALL_BYTES, Answer, read_answer
from pointsman.wire.usage import Usage

USAGE = b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
SPENT = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
LARGE = b'"data":"' + b"A" * SMALL_BYTES + b'"'


def read(body: bytes, model: str = "house") -> Answer:
    answer = read_answer(body, model)
    assert answer is not None
    return answer


@pytest.mark.parametrize("more", [b'"data":[]', LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "model",
    [b'"model":"up-1"', b'"model": "up-1"', b'"model" : "up-1"', b'"model":\n"u\\"p"', b'"model":""'],
)
def test_the_public_name_takes_the_place_of_the_upstreams_and_every_other_byte_stays(model: bytes, more: bytes) -> None:
    body = b'{ "id":"1", %b, %b,\n %b }' % (model, more, USAGE)
    colon = model[: model.index(b":") + 1] + (b" " if b": " in model else b"\n" if b"\n" in model else b"")
    answer = read(body)
    assert answer.body == body.replace(model, colon + b'"house"')
    assert answer.usage == SPENT
    assert not answer.may_hold_error


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"object":"model"}',
        b'{"a":{"model":"inner"}}',
        b'{"model":null}',
        b'{"model":7}',
        b'{"text":"\\"model\\":\\"x\\""}',
    ],
)
def test_an_answer_that_names_no_model_stays_as_it_is(body: bytes) -> None:
    assert read(body) == Answer(body, None, False)


@pytest.mark.parametrize(
    ("body", "inner"),
    [
        (b'{"a":{"model":"inner"},"model":"up-1"}', b'{"model":"inner"}'),
        (b'{"model":"up-1","a":"the \\"model\\": x"}', b'"the \\"model\\": x"'),
        (b'{"model":"up-1","a":"model"}', b'"model"'),
    ],
)
def test_a_model_that_stands_elsewhere_is_not_touched(body: bytes, inner: bytes) -> None:
    answer = read(body)
    assert json.loads(answer.body)["model"] == "house"
    assert inner in answer.body


def test_a_name_is_written_as_json() -> None:
    assert json.loads(read(b'{"model":"a"}', 'x"\\\n\u00e9').body) == {"model": 'x"\\\n\u00e9'}


@pytest.mark.parametrize("body", [b"", b" ", b"[]", b'"a"', b"{", b'{"a":1', b'{"a":1}}', b"{'a':1}", b"<html>", b"1"])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    assert read_answer(body, "house") is None


@pytest.mark.parametrize("body", [b"[" + LARGE[7:] + b"]", b"{" + LARGE, b"<" + LARGE + b">"])
def test_of_a_large_answer_the_ends_are_looked_at(body: bytes) -> None:
    assert read_answer(body, "house") is None


def test_deep_nesting_is_no_answer_and_no_crash() -> None:
    body = b'{"a":%b%b}' % (b"[" * 8000, b"]" * 8000)
    assert read_answer(body, "house") is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 4, "output_tokens": 5}, Usage(input_tokens=4, output_tokens=5, total_tokens=9)),
        ({"prompt_tokens": -1, "completion_tokens": 2, "total_tokens": "x"}, Usage(output_tokens=2, total_tokens=2)),
        ({"total_tokens": 7}, Usage(input_tokens=7, total_tokens=7)),
        ("none", None),
    ],
)
def test_unusual_usage_is_read_and_costs_neither_the_answer_nor_its_name(usage: Any, expected: Usage | None) -> None:
    answer = read(json.dumps({"model": "up-1", "usage": usage}).encode())
    assert answer.usage == expected
    assert json.loads(answer.body)["model"] == "house"


@pytest.mark.parametrize("more", [b'"data":[]', LARGE], ids=["small", "large"])
def test_an_error_at_the_top_is_noticed(more: bytes) -> None:
    assert read(b'{"error":{"message":"x"},%b}' % more).may_hold_error
    assert read(b'{"error":null,%b}' % more).may_hold_error
    assert not read(b'{"errors":1,%b}' % more).may_hold_error


def test_an_error_deeper_down_is_no_failure_of_the_answer() -> None:
    assert not read(b'{"data":[{"error":"x"}]}').may_hold_error
