from __future__ import annotations

import pytest

from pointsman.providers.dialects.responses.content import PartWriter, read_annotations, read_content, write_annotations
from pointsman.providers.translation import Terms
from pointsman.wire.chat import Audio, CacheMark, Document, Image, Part, Text


def writer(*, has_marks: bool = False) -> PartWriter:
    return PartWriter(Terms(model="m"), has_marks)


@pytest.mark.parametrize(
    "part",
    [
        Text("x"),
        Text("x", cache=CacheMark()),
        Text("x", cache=CacheMark("1h")),
        Image(url="https://example.com/a.png", detail="low"),
        Image(data="AAAA", media_type="image/webp", cache=CacheMark()),
        Image(file_id="file-1", detail="auto"),
        Document(data="AAAA", media_type="application/pdf", name="a.pdf"),
        Document(url="https://example.com/a.pdf"),
        Document(file_id="file-1"),
    ],
)
def test_what_is_written_is_read_again(part: Part) -> None:
    written = writer(has_marks=True).write(part, "input[0].content[0]")
    assert read_content([written], "input[0].content") == [part]


def test_a_cache_mark_that_is_not_written_is_lost() -> None:
    parts = writer()
    assert parts.write(Text("x", cache=CacheMark()), "p") == {"type": "input_text", "text": "x"}
    assert parts.terms.lost == ["cache_control"]


def test_sound_and_film_have_no_place() -> None:
    parts = writer()
    assert parts.write(Audio(data="x", format="wav"), "a") is None
    assert parts.write(Document(url="https://example.com/a.mp4", media_type="video/mp4"), "b") is None
    assert parts.write_output(Image(data="x"), "c") is None
    assert parts.terms.lost == ["a", "b", "c"]


def test_a_file_that_anthropic_keeps_is_lost() -> None:
    parts = writer()
    assert parts.write(Document(file_id="file_011CNha8iCJcU1wXNR6q4V8w"), "a") is None
    assert parts.write(Image(file_id="file_011CNha8iCJcU1wXNR6q4V8w"), "b") is None
    assert parts.terms.lost == ["a", "b"]


def test_citations_cannot_be_asked_for() -> None:
    parts = writer()
    assert parts.write(Document(text="x", has_citations=True), "p") == {"type": "input_text", "text": "x"}
    assert parts.terms.lost == ["p.citations"]


def test_citations_of_files_have_all_that_clients_insist_on() -> None:
    cited = {"type": "file_citation", "file_citation": {"filename": "a.pdf", "start_index": 1, "end_index": 4}}
    assert write_annotations([cited]) == [
        {"type": "file_citation", "file_id": "", "index": 4, "filename": "a.pdf", "start_index": 1, "end_index": 4}
    ]


def test_annotations_change_their_depth_and_back() -> None:
    native = {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 3}
    wrapped = read_annotations([native])
    assert wrapped == [
        {"type": "file_citation", "file_citation": {"file_id": "file-1", "filename": "a.txt", "index": 3}}
    ]
    assert write_annotations(wrapped) == [native]


def test_what_is_no_annotation_is_left_out() -> None:
    assert read_annotations([{"type": 7}, {}]) == []
    assert write_annotations([{"type": "url_citation"}, {"type": 7}, {}]) == []
