from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.openai.fields import Fields
from pointsman.providers.dialects.openai.reasoning import (
    member_seal,
    merge_signed,
    read_block,
    read_given,
    shown_block,
    signed_seal,
    write_back,
)
from pointsman.wire.chat import Seal, Thinking

DETAILS = [{"type": "reasoning.text", "text": "x", "signature": "s", "index": 0}]


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_in_the_member_that_it_came_in(member: str) -> None:
    message: dict[str, Any] = {"content": "a"}
    write_back([Thinking("x", member_seal(member)), Thinking("y", member_seal(member))], message)
    assert message == {"content": "a", member: "xy"}


def test_signed_reasoning_goes_back_as_it_came() -> None:
    message: dict[str, Any] = {}
    write_back([Thinking("x", signed_seal({"reasoning_details": DETAILS}))], message)
    assert message == {"reasoning_details": DETAILS}


@pytest.mark.parametrize(
    "seal",
    [
        None,
        Seal("anthropic", "EqoB"),
        Seal("openai", "tampered!"),
        Seal("openai", "bm8ganNvbg=="),
        signed_seal({"role": ["system"]}),
    ],
)
def test_reasoning_of_others_and_broken_seals_put_nothing_into_the_message(seal: Seal | None) -> None:
    message: dict[str, Any] = {"role": "assistant"}
    write_back([Thinking("x", seal)], message)
    assert message == {"role": "assistant"}


@pytest.mark.parametrize("content", [None, "", "a", [{"type": "text", "text": "a"}]])
def test_reasoning_that_is_a_part_stands_before_the_text(content: Any) -> None:
    message: dict[str, Any] = {"content": content}
    write_back([Thinking("x", member_seal("content"))], message)
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}
    assert message["content"] == [thinking, *([{"type": "text", "text": "a"}] if content else [])]


def test_pieces_of_one_text_become_one() -> None:
    entries: list[Any] = []
    merge_signed(entries, [{"type": "reasoning.text", "text": "a", "index": 0, "signature": None}])
    merge_signed(entries, [{"type": "reasoning.text", "text": "b", "index": 0}])
    merge_signed(entries, [{"type": "reasoning.text", "signature": "s", "index": 0}])
    merge_signed(entries, [{"type": "reasoning.text", "text": "c", "index": 1}])
    merge_signed(entries, [{"type": "reasoning.encrypted", "data": "d"}, {"type": "reasoning.encrypted", "data": "e"}])
    assert entries == [
        {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s"},
        {"type": "reasoning.text", "text": "c", "index": 1},
        {"type": "reasoning.encrypted", "data": "d"},
        {"type": "reasoning.encrypted", "data": "e"},
    ]


@pytest.mark.parametrize(
    "thinking",
    [
        Thinking("x", Seal("anthropic", "EqoB")),
        Thinking("", Seal("anthropic", "EmwK"), is_redacted=True),
        Thinking("x", Seal("gemini", "c2ln")),
        Thinking("x", member_seal("reasoning")),
        Thinking("x", signed_seal({"reasoning_details": DETAILS})),
    ],
)
def test_a_client_can_give_back_what_it_was_shown(thinking: Thinking) -> None:
    block = shown_block(thinking)
    assert read_block(Fields(block)) == thinking


def test_reasoning_that_the_text_says_in_full_has_no_block() -> None:
    assert shown_block(Thinking("x")) is None
    assert shown_block(Thinking("x", member_seal("reasoning_content"))) is None


@pytest.mark.parametrize(
    ("members", "thoughts"),
    [
        ({}, []),
        ({"reasoning": "a"}, [Thinking("a", member_seal("reasoning"))]),
        ({"reasoning_content": ""}, [Thinking("", member_seal("reasoning_content"))]),
        ({"reasoning_details": DETAILS}, [Thinking("x", signed_seal({"reasoning_details": DETAILS}))]),
        (
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}]},
            [
                Thinking(
                    "",
                    signed_seal({"reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}]}),
                    is_redacted=True,
                )
            ],
        ),
    ],
)
def test_reasoning_that_a_client_gives_back_is_read(members: dict[str, Any], thoughts: list[Thinking]) -> None:
    fields = Fields(members)
    assert read_given(fields) == thoughts
    assert fields.rest == {}


def test_blocks_that_were_gathered_from_a_stream_are_one_with_their_signature() -> None:
    pieces: list[dict[str, Any]] = [{"type": "thinking", "thinking": "a"}, {"type": "thinking", "thinking": "b"}]
    sealed_pieces = [*pieces, {"type": "thinking", "thinking": "", "signature": "gemini#c2ln"}, *pieces]
    assert read_given(Fields({"thinking_blocks": sealed_pieces})) == [
        Thinking("ab", Seal("gemini", "c2ln")),
        Thinking("ab"),
    ]
