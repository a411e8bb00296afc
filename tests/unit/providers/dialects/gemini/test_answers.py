from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.gemini.golden import built, cases, plain, reply_terms

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.dialects.gemini.answers import count_body, read_answer, write_answer
from pointsman.wire.chat import ToolCall


@cases("answers")
def test_a_providers_answer_is_read(case: dict[str, Any]) -> None:
    assert plain(read_answer(json.dumps(case["native"]).encode())) == case["canonical"]


@cases("answers_out")
def test_a_reply_is_written(case: dict[str, Any]) -> None:
    assert write_answer(built(case["canonical"]), reply_terms(case)) == case["native"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"<html>",
        b"{}",
        b'{"candidates":[]}',
        b'{"candidates":{}}',
        b'{"candidates":[{"content":{"parts":[{"text":7}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":"x"}}]}}]}',
        b'{"error":{}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_answer(body)


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "MALFORMED_RESPONSE", "A_NEW_ONE"])
def test_a_model_that_has_failed_has_answered_which_costs(reason: str) -> None:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}
    answer = read_answer(json.dumps({"candidates": [{"finishReason": reason}], "usageMetadata": usage}).encode())
    (choice,) = answer.choices
    assert (choice.parts, choice.finish, choice.detail) == ([], "stop", reason)
    assert answer.usage is not None
    assert answer.usage.output_tokens == 1


def test_an_error_with_status_200_keeps_its_own() -> None:
    body = b'{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}'
    with pytest.raises(GatewayError) as caught:
        read_answer(body)
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")


def test_calls_of_answers_without_an_id_get_ids_of_their_own() -> None:
    body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"f"}}]}}]%s}'
    ids = [
        part.id
        for end in (b"", b',"modelVersion":"m"')
        for part in read_answer(body % end).choices[0].parts
        if isinstance(part, ToolCall)
    ]
    assert len(set(ids)) == 4


def test_odd_usage_and_logprobs_do_not_cost_the_answer() -> None:
    body = (
        b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"logprobsResult":7,"groundingMetadata":[]}],'
        b'"usageMetadata":{"promptTokenCount":"x"},"error":null}'
    )
    answer = read_answer(body)
    assert (answer.usage, answer.choices[0].logprobs) == (None, None)


def test_a_count_is_written() -> None:
    assert json.loads(count_body(31)) == {"totalTokens": 31}
