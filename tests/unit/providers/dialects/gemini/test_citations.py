from __future__ import annotations

from typing import Any

from pointsman.providers.dialects.gemini.citations import read_citations, write_citations


def source(start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": start, "end_index": end}}


def test_places_are_counted_in_characters_and_written_in_bytes() -> None:
    text = "ñandú ríe"
    annotations = [source(6, 9)]
    grounding = write_citations(annotations, text)
    assert grounding is not None
    segment = grounding["groundingSupports"][0]["segment"]
    assert segment == {"startIndex": 8, "endIndex": 12, "text": "ríe"}
    assert read_citations(grounding, None, text) == annotations


def test_sources_that_cannot_be_read_are_left_out() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "u"}}, {"image": {}}],
        "groundingSupports": [{"segment": {"endIndex": 1}, "groundingChunkIndices": [0, 1, 7, -1]}],
    }
    assert [found["url_citation"]["url"] for found in read_citations(grounding, None, "ab")] == ["u"]
    assert read_citations({"groundingSupports": "x"}, {"citations": 7}, "ab") == []
    assert read_citations(None, None, "ab") == []


def test_a_place_within_a_character_is_before_it() -> None:
    citations = {"citations": [{"startIndex": 1, "endIndex": 99, "uri": "u"}]}
    found = read_citations(None, citations, "éa")[0]["url_citation"]
    assert (found["start_index"], found["end_index"]) == (0, 2)


def test_without_sources_nothing_is_written() -> None:
    assert write_citations([{"type": "file_citation"}], "a") is None
    grounding = write_citations([{"type": "url_citation", "url_citation": {"url": "u"}}], "a")
    assert grounding is not None
    assert grounding["groundingSupports"][0]["segment"] == {}
