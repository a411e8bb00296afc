from __future__ import annotations

from typing import Any

from pointsman.providers.dialects.cohere.messages import write_messages
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    CacheMark,
    ChatRequest,
    Document,
    Foreign,
    Part,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)


def written(*parts: Part, role: Any = "assistant", dialect: str = "openai") -> tuple[dict[str, Any], list[str]]:
    terms = Terms(model="m")
    turn = Turn(role, list(parts), extras={"x": 1} if dialect == "cohere" else {})
    messages, _ = write_messages(ChatRequest(dialect=dialect, turns=[turn]), terms)
    return messages[-1], terms.lost


def test_text_beside_calls_is_the_plan() -> None:
    call = ToolCall(id="1", name="g__f", namespace="g", arguments="")
    message, lost = written(Text("I will."), call)
    assert message == {
        "role": "assistant",
        "tool_plan": "I will.",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "g__f", "arguments": "{}"}}],
    }
    assert lost == []


def test_reasoning_of_others_is_left_out() -> None:
    sealed = Thinking("secret", Seal("gemini", "abc"))
    assert written(sealed, Thinking(""), Text("Hi"))[0] == {"role": "assistant", "content": "Hi"}
    for thinking in (Thinking("Hm."), Thinking("Hm.", Seal("anthropic", ""))):
        own = written(thinking, Text("Hi"))[0]["content"]
        assert own == [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}]


def test_what_stands_in_this_dialect_stays() -> None:
    raw = {"type": "document", "document": {"data": {"a": 1}}}
    message, lost = written(Foreign("cohere", raw), role="user", dialect="cohere")
    assert message == {"role": "user", "content": [raw], "x": 1}
    assert lost == []


def test_a_document_in_a_result_is_text_and_what_is_no_text_is_lost() -> None:
    result = ToolResult(
        call_id="1",
        parts=[Document(text="T", title="Title"), Document(data="JVBE"), Foreign("anthropic", {})],
        cache=CacheMark(),
    )
    message, lost = written(result, role="user")
    assert message == {"role": "tool", "tool_call_id": "1", "content": "Title\n\nT"}
    assert lost == ["cache_control", "messages[0].content"]


def test_an_empty_turn_is_an_empty_message() -> None:
    assert written(role="user")[0] == {"role": "user", "content": ""}
    assert written()[0] == {"role": "assistant", "content": ""}
