from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.openai.turns import call_seal, read_turns
from pointsman.wire.chat import CacheMark, Image, Seal, Text, Thinking, ToolCall, ToolResult, Turn

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("hello", "messages[0]"),
        ({}, "messages[0].role"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "tool", "tool_call_id": "c", "content": [{"type": "refusal", "refusal": "x"}]}, None),
        ({"role": "function", "name": "f", "content": "x"}, "messages[0].name"),
        ({"role": "assistant", "tool_calls": {}}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [{"type": "function"}]}, "messages[0].tool_calls[0].id"),
        ({"role": "assistant", "tool_calls": [CALL | {"type": "odd"}]}, "messages[0].tool_calls[0].type"),
        ({"role": "assistant", "tool_calls": [CALL | {"function": {}}]}, "messages[0].tool_calls[0].function.name"),
        (
            {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": {}}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "thinking_blocks": [1]}, "messages[0].thinking_blocks[0]"),
        ({"role": "assistant", "audio": {}}, "messages[0].audio.id"),
        ({"role": "user", "content": "x", "name": 7}, "messages[0].name"),
    ],
)
def test_a_message_that_is_not_valid_is_refused_by_its_place(message: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_turns([message])
    assert caught.value.param == (param or "messages[0].content[0].type")


def test_a_mark_at_the_message_stands_for_one_at_its_last_part() -> None:
    (turn,) = read_turns(
        [{"role": "tool", "tool_call_id": "c", "content": "x", "cache_control": {"type": "ephemeral"}}]
    )
    assert turn.parts == [ToolResult(call_id="c", parts=[Text("x")], cache=CacheMark())]


def test_the_result_of_a_custom_tool_is_of_its_kind() -> None:
    turns = read_turns(
        [
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "n", "input": "x"}}]},
            {"role": "tool", "tool_call_id": "c", "content": ""},
        ]
    )
    assert turns[0].parts == [ToolCall(id="c", name="n", arguments="x", kind="custom")]
    assert turns[1].parts == [ToolResult(call_id="c", parts=[Text("")], kind="custom")]


def test_pictures_in_a_result_and_those_that_the_model_made_are_read() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://e.com/a"}}
    turns = read_turns(
        [
            {"role": "tool", "tool_call_id": "c", "content": [picture]},
            {"role": "assistant", "content": "x", "images": [picture]},
        ]
    )
    image = Image(url="https://e.com/a")
    assert turns == [
        Turn("user", [ToolResult(call_id="c", parts=[image])]),
        Turn("assistant", [Text("x"), image]),
    ]


def test_blocks_without_a_signature_say_no_more_than_the_text() -> None:
    (turn,) = read_turns(
        [
            {
                "role": "assistant",
                "content": "x",
                "reasoning_content": "ab",
                "thinking_blocks": [{"type": "thinking", "thinking": "a"}, {"type": "thinking", "thinking": "b"}],
            }
        ]
    )
    assert turn.parts == [Thinking("ab", Seal("openai", "reasoning_content")), Text("x")]


@pytest.mark.parametrize(
    ("own", "extra", "seal"),
    [
        (None, None, None),
        ({"thought_signature": "a"}, None, Seal("gemini", "a")),
        (None, {"google": {"thought_signature": "b"}}, Seal("gemini", "b")),
        ({"thought_signature": "anthropic#c"}, None, Seal("anthropic", "c")),
        ({"thought_signature": ""}, {"google": []}, None),
    ],
)
def test_signatures_of_calls_are_found_in_both_places(own: Any, extra: Any, seal: Seal | None) -> None:
    assert call_seal(own, extra) == seal


def test_members_that_are_not_known_are_carried() -> None:
    (turn,) = read_turns([{"role": "user", "content": "x", "weight": 1}])
    assert turn.extras == {"weight": 1}
