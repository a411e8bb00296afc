"""Sources: ``groundingMetadata`` and ``citationMetadata``, and OpenAI's ``url_citation`` annotations.

Google counts places in bytes of UTF-8, OpenAI in characters.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class _Web(msgspec.Struct):
    uri: str = ""
    title: str | None = None


class _Chunk(msgspec.Struct, rename="camel"):
    web: _Web | None = None
    retrieved_context: _Web | None = None
    maps: _Web | None = None


class _Segment(msgspec.Struct, rename="camel", frozen=True):
    start_index: int = 0
    end_index: int = 0


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment = _Segment()
    grounding_chunk_indices: list[int] = []


class _Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[_Chunk] = []
    grounding_supports: list[_Support] = []


class _Citation(msgspec.Struct, rename="camel"):
    start_index: int = 0
    end_index: int = 0
    uri: str = ""
    title: str | None = None


class _Citations(msgspec.Struct, rename="camel"):
    citations: list[_Citation] = []


def read_citations(grounding: Any, citations: Any, text: str) -> list[dict[str, Any]]:
    """Annotations of ``text``; what cannot be read is left out."""
    found = [*_grounded(_convert(grounding, _Grounding)), *_convert(citations, _Citations).citations]
    if not found:
        return []
    encoded = text.encode()
    return [
        _annotation(citation, _characters(encoded, citation.start_index), _characters(encoded, citation.end_index))
        for citation in found
        if citation.uri
    ]


def write_citations(annotations: list[dict[str, Any]], text: str) -> dict[str, Any] | None:
    """``groundingMetadata`` of the annotations of ``text``; ``None``: there are no sources among them."""
    sources = [source for entry in annotations if isinstance(source := entry.get("url_citation"), dict)]
    if not sources:
        return None
    return {
        "groundingChunks": [{"web": {"uri": s.get("url"), "title": s.get("title")}} for s in sources],
        "groundingSupports": [
            {"segment": _segment(text, source), "groundingChunkIndices": [at]} for at, source in enumerate(sources)
        ],
    }


def _grounded(grounding: _Grounding) -> list[_Citation]:
    chunks = grounding.grounding_chunks
    return [
        _Citation(support.segment.start_index, support.segment.end_index, source.uri, source.title)
        for support in grounding.grounding_supports
        for at in support.grounding_chunk_indices
        if 0 <= at < len(chunks) and (source := chunks[at].web or chunks[at].retrieved_context or chunks[at].maps)
    ]


def _convert(value: Any, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(value or {}, kind)
    except msgspec.ValidationError:
        return kind()


def _characters(encoded: bytes, at: int) -> int:
    return len(encoded[: max(at, 0)].decode(errors="ignore"))


def _annotation(citation: _Citation, start: int, end: int) -> dict[str, Any]:
    source = {"url": citation.uri, "title": citation.title or citation.uri, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": source}


def _segment(text: str, source: dict[str, Any]) -> dict[str, Any]:
    start, end = source.get("start_index"), source.get("end_index")
    if not isinstance(start, int) or not isinstance(end, int):
        return {}
    cited = text[start:end]
    first = len(text[:start].encode())
    return {"startIndex": first, "endIndex": first + len(cited.encode()), "text": cited}
