from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.responses import golden

from pointsman.errors import Inexpressible, InvalidRequest
from pointsman.providers.dialects import responses
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest

LEAVE_SOMETHING_OUT = {"multimodal", "seals_of_others"}
"""Sound, and the reasoning of other providers."""


def read(body: dict[str, Any]) -> ChatRequest:
    return responses.read_request(msgspec.json.encode({"model": "m", "input": "Hi"} | body))


@pytest.mark.requirement("responses.inbound")
@pytest.mark.parametrize("path", golden.cases("requests_in"), ids=lambda path: path.stem)
def test_what_clients_send_is_read(path: Path) -> None:
    case = golden.load(path)
    assert responses.read_request(msgspec.json.encode(case["native"])) == golden.request(case["canonical"])


@pytest.mark.parametrize("path", [path for path in golden.cases("requests_in") if path.stem not in LEAVE_SOMETHING_OUT])
def test_what_was_read_is_the_same_after_it_was_written_and_read_again(path: Path) -> None:
    request = golden.request(golden.load(path)["canonical"])
    terms = Terms(model=request.model or "")
    again = responses.read_request(msgspec.json.encode(responses.write_request(request, terms)))
    for each in (request, again):
        each.options.pop("store", None)
        for tool in each.tools:
            tool.is_strict = tool.is_strict or None
    assert again == request
    assert terms.lost == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png,x"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        (
            {
                "input": [
                    {"type": "function_call_output", "call_id": "c", "output": [{"type": "refusal", "refusal": ""}]}
                ]
            },
            "input[0].output[0]",
        ),
        ({"input": [{"type": "reasoning", "summary": [{}]}]}, "input[0].summary[0].text"),
        ({"instructions": ["x"]}, "instructions"),
        ({"tools": {}}, "tools"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools[0].parameters"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": "json"}, "text"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"include": "x"}, "include"),
        ({"include": [1]}, "include[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_not_valid_is_refused_with_its_place(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(body)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[" * 5000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        responses.read_request(body)


@pytest.mark.requirement("responses.state-refused")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", {"id": "conv_1"}),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
    ],
)
def test_state_that_is_kept_at_the_provider_is_refused_with_what_to_do(name: str, value: Any) -> None:
    with pytest.raises(Inexpressible, match=f"'{name}' refers to what is kept at the provider.*: ") as refused:
        read({name: value})
    assert refused.value.param == name


def test_members_that_nobody_knows_are_carried_and_those_that_ask_for_nothing_are_not() -> None:
    request = read(
        {
            "truncation": "disabled",
            "background": False,
            "top_logprobs": 0,
            "reasoning": {"context": "auto", "mode": "pro"},
            "text": {"format": {"type": "text"}, "tone": "warm"},
            "brand_new": [1],
            "none": None,
        }
    )
    assert request.extras == {"reasoning": {"mode": "pro"}, "text": {"tone": "warm"}, "brand_new": [1]}
    assert request.reasoning is None
    assert request.format is None
    assert request.logprobs is None


def test_a_stream_always_tells_its_usage() -> None:
    assert read({"stream": True}).include_usage
    assert not read({}).include_usage


def test_tools_within_the_input_count_as_tools_and_are_no_part_of_the_conversation() -> None:
    tool = {"type": "function", "name": "wait", "parameters": {"type": "object"}}
    newer = {**tool, "description": "Waits"}
    request = read(
        {"tools": [tool], "input": [{"type": "additional_tools", "tools": [newer]}, {"role": "user", "content": "Hi"}]}
    )
    assert [(each.name, each.description) for each in request.tools] == [("wait", "Waits")]
    assert [turn.role for turn in request.turns] == ["user"]
