from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.wire import operations as op
from pointsman.wire.needs import Needs, needs_of
from pointsman.wire.operations import Operation

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA BBBB"}}
INPUT_IMAGE = {"type": "input_image", "image_url": "https://x/y.png"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA BBBB"}}
FUNCTION = {"name": "f", "description": "some words that are not counted"}


def needs(operation: Operation = op.CHAT, **body: Any) -> Needs:
    return needs_of(operation, json.dumps(body).encode())


def said(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("operation", "body", "found"),
    [
        (op.CHAT, {"messages": []}, Needs()),
        (op.CHAT, {"messages": [], "tools": [{"type": "function", "function": FUNCTION}]}, Needs(tools=True)),
        (op.CHAT, {"messages": [], "functions": [FUNCTION]}, Needs(tools=True)),
        (op.CHAT, {"messages": [], "tools": [], "functions": None}, Needs()),
        (op.CHAT, {"messages": [], "response_format": {"type": "json_object"}}, Needs(json=True)),
        (op.CHAT, {"messages": [], "response_format": {"type": "json_schema", "json_schema": {}}}, Needs(json=True)),
        (op.CHAT, {"messages": [], "response_format": {"type": "text"}}, Needs()),
        (op.CHAT, {"messages": said([IMAGE, {"type": "text", "text": "a b"}])}, Needs(images=True, tokens=2)),
        (op.RESPONSES, {"input": said([INPUT_IMAGE])}, Needs(images=True)),
        (op.RESPONSES, {"input": [{"type": "function_call_output", "output": [INPUT_IMAGE]}]}, Needs(images=True)),
        (op.MESSAGES, {"messages": said([{"type": "tool_result", "content": [PICTURE]}])}, Needs(images=True)),
        (op.RESPONSES, {"input": "a", "text": {"format": {"type": "json_schema"}}}, Needs(json=True, tokens=1)),
        (op.RESPONSES, {"input": "a b", "instructions": "c", "text": {"format": {"type": "text"}}}, Needs(tokens=3)),
        (op.RESPONSES, {"input": "a", "tools": [{"type": "web_search"}]}, Needs(tools=True, tokens=1)),
        (op.MODERATION, {"input": "a b c"}, Needs()),
        (op.RERANK, {"query": "a", "documents": ["b c"]}, Needs()),
    ],
)
def test_what_a_request_needs_is_read(operation: Operation, body: dict[str, Any], found: Needs) -> None:
    assert needs(operation, **body) == found


def test_an_image_that_is_only_spoken_of_is_none() -> None:
    talk = 'send {"type": "image_url"} or "input_image"'
    schema = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"type": IMAGE}}}}
    assert needs(messages=said(talk), tools=[schema]).images is False
    assert needs(messages=said("image_url")).images is False


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("", 0),
        ("one", 1),
        ("one two\n\n\tthree ", 3),
        (" " * 500 + "-" * 500, 1),
        ("Donaudampfschifffahrt", 1),
        ("日本語の文章です", 2),
        ([{"type": "text", "text": "one two"}, {"type": "text", "text": "three"}], 3),
        ([{"type": "input_audio", "input_audio": {"data": "A B C D"}}], 0),
    ],
)
def test_tokens_are_counted_from_below(content: Any, tokens: int) -> None:
    assert needs(messages=said(content)).tokens == tokens


def test_all_messages_of_a_conversation_count_and_how_they_are_escaped_does_not() -> None:
    messages = [{"role": "system", "content": "be brief"}, *said("a\nb"), {"role": "assistant", "content": None}]
    assert needs(messages=messages).tokens == 4


@pytest.mark.parametrize("operation", [op.COMPLETION, op.EMBEDDINGS])
@pytest.mark.parametrize(
    ("given_input", "tokens"),
    [
        ("a b c", 3),
        (["a b c", "d e"], 3),
        ([7, 8, 9, 10], 4),
        ([[7, 8], [9, 10, 11]], 3),
        ([], 0),
        ({"text": "a"}, 0),
    ],
)
def test_of_several_inputs_the_longest_counts(operation: Operation, given_input: Any, tokens: int) -> None:
    name = "prompt" if operation is op.COMPLETION else "input"
    assert needs(operation, **{name: given_input}) == Needs(tokens=tokens)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b'{"messages":',
        b'{"messages":["\\ud800"]}',
        b'{"messages":7,"tools":{},"response_format":"json_object"}',
        b'{"messages":[7,null,[],{"content":{"content":7}}],"input":{"text":{}}}',
        b'{"messages":' + b"[" * 700 + b"]" * 700 + b"}",
        b'{"messages":' + b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("operation", [op.CHAT, op.RESPONSES, op.COMPLETION, op.EMBEDDINGS])
def test_what_cannot_be_read_needs_nothing(operation: Operation, body: bytes) -> None:
    assert needs_of(operation, body) == Needs()


def test_one_odd_member_does_not_hide_the_others() -> None:
    assert needs(messages=[7, *said("a b")], tools={"x": 1}, functions=[FUNCTION]) == Needs(tools=True, tokens=2)


@given(st.binary(max_size=60) | st.text('{}[]",:content\\u0 1', max_size=60).map(str.encode))
def test_no_body_whatever_breaks_the_reader(body: bytes) -> None:
    for operation in op.OPERATIONS:
        assert needs_of(operation, body).tokens <= len(body)
