from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.cohere.golden import cases, plain

from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.providers.dialects import cohere
from pointsman.providers.dialects.cohere.answers import read_finish, read_logprobs, read_usage
from pointsman.wire.usage import Usage


@cases("answers")
def test_an_answer_is_read(case: dict[str, Any]) -> None:
    assert plain(cohere.read_answer(json.dumps(case["native"]).encode())) == case["canonical"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b'{"message": []}',
        b'{"message": {"content": "text"}}',
        b'{"message": {"content": [1]}}',
        b'{"message": {"tool_calls": [{"id": "1"}]}}',
        b'{"message": {"tool_calls": [{"id": "1", "function": {"arguments": "{}"}}]}}',
        b'{"message": {}, "finish_reason": 7}',
        b'{"message": {}, "finish_reason": "ERROR"}',
        b'{"message": {}, "finish_reason": "TIMEOUT"}',
        b'{"message": {"tool_plan": "\xff"}}',
        b'{"message": {"content": [' + b'{"a":[' * 50_000,
    ],
)
def test_what_is_no_answer_is_broken(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        cohere.read_answer(body)


@pytest.mark.parametrize("body", [b'{"message": "no such model"}', b'{"error": {"message": "no such model"}}'])
def test_an_error_with_status_200_is_one(body: bytes) -> None:
    with pytest.raises(UpstreamRejected, match="no such model"):
        cohere.read_answer(body)


def test_an_answer_may_leave_out_all_but_the_message() -> None:
    answer = cohere.read_answer(b'{"message": {"citations": [1], "tool_calls": [], "content": null}}')
    assert answer.choices[0].parts == []
    assert answer.choices[0].finish == "stop"
    assert answer.usage is None


@pytest.mark.parametrize(
    ("word", "has_calls", "finish"),
    [
        ("COMPLETE", False, ("stop", None)),
        ("COMPLETE", True, ("tool_calls", None)),
        ("MAX_TOKENS", True, ("length", None)),
        ("ERROR_TOXIC", False, ("content_filter", None)),
        ("SOMETHING_NEW", False, ("stop", "SOMETHING_NEW")),
        ("SOMETHING_NEW", True, ("tool_calls", "SOMETHING_NEW")),
    ],
)
def test_a_reason_is_understood(word: str, has_calls: bool, finish: object) -> None:
    assert read_finish(word, has_calls=has_calls) == finish


@pytest.mark.parametrize(
    ("cached", "counted"),
    [(900, 0), (913, 0), (920, 7), (950, 37), (5000, 37), (-1, 0), (None, 0)],
)
def test_only_what_must_be_billed_of_the_cached_tokens_counts(cached: int | None, counted: int) -> None:
    value = {"billed_units": {"input_tokens": 37, "output_tokens": 28}, "tokens": {"input_tokens": 950}}
    usage = Usage(input_tokens=37, output_tokens=28, total_tokens=65, cached_input_tokens=counted)
    assert read_usage(value | {"cached_tokens": cached}) == usage


@pytest.mark.parametrize("value", [None, 7, {}, {"billed_units": 1}, {"tokens": {"input_tokens": "x"}}])
def test_usage_that_says_nothing_is_none(value: object) -> None:
    assert read_usage(value) is None


def test_odd_probabilities_are_left_out() -> None:
    assert read_logprobs([1, {"text": 2}, {"text": "a", "logprobs": None}]) is None
    assert read_logprobs({"text": "a", "logprobs": [-1.0, "x"]}) == [
        {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}
    ]
