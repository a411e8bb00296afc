from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.openai.golden import built, cases

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected
from pointsman.providers.dialects import openai


@cases("answers")
def test_an_answer_is_read(case: Any) -> None:
    assert openai.read_answer(json.dumps(case["native"]).encode()) == built(case["canonical"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":null}',
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":[7]}',
        b'{"choices":[{"message":"x"}]}',
        b'{"choices":[{"message":{},"finish_reason":"error"}]}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"c"}]}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"arguments":"{}"}}]}}]}',
        b'{"choices":[{"message":{"tool_calls":["c"]}}]}',
        b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_no_answer_is_a_broken_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        openai.read_answer(body)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"error":{"message":"Overloaded","code":429}}', 429, "rate_limit_exceeded"),
        (b'{"object":"error","message":"maximum context length is 5","code":400}', 502, "context_length_exceeded"),
        (b'{"error":{"message":"x"},"choices":[]}', 502, None),
    ],
)
def test_an_error_in_the_place_of_an_answer_is_that_error(body: bytes, status: int, code: str | None) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        openai.read_answer(body)
    error: GatewayError = caught.value
    assert (error.status, error.code) == (status, code)


def test_members_of_odd_types_are_skipped() -> None:
    choice: dict[str, Any] = {
        "index": "0",
        "message": {"content": "a", "annotations": "x", "images": [7, {"image_url": 1}], "reasoning": {}, "audio": 1},
        "finish_reason": None,
        "logprobs": [],
        "stop_reason": 5,
    }
    answer = openai.read_answer(json.dumps({"id": 7, "created": "now", "usage": "none", "choices": [choice]}).encode())
    assert (answer.id, answer.created, answer.usage) == (None, None, None)
    assert [len(found.parts) for found in answer.choices] == [1]
    assert answer.choices[0].finish == "stop"
