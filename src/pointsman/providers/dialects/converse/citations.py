"""Sources, as annotations of OpenAI's chat.

An annotation keeps the citation that it was made of as its member ``converse``.
"""

from __future__ import annotations

from typing import Any

from pointsman.providers.dialects.converse.models import NAME


def read_citation(citation: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """The annotation of the text from ``start`` to ``end``, in characters of the whole answer."""
    location = citation.get("location")
    web = location.get("web") if isinstance(location, dict) else None
    title = citation.get("title") or ""
    url = (web.get("url") if isinstance(web, dict) else None) or citation.get("source")
    if isinstance(url, str) and url:
        place = {"url": url, "title": title or url, "start_index": start, "end_index": end}
        return {"type": "url_citation", "url_citation": place, NAME: citation}
    place = {"filename": title, "start_index": start, "end_index": end}
    return {"type": "file_citation", "file_citation": place, NAME: citation}
