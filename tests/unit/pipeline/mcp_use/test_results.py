from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.pipeline.mcp_use.results import cut, text_of


@pytest.mark.parametrize(
    ("result", "text", "is_error"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb", False),
        ({"content": [{"type": "text", "text": "no"}], "isError": True}, "Error: no", True),
        ({"content": [], "structuredContent": {"n": 1}}, '{"n":1}', False),
        ({"content": [{"type": "text", "text": "a"}], "structuredContent": {"n": 1}}, "a", False),
        (
            {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]},
            "[image, image/png: not shown]",
            False,
        ),
        ({"content": [{"type": "resource", "resource": {"uri": "x://y", "text": "inside"}}]}, "inside", False),
        (
            {"content": [{"type": "resource", "resource": {"uri": "x://y", "blob": "AA=="}}]},
            "[resource, of an unknown type: not shown]",
            False,
        ),
        (
            {"content": [{"type": "resource_link", "uri": "x://y", "name": "y"}]},
            '{"type":"resource_link","uri":"x://y","name":"y"}',
            False,
        ),
        ({"content": [{"type": "resource_link", "resource": 5}]}, '{"type":"resource_link","resource":5}', False),
        ({"content": [{"type": ["x"]}]}, "[['x'], of an unknown type: not shown]", False),
        ({"content": [{"type": {}}]}, "[{}, of an unknown type: not shown]", False),
        ({"content": 7}, "Error: the tool's answer is not one", True),
        ({}, "", False),
    ],
)
def test_a_result_becomes_the_text_that_a_chat_model_can_take(result: Any, text: str, is_error: bool) -> None:
    assert text_of(json.dumps(result).encode()) == (text, is_error)


def test_a_long_text_is_cut_between_characters_and_says_so() -> None:
    assert cut("short", 5) == "short"
    assert cut("ab\u00fcd", 3) == "ab\n[cut here: 2 more bytes]"
    assert cut("abcd", 0) == "\n[cut here: 4 more bytes]"


def test_a_half_of_a_surrogate_pair_does_no_harm() -> None:
    assert cut("a\ud800b", 2) == "a?\n[cut here: 1 more bytes]"


def test_a_result_that_is_nested_too_deep_is_an_error() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert text_of(f'{{"structuredContent": {deep}}}'.encode()) == ("Error: the tool's answer is not one", True)
