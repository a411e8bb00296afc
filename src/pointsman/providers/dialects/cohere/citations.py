"""Citations: Cohere's name the documents and the results of tools that a piece of the text rests on.

An annotation has one source. The first of a citation keeps the whole of it as its member ``cohere``, so that it can
be given back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pointsman.providers.dialects.cohere.facts import NAME

_OF_TEXT: Final = (None, "TEXT_CONTENT")


def read_citation(citation: Any) -> list[dict[str, Any]]:
    """Annotations of the text; none for what is cited in the reasoning or in a plan."""
    if not isinstance(citation, dict) or citation.get("type") not in _OF_TEXT:
        return []
    sources = citation.get("sources")
    found = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    annotations = [_annotation(citation, source) for source in found or [{}]]
    annotations[0][NAME] = citation
    return annotations


def given_back(annotations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The citations that Cohere has made itself."""
    return [citation for annotation in annotations if isinstance(citation := annotation.get(NAME), dict)]


def _annotation(citation: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    document = source.get("document")
    known = document if isinstance(document, dict) else {}
    source_id = source.get("id")
    title = next((text for text in (known.get("title"), source_id) if isinstance(text, str)), "")
    place = {"start_index": citation.get("start"), "end_index": citation.get("end")}
    if isinstance(known.get("url"), str):
        return {"type": "url_citation", "url_citation": {"url": known["url"], "title": title} | place}
    return {"type": "file_citation", "file_citation": {"file_id": source_id, "filename": title} | place}
