from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic.content import read_content, read_mark, read_texts
from pointsman.wire.chat import CacheMark, Document, Foreign, Image, Part, Seal, Text, Thinking, ToolResult

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}


def read(*blocks: Any) -> list[Part]:
    return read_content({"content": [*blocks]}, "messages[3]")


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ("Hi", ""),
        ({}, ".type"),
        ({"type": "text"}, ".text"),
        ({"type": "text", "text": 7}, ".text"),
        ({"type": "text", "text": "a", "citations": {}}, ".citations"),
        ({"type": "text", "text": "a", "cache_control": "ephemeral"}, ".cache_control"),
        ({"type": "text", "text": "a", "cache_control": {"ttl": 5}}, ".cache_control.ttl"),
        ({"type": "image"}, ".source"),
        ({"type": "image", "source": {}}, ".source.type"),
        ({"type": "image", "source": {"type": "path"}}, ".source.type"),
        ({"type": "image", "source": {"type": "base64"}}, ".source.data"),
        ({"type": "image", "source": {"type": "url"}}, ".source.url"),
        ({"type": "document", "source": {"type": "path"}}, ".source.type"),
        ({"type": "document", "source": {"type": "content", "content": 7}}, ".source.content"),
        (
            {"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": 1}},
            ".citations.enabled",
        ),
        ({"type": "thinking"}, ".thinking"),
        ({"type": "redacted_thinking"}, ".data"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": "{}"}, ".input"),
        ({"type": "tool_use", "id": "a", "input": {}}, ".name"),
        ({"type": "tool_result"}, ".tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}, ".content[0].text"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "thinking", "thinking": ""}]}, ".content"),
        ({"type": "search_result", "title": "t", "source": "s", "content": [{"type": "image"}]}, ".content[0].type"),
        ({"type": "tool_reference"}, ".tool_name"),
    ],
)
def test_the_place_of_what_is_wrong_is_named(block: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read({"type": "text", "text": "a"}, block)
    assert caught.value.param == f"messages[3].content[1]{param}"


def test_a_text_is_a_part_and_an_empty_one_is_none() -> None:
    assert read_content({"content": "Hi"}, "m") == [Text("Hi")]
    assert read_content({"content": ""}, "m") == []
    assert read_texts({}, "system") == read_texts({"system": ""}, "system") == []


def test_a_document_of_blocks_is_text_unless_there_are_pictures() -> None:
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    mixed = {"type": "document", "source": {"type": "content", "content": [*texts, IMAGE]}}
    assert read({"type": "document", "source": {"type": "content", "content": texts}}) == [
        Document(text="a\nb", media_type="text/plain")
    ]
    assert read(mixed) == [Foreign("anthropic", mixed)]


def test_seals_of_others_come_back_under_their_name() -> None:
    assert read(
        {"type": "thinking", "thinking": "t", "signature": "gemini#CiQ="},
        {"type": "redacted_thinking", "data": "responses#gAAA"},
        {"type": "thinking", "thinking": "t"},
    ) == [
        Thinking("t", seal=Seal("gemini", "CiQ=")),
        Thinking("", seal=Seal("responses", "gAAA"), is_redacted=True),
        Thinking("t", seal=Seal("anthropic", "")),
    ]


def test_the_result_of_a_tool_may_hold_what_only_this_dialect_knows() -> None:
    reference = {"type": "brand_new", "name": "f"}
    assert read({"type": "tool_result", "tool_use_id": "a", "content": [reference, IMAGE], "is_error": True}) == [
        ToolResult(
            call_id="a",
            parts=[Foreign("anthropic", reference), Image(url="https://example.com/a.png")],
            is_error=True,
        )
    ]


def test_a_cache_mark_has_a_lifetime_or_none() -> None:
    assert read_mark({"cache_control": {"type": "ephemeral", "ttl": "1h"}}) == CacheMark("1h")
    assert read_mark({"cache_control": {"type": "ephemeral"}}) == CacheMark()
    assert read_mark({"cache_control": None}) is None


def test_a_tool_that_was_found_is_named() -> None:
    found = {"type": "tool_reference", "tool_name": "WebFetch"}
    assert read({"type": "tool_result", "tool_use_id": "a", "content": [found]}) == [
        ToolResult(call_id="a", parts=[Text("WebFetch")])
    ]
