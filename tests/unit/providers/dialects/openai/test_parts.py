from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.openai.fields import Fields
from pointsman.providers.dialects.openai.parts import read_cache, read_parts, split_data_url
from pointsman.wire.chat import CacheMark, Document, Text


def test_a_text_is_one_part() -> None:
    assert read_parts("hi", "x") == [Text("hi")]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ("text", "c[0]"),
        ({}, "c[0].type"),
        ({"type": "text"}, "c[0].text"),
        ({"type": "text", "text": 5}, "c[0].text"),
        ({"type": "image_url"}, "c[0].image_url"),
        ({"type": "image_url", "image_url": {}}, "c[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "c[0].image_url"),
        ({"type": "image_url", "image_url": "data:image/png,raw"}, "c[0].image_url"),
        ({"type": "video_url", "video_url": {"url": "movie.mp4"}}, "c[0].video_url"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "c[0].input_audio.format"),
        ({"type": "file", "file": {"filename": "a"}}, "c[0].file.file_data"),
        ({"type": "document", "source": {"type": "odd"}}, "c[0].source.type"),
        ({"type": "redacted_thinking"}, "c[0].data"),
        ({"type": "text", "text": "a", "cache_control": "yes"}, "c[0].cache_control"),
    ],
)
def test_a_part_that_is_not_valid_is_refused_by_its_place(part: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_parts([part], "c")
    assert caught.value.param == param


def test_a_content_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_parts(7, "messages[0].content")
    assert caught.value.param == "messages[0].content"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("data:image/png;base64,QQ==", ("image/png", "QQ==")),
        ("DATA:;base64,QQ==", (None, "QQ==")),
        ("data:text/plain;charset=utf-8;base64,QQ==", ("text/plain", "QQ==")),
        ("data:text/plain,hello", None),
        ("data:image/png;base64", None),
        ("https://example.com", None),
    ],
)
def test_a_data_url_is_taken_apart(url: str, found: tuple[str | None, str] | None) -> None:
    assert split_data_url(url) == found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"type": "base64", "media_type": "application/pdf", "data": "QQ=="}, {"data": "QQ=="}),
        ({"type": "url", "url": "https://e.com"}, {"url": "https://e.com"}),
        ({"type": "file", "file_id": "file_1"}, {"file_id": "file_1"}),
    ],
)
def test_anthropics_documents_are_read_from_every_source(source: Any, expected: dict[str, Any]) -> None:
    document = Document(media_type=source.get("media_type"), **expected)
    assert read_parts([{"type": "document", "source": source}], "c") == [document]


@pytest.mark.parametrize(
    ("member", "mark"),
    [
        ({}, None),
        ({"cache_control": {"type": "ephemeral"}}, CacheMark()),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, CacheMark("1h")),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}, CacheMark()),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}, CacheMark("1h")),
    ],
)
def test_marks_of_both_vendors_are_read(member: dict[str, Any], mark: CacheMark | None) -> None:
    assert read_cache(Fields(member)) == mark
