from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.openai.messages import ATTACHED, write_messages
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    CacheMark,
    ChatRequest,
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)

PICTURE = {"type": "image_url", "image_url": {"url": "https://e.com/a"}}


def write(*turns: Turn, allowed: str = "", dialect: str = "anthropic") -> tuple[list[dict[str, Any]], list[str]]:
    terms = Terms(model="m", allowed=frozenset({allowed}))
    return write_messages(ChatRequest(dialect=dialect, turns=list(turns)), terms), terms.lost


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([], ""),
        ([Text("a")], "a"),
        ([Text("a"), Text("b")], [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        ([Image(url="https://e.com/a")], [PICTURE]),
    ],
)
def test_one_text_is_a_plain_string(parts: list[Part], content: Any) -> None:
    assert write(Turn("user", parts))[0] == [{"role": "user", "content": content}]


def test_results_stand_before_the_rest_of_their_turn_and_what_is_attached_before_that() -> None:
    image = Image(url="https://e.com/a")
    messages, lost = write(
        Turn(
            "user",
            [
                ToolResult(call_id="a", parts=[Text("see"), image]),
                ToolResult(call_id="b", parts=[image]),
                Text("and now?"),
            ],
        )
    )
    assert messages == [
        {"role": "tool", "tool_call_id": "a", "content": "see"},
        {"role": "tool", "tool_call_id": "b", "content": ATTACHED},
        {"role": "user", "content": [PICTURE, PICTURE, {"type": "text", "text": "and now?"}]},
    ]
    assert lost == []


def test_what_cannot_be_said_is_lost_by_its_place() -> None:
    foreign = Foreign("anthropic", {"type": "search_result"})
    _, lost = write(
        Turn("user", [Text("a"), foreign]),
        Turn("user", [ToolResult(call_id="c", parts=[foreign, Document(url="https://e.com/a.pdf")])]),
        Turn("assistant", [Image(data="QQ=="), Text("x")]),
    )
    assert lost == ["messages[0].content[1]", "messages[1].content", "messages[2].content[0]"]


def test_reasoning_of_others_is_left_out_without_a_word() -> None:
    messages, lost = write(Turn("assistant", [Thinking("a", Seal("anthropic", "s")), Thinking("b"), Text("x")]))
    assert (messages, lost) == ([{"role": "assistant", "content": "x"}], [])


def test_a_mark_is_written_where_it_is_allowed() -> None:
    turn = Turn("user", [ToolResult(call_id="c", parts=[Text("x")], cache=CacheMark("5m"))])
    assert write(turn)[1] == ["cache_control"]
    messages, lost = write(turn, allowed="cache_control")
    assert messages[0]["content"] == [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    ]
    assert lost == []


def test_a_refusal_and_a_call_without_text_have_no_content() -> None:
    call = ToolCall(id="c", name="f", arguments="")
    messages, _ = write(Turn("assistant", [Refusal("no")]), Turn("assistant", [call]))
    assert [message["content"] for message in messages] == [None, None]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_members_of_other_dialects_messages_are_lost_unless_they_are_harmless() -> None:
    messages, lost = write(Turn("user", [Text("a")], extras={"phase": "commentary", "odd": 1}), dialect="responses")
    assert (messages, lost) == ([{"role": "user", "content": "a"}], ["messages[0].odd"])
