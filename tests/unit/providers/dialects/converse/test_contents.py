from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.converse.contents import Conversation, tool_id
from pointsman.providers.dialects.converse.models import model_of
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    CacheMark,
    ChatRequest,
    Foreign,
    Image,
    Part,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)

NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"


def conversation(*turns: Turn, model: str = NOVA, terms: Terms | None = None) -> Conversation:
    terms = terms or Terms(model=model)
    return Conversation(ChatRequest(dialect="openai", turns=[*turns]), terms, model_of(terms.model))


def content(part: Part, role: Any = "user", model: str = NOVA) -> list[dict[str, Any]]:
    messages = conversation(Turn("user", [Text("x")]), Turn(role, [part]), model=model).messages()
    found: list[dict[str, Any]] = messages[-1]["content"]
    return [block for block in found if block != {"text": "x"}]


def test_a_conversation_without_turns_cannot_be_expressed() -> None:
    with pytest.raises(InvalidRequest, match="a message of the user"):
        conversation(Turn("system", [Text("Be short.")])).messages()


def test_turns_of_the_same_role_become_one_message_with_the_results_first() -> None:
    turns = (
        Turn("user", [Text("a")]),
        Turn("user", [Text("b"), ToolResult(call_id="c1", parts=[Text("r")])]),
        Turn("assistant", [Text(" ")]),
        Turn("user", [ToolResult(call_id="c2", parts=[])]),
    )
    assert conversation(*turns).messages() == [
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "r"}]}},
                {"toolResult": {"toolUseId": "c2", "content": []}},
                {"text": "a"},
                {"text": "b"},
            ],
        }
    ]


@pytest.mark.parametrize("arguments", ["[1]", "text", "{", '{"a":' * 70 + "1" + "}" * 70])
def test_arguments_that_are_no_object_are_refused_with_their_place(arguments: str) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object") as failure:
        content(ToolCall(id="c", name="f", arguments=arguments), "assistant")
    assert failure.value.param == "messages[1].content[0]"


@pytest.mark.parametrize(
    ("seal", "model", "is_kept"),
    [
        (Seal("converse", "s"), NOVA, True),
        (Seal("converse", "s"), CLAUDE, True),
        (Seal("anthropic", "s"), CLAUDE, True),
        (Seal("anthropic", "s"), NOVA, False),
        (Seal("gemini", "s"), CLAUDE, False),
        (Seal("converse", ""), CLAUDE, False),
        (None, CLAUDE, False),
    ],
)
def test_only_reasoning_that_the_model_knows_again_is_given_back(seal: Seal | None, model: str, is_kept: bool) -> None:
    block = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    assert content(Thinking("t", seal), "assistant", model)[:1] == ([block] if is_kept else [])


def test_redacted_reasoning_of_another_platform_is_left_out() -> None:
    assert content(Thinking("", Seal("anthropic", "s"), is_redacted=True), "assistant", CLAUDE) == []


def test_a_mark_within_a_result_stands_after_it() -> None:
    result = ToolResult(call_id="c", parts=[Text("r", cache=CacheMark("1h"))])
    assert content(result) == [
        {"toolResult": {"toolUseId": "c", "content": [{"text": "r"}]}},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    ]


def test_marks_can_be_dropped() -> None:
    terms = Terms(model=NOVA, drops=frozenset({"cache_control"}))
    found = conversation(Turn("user", [Text("x", cache=CacheMark())]), terms=terms)
    assert found.messages()[0]["content"] == [{"text": "x"}]
    assert terms.lost == []


def test_members_of_a_message_that_are_not_understood_are_lost_by_their_place() -> None:
    terms = Terms(model=NOVA)
    turns = (
        Turn("system", [Image(data="iVBORw")], name="n"),
        Turn("user", [Text("x"), Foreign("converse", {"guardContent": {"text": {"text": "g"}}})], extras={"audio": 1}),
    )
    messages = conversation(*turns, terms=terms).messages()
    assert messages[0]["content"] == [{"text": "x"}, {"guardContent": {"text": {"text": "g"}}}]
    assert terms.lost == ["name", "messages[0].content[0]", "messages[1].audio"]


def test_ids_that_amazon_refuses_are_replaced_the_same_way_each_time() -> None:
    assert tool_id("tooluse_a-b.c:1") == "tooluse_a-b.c:1"
    long = tool_id("x" * 65)
    assert long == tool_id("x" * 65) != tool_id("x" * 66)
    assert len(long) == len("call_") + 32
