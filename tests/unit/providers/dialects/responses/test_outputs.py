from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.responses.outputs import read_item, said_to, write_logprobs
from pointsman.providers.dialects.responses.tools import Declared
from pointsman.wire.chat import Foreign, Part, Refusal, Text, ToolCall


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        ({"type": "message", "content": None}, []),
        ({"type": "message", "content": [7, {"type": "output_text"}, {"type": "audio"}]}, []),
        (
            {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
            [Text("a"), Refusal("b")],
        ),
        ({"type": "reasoning", "summary": 7}, []),
        ({"type": "function_call", "id": "fc_1"}, [ToolCall(id="fc_1", name="", arguments="")]),
        (
            {"type": "image_generation_call", "status": "failed"},
            [Foreign("responses", {"type": "image_generation_call", "status": "failed"})],
        ),
        ({}, []),
        ({"type": 7}, []),
    ],
)
def test_an_item_is_read_as_far_as_it_goes(item: dict[str, Any], parts: list[Part]) -> None:
    assert read_item(item) == parts


def test_a_tool_hears_what_its_declaration_lets_it_take() -> None:
    assert said_to(Declared("f"), "function", "") == "{}"
    assert said_to(Declared("f"), "function", '{"a":1}') == '{"a":1}'
    assert said_to(Declared("f", is_custom=True), "custom", "") == ""
    assert said_to(Declared("f", is_custom=True), "custom", '{"a":"x"}') == '{"a":"x"}'
    assert said_to(Declared("f", is_custom=True), "function", '{"a":"x"}') == "x"


def test_probabilities_get_all_members_that_the_sdk_insists_on() -> None:
    assert write_logprobs([{"token": "é", "logprob": -1.0, "top_logprobs": None}]) == [
        {"token": "é", "logprob": -1.0, "bytes": [195, 169], "top_logprobs": []}
    ]
    assert write_logprobs(None) == []
