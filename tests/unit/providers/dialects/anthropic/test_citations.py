from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.anthropic.citations import given_back, read_citations, write_citations

WEB = {
    "type": "web_search_result_location",
    "url": "https://e.com",
    "title": "E",
    "encrypted_index": "Eo8",
    "cited_text": "x",
}
PAGE = {"type": "page_location", "document_title": None, "start_page_number": 1, "cited_text": "x"}


def test_a_citation_is_given_back_as_it_came() -> None:
    annotations = read_citations([WEB, PAGE, "odd"], 3, 9)
    assert [annotation["type"] for annotation in annotations] == ["url_citation", "file_citation"]
    assert annotations[0]["url_citation"] == {"url": "https://e.com", "title": "E", "start_index": 3, "end_index": 9}
    assert annotations[1]["file_citation"] == {"filename": "", "start_index": 3, "end_index": 9}
    assert write_citations(annotations) == given_back(annotations) == [WEB, PAGE]


@pytest.mark.parametrize("raw", [None, {}, "x"])
def test_what_is_no_list_cites_nothing(raw: Any) -> None:
    assert read_citations(raw, 0, 1) == []


def test_what_others_cite_is_shown_but_never_sent_to_anthropic() -> None:
    place = {"url": "https://e.com", "title": "E", "start_index": 0, "end_index": 4}
    shown = write_citations([{"type": "url_citation", "url_citation": place}], "Born in 1916")
    assert shown == [WEB | {"cited_text": "Born", "encrypted_index": ""}]
    assert given_back(read_citations(shown, 0, 4)) == []


@pytest.mark.parametrize("annotation", [{}, {"url_citation": 7}, {"url_citation": {"url": 7}}, {"anthropic": 7}])
def test_annotations_of_other_kinds_are_left_out(annotation: dict[str, Any]) -> None:
    assert write_citations([annotation]) == given_back([annotation]) == []
