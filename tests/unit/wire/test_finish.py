from __future__ import annotations

import pytest

from pointsman.wire.finish import problem_of


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"choices":[{"finish_reason":"stop"}]}', ""),
        (b'{"choices":[{"finish_reason": "length"}]}', "truncated"),
        (b'{"choices":[{"finish_reason":"stop"},{"finish_reason":"content_filter"}]}', "refused"),
        (b'{\n "stop_reason": "max_tokens"\n}', "truncated"),
        (b'{"stop_reason":"refusal"}', "refused"),
        (b'{"candidates":[{"finishReason":"MAX_TOKENS"}]}', "truncated"),
        (b'{"candidates":[{"finishReason":"SAFETY"}]}', "refused"),
        (b'{"incomplete_details":{"reason":"max_output_tokens"}}', "truncated"),
        (b'data: {"choices":[]}\n\ndata: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\n', "truncated"),
        (b'event: message_delta\r\ndata: {"delta":{"stop_reason":"max_tokens"}}\r\n\r\n', "truncated"),
        (b'event: x\ndata:{"response":{"incomplete_details":{"reason":"content_filter"}}}\n\n', "refused"),
        (b',\n{"candidates":[{"finishReason":"MAX_TOKENS"}]}]', "truncated"),
        (b'{"choices":[{"finish_reason":null}]}', ""),
        (b'{"choices":[{"finish_reason":"tool_calls"}]}', ""),
        (b'{"content":"\\"finish_reason\\":\\"length\\""}', ""),
        (b"", ""),
        (b"\xff\x00", ""),
        (b'\xff{"stop_reason":"refusal"', ""),
        (b'{"choices":{"finish_reason":"length"},"delta":[],"candidates":["finishReason"],"reason":"length"}', ""),
    ],
)
def test_an_answer_says_itself_that_it_was_refused_or_cut_off(data: bytes, problem: str) -> None:
    assert problem_of(data) == problem


@pytest.mark.parametrize(
    "data",
    [
        b'{"stop_reason":"tool_use","content":[{"type":"tool_use","input":{"stop_reason":"max_tokens"}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"reason":"safety"}}}]},"finishReason":"STOP"}]}',
        b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"args":{"finishReason":"SAFETY"}}}]}}]}\n\n',
    ],
)
def test_what_a_tool_is_called_with_says_nothing_of_the_answer(data: bytes) -> None:
    assert problem_of(data) == ""
