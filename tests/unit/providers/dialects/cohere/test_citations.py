from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.cohere.citations import given_back, read_citation

CITATION: dict[str, Any] = {
    "start": 0,
    "end": 3,
    "text": "The",
    "sources": [
        {"type": "document", "id": "d0", "document": {"id": "d0", "title": "T", "url": "https://e.com"}},
        {"type": "tool", "id": "t0", "tool_output": {"a": "b"}},
    ],
}


def test_there_is_an_annotation_for_each_source_and_the_first_keeps_the_citation() -> None:
    first, second = read_citation(CITATION)
    assert first["url_citation"] == {"url": "https://e.com", "title": "T", "start_index": 0, "end_index": 3}
    assert second == {
        "type": "file_citation",
        "file_citation": {"file_id": "t0", "filename": "t0", "start_index": 0, "end_index": 3},
    }
    assert given_back([first, second, {"type": "url_citation"}]) == [CITATION]


@pytest.mark.parametrize("citation", [None, [], CITATION | {"type": "PLAN"}, CITATION | {"type": "THINKING_CONTENT"}])
def test_what_is_not_of_the_text_is_no_annotation(citation: object) -> None:
    assert read_citation(citation) == []


@pytest.mark.parametrize("sources", [None, 1, [], ["x"], [{"id": 7, "document": []}]])
def test_a_citation_without_a_readable_source_stays_one(sources: object) -> None:
    citation = CITATION | {"sources": sources, "type": "TEXT_CONTENT"}
    assert given_back(read_citation(citation)) == [citation]
