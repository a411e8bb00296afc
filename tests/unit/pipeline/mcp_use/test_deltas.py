from __future__ import annotations

from typing import Any

import pytest
from unit.pipeline.mcp_use.making import offers, tool

from pointsman.pipeline.mcp_use.deltas import Round

OURS = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "depot__echo", "arguments": ""}}
THEIRS = {"index": 1, "id": "call_2", "type": "function", "function": {"name": "own", "arguments": ""}}


def part(index: int, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def test_text_is_seen_and_gathered() -> None:
    made = Round(offers(), {})
    assert made.add({"role": "assistant", "content": ""}) == {}
    assert made.add({"content": "Let "}) == {"content": "Let "}
    assert made.add({"content": "me", "reasoning_content": "hm"}) == {"content": "me", "reasoning_content": "hm"}
    assert made.message == {"role": "assistant", "content": "Let me", "reasoning_content": "hm"}


def test_a_long_text_is_put_together_once() -> None:
    made = Round(offers(), {})
    made.add({"content": "a"})
    made.add({"content": "b"})
    so_far = made._message["content"]
    made.add({"content": "c"})
    assert made._message["content"] is so_far
    assert made.message == {"content": "abc"}


def test_a_member_may_become_another_kind_of_value() -> None:
    made = Round(offers(), {})
    for value in ("a", "b", [{"index": 0}]):
        made.add({"content": value})
    assert made.message == {"content": [{"index": 0}]}


def test_calls_of_ours_are_gathered_and_not_seen() -> None:
    made = Round(offers(), {})
    assert [made.add(one) for one in ({"tool_calls": [OURS]}, part(0, '{"a"'), part(0, ":1}"))] == [{}, {}, {}]
    assert made.calls() == [
        {"id": "call_1", "type": "function", "function": {"name": "depot__echo", "arguments": '{"a":1}'}}
    ]
    assert made.is_ours(made.calls()[0])


def test_calls_of_the_client_are_seen_and_numbered_without_ours() -> None:
    made = Round(offers(), {})
    shown = [made.add(one) for one in ({"tool_calls": [OURS, THEIRS]}, part(1, "{}"), part(0, "{}"))]
    assert shown == [
        {"tool_calls": [THEIRS | {"index": 0}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {},
    ]


@pytest.mark.parametrize(("name", "is_seen"), [("own", True), ("depot__echo", False)])
def test_a_call_whose_name_comes_late_is_held_until_then(name: str, is_seen: bool) -> None:
    made = Round(offers(), {})
    early = {"index": 0, "id": "call_1", "type": "function", "function": {"arguments": ""}}
    late = {"index": 0, "function": {"name": name}}
    assert made.add({"tool_calls": [early]}) == {}
    assert made.add({"tool_calls": [late]}) == ({"tool_calls": [early, late]} if is_seen else {})
    assert made.calls()[0]["function"]["name"] == name


def test_a_call_that_has_to_be_approved_is_the_clients() -> None:
    made = Round(offers(tool(require_approval="always")), {})
    assert made.add({"tool_calls": [OURS]}) == {"tool_calls": [OURS]}


def test_a_name_that_is_said_again_is_no_longer_name() -> None:
    made = Round(offers(), {})
    made.add({"tool_calls": [OURS]})
    made.add({"tool_calls": [OURS | {"function": {"name": "depot__echo", "arguments": "{}"}}]})
    assert made.calls()[0]["function"] == {"name": "depot__echo", "arguments": "{}"}


def test_blocks_with_an_index_are_gathered_by_it() -> None:
    made = Round(offers(), {})
    made.add({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "a"}]})
    made.add({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "b"}]})
    made.add({"thinking_blocks": [{"index": 1, "type": "thinking", "thinking": "c"}]})
    assert [(one["index"], one["thinking"]) for one in made.message["thinking_blocks"]] == [(0, "ab"), (1, "c")]


def test_blocks_are_numbered_on_over_the_rounds() -> None:
    made = Round(offers(), {"thinking_blocks": 2})
    shown = made.add({"thinking_blocks": [{"index": 0, "thinking": "a"}], "annotations": [{"x": 1}]})
    assert shown == {"thinking_blocks": [{"index": 2, "thinking": "a"}], "annotations": [{"x": 1}]}
    assert made.message["thinking_blocks"] == [{"index": 0, "thinking": "a"}]
