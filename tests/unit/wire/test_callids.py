from __future__ import annotations

import json

import pytest

from pointsman.wire.callids import MAX_IDS, call_ids


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        (
            {"id": "chat-1", "choices": [{"message": {"tool_calls": [{"id": "call_1", "function": {}}, {"id": "b"}]}}]},
            ["chat-1", "call_1", "b"],
        ),
        ({"content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]}, ["toolu_1"]),
        ({"output": [{"type": "function_call", "id": "fc_1", "call_id": "call_1"}]}, ["fc_1", "call_1"]),
        ({"candidates": [{"content": {"parts": [{"functionCall": {"id": "g1", "name": "f"}}]}}]}, ["g1"]),
        ({"choices": [{"message": {"tool_calls": [{"id": "1", "arguments": json.dumps({"id": "x"})}]}}]}, ["1"]),
        ({"id": "chat-1", "choices": [{"message": {"content": "the tool_calls"}}]}, []),
        ({"id": "chat-1", "choices": [{"message": {"content": '"tool_calls":[{"id":"no"}]'}}]}, []),
    ],
)
def test_ids_are_found_in_every_dialect(answer: object, ids: list[str]) -> None:
    assert call_ids(json.dumps(answer).encode()) == ids
    assert call_ids(json.dumps(answer, indent=1).encode()) == ids


def test_only_so_many_are_looked_for() -> None:
    calls = [{"id": str(i)} for i in range(1000)]
    assert len(call_ids(json.dumps({"tool_calls": calls}).encode())) == MAX_IDS
    far = b'{"tool_calls":[' + b" " * 1_000_000 + b'{"id":"far"}]}'
    assert call_ids(far) == []


def test_an_event_of_a_stream_has_them_too() -> None:
    event = b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function"}]}}]}\n\n'
    assert call_ids(event) == ["call_1"]
    assert call_ids(b'data: {"choices":[{"delta":{"content":"id"}}]}\n\n') == []
