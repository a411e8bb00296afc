from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.converse.citations import read_citation


@pytest.mark.parametrize(
    ("citation", "annotation"),
    [
        (
            {"title": "T", "location": {"web": {"url": "https://a.example/"}}},
            {"type": "url_citation",
             "url_citation": {"url": "https://a.example/", "title": "T", "start_index": 1, "end_index": 4}},
        ),
        (
            {"source": "https://b.example/", "location": {"searchResultLocation": {}}},
            {"type": "url_citation",
             "url_citation": {"url": "https://b.example/", "title": "https://b.example/", "start_index": 1,
                              "end_index": 4}},
        ),
        (
            {"title": "Notes", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}},
            {"type": "file_citation", "file_citation": {"filename": "Notes", "start_index": 1, "end_index": 4}},
        ),
        (
            {"location": "odd", "source": 7},
            {"type": "file_citation", "file_citation": {"filename": "", "start_index": 1, "end_index": 4}},
        ),
    ],
)  # fmt: skip
def test_a_source_is_an_annotation_that_keeps_what_it_was(citation: dict[str, Any], annotation: dict[str, Any]) -> None:
    assert read_citation(citation, 1, 4) == annotation | {"converse": citation}
