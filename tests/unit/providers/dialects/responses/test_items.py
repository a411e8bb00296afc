from __future__ import annotations

from typing import Any

from pointsman.providers.dialects.responses.items import read_items, write_reasoning
from pointsman.wire.chat import Foreign, Seal, Text, Thinking, ToolCall, ToolResult, Turn

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **more}


def test_a_message_between_a_call_and_its_output_joins_the_call() -> None:
    turns = read_items([said("A", phase="commentary"), CALL, said("B", phase="final_answer"), OUTPUT])
    assert [turn.role for turn in turns] == ["assistant", "user"]
    assert [type(part) for part in turns[0].parts] == [Text, ToolCall, Text]


def test_messages_of_different_phases_stay_apart() -> None:
    turns = read_items([said("A", phase="commentary"), said("B", phase="final_answer")])
    assert [turn.extras for turn in turns] == [{"phase": "commentary"}, {"phase": "final_answer"}]


def test_outputs_stand_apart_from_what_the_user_says() -> None:
    turns = read_items([{"role": "user", "content": "x"}, OUTPUT, OUTPUT, {"role": "user", "content": "y"}])
    assert [[type(part) for part in turn.parts] for turn in turns] == [[Text], [ToolResult, ToolResult], [Text]]


def test_reasoning_opens_the_turn_that_it_led_to() -> None:
    reasoning = {"type": "reasoning", "summary": [], "encrypted_content": "gA"}
    assert read_items([said("A"), reasoning, CALL]) == [
        Turn(
            "assistant",
            [
                Text("A"),
                Thinking("", Seal("responses", "gA"), is_redacted=True),
                ToolCall(id="c1", name="f", arguments="{}"),
            ],
        )
    ]


def test_items_that_only_this_dialect_has_are_carried() -> None:
    reference = {"id": "msg_1"}
    approval = {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True}
    turns = read_items([reference, approval])
    assert turns == [
        Turn("assistant", [Foreign("responses", reference)]),
        Turn("user", [Foreign("responses", approval)]),
    ]


def test_reasoning_that_was_shown_as_content_is_read() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    assert read_items([item]) == [Turn("assistant", [Thinking("Hm.", id="rs_1")])]


def test_a_message_that_says_nothing_has_no_parts() -> None:
    items = [{"role": "user"}, {"role": "assistant", "content": None}, {"role": "user", "content": ""}]
    assert [turn.parts for turn in read_items(items)] == [[], [], []]


def test_reasoning_is_written_with_what_there_is_of_it() -> None:
    assert write_reasoning("", None, None) == {"type": "reasoning", "summary": []}
    assert write_reasoning("Hm.", Seal("responses", "gA"), "rs_1") == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "id": "rs_1",
        "encrypted_content": "gA",
    }
