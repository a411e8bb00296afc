from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.ollama.messages import write_messages
from pointsman.providers.translation import Terms
from pointsman.wire.chat import CacheMark, ChatRequest, Part, Refusal, Seal, Text, Thinking, ToolCall, ToolResult, Turn


def written(*parts: Part, role: Any = "assistant") -> tuple[list[dict[str, Any]], list[str]]:
    terms = Terms(model="m")
    return write_messages(ChatRequest(dialect="openai", turns=[Turn(role, list(parts))]), terms), terms.lost


def test_reasoning_of_others_is_left_out() -> None:
    (message,), _ = written(Thinking("secret", Seal("anthropic", "x")), Thinking("a"), Thinking("b"), Refusal("No."))
    assert message == {"role": "assistant", "content": "No.", "thinking": "a\nb"}
    (message,), _ = written(Thinking("a", Seal("anthropic", "")))
    assert message["thinking"] == "a"


def test_a_result_has_the_name_that_was_said_or_that_of_the_call() -> None:
    call = ToolCall(id="1", name="f", arguments='{"a": 1}')
    turns = [
        Turn("assistant", [call]),
        Turn(
            "user", [ToolResult(call_id="1", parts=[], cache=CacheMark()), ToolResult(call_id="1", parts=[], name="g")]
        ),
    ]
    terms = Terms(model="m")
    messages = write_messages(ChatRequest(dialect="openai", turns=turns), terms)
    assert [message.get("tool_name") for message in messages] == [None, "f", "g"]
    assert messages[0]["tool_calls"] == [{"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}]
    assert terms.lost == ["cache_control"]


@pytest.mark.parametrize("arguments", ["[]", "{", "7", '{"a":' * 50_000])
def test_arguments_that_are_no_object_are_the_callers_fault(arguments: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        written(Text("x"), ToolCall(id="1", name="f", arguments=arguments))
    assert caught.value.param == "messages[0].tool_calls"


def test_an_empty_turn_is_an_empty_message() -> None:
    assert written(Text(""), role="developer")[0] == [{"role": "system", "content": ""}]
