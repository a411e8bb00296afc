"""Citations, which Anthropic hangs on blocks of text and OpenAI on the whole of it.

An annotation keeps the citation that it was made of as its member ``anthropic``, so that it can be given back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pointsman.providers.dialects.anthropic.facts import NAME


def read_citations(raw: Any, start: int, end: int) -> list[dict[str, Any]]:
    """Annotations of the text from ``start`` to ``end`` for the ``citations`` of its block, or for nothing."""
    if not isinstance(raw, list):
        return []
    return [_annotation(citation, start, end) for citation in raw if isinstance(citation, dict)]


def _annotation(citation: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    url = citation.get("url") or citation.get("source")
    title = citation.get("title") or citation.get("document_title") or ""
    if isinstance(url, str):
        place = {"url": url, "title": title, "start_index": start, "end_index": end}
        return {"type": "url_citation", "url_citation": place, NAME: citation}
    place = {"filename": title, "start_index": start, "end_index": end}
    if citation.get("file_id"):
        place["file_id"] = citation["file_id"]
    return {"type": "file_citation", "file_citation": place, NAME: citation}


def write_citations(annotations: Iterable[dict[str, Any]], text: str = "") -> list[dict[str, Any]]:
    """Citations for a client; ``text`` is what the annotations' positions count in, if it is at hand."""
    return [citation for annotation in annotations if (citation := _citation(annotation, text)) is not None]


def given_back(annotations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Citations for Anthropic: those that it made itself."""
    return [
        citation
        for annotation in annotations
        if isinstance(citation := annotation.get(NAME), dict) and citation.get("encrypted_index") != ""
    ]


def _citation(annotation: dict[str, Any], text: str) -> dict[str, Any] | None:
    own = annotation.get(NAME)
    if isinstance(own, dict):
        return own
    found = annotation.get("url_citation")
    if not isinstance(found, dict) or not isinstance(found.get("url"), str):
        return None
    start, end = found.get("start_index"), found.get("end_index")
    is_placed = isinstance(start, int) and isinstance(end, int)
    return {
        "type": "web_search_result_location",
        "url": found["url"],
        "title": found.get("title"),
        "cited_text": text[start:end] if is_placed else "",
        "encrypted_index": "",
    }
