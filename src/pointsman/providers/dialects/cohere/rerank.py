"""Rerank v2. It takes texts only and never returns documents."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.cohere.paths import native_path
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.operations import RERANK
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without
from pointsman.wire.usage import find_usage


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Cohere. What ``body`` has of version 1 only (``max_chunks_per_doc``) is lost.

    :raises InvalidRequest: there is nothing to rank
    """
    if body.get("max_chunks_per_doc") is not None and "max_chunks_per_doc" not in terms.drops:
        terms.lose("max_chunks_per_doc")
    written = without(encode(body), *terms.drops) | {"model": terms.model}
    return UpstreamRequest(path=native_path(base_path, RERANK.path), body=msgspec.json.encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Cohere's answer with the documents put back if asked; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid JSON") from None
    return Reply(body=msgspec.json.encode(decode(found, request)), usage=find_usage(answer))


def encode(body: dict[str, Any]) -> dict[str, Any]:
    """A client's request as v2 takes it: every document a text, no field of v1."""
    fields = rank_fields(body)
    documents = [
        document_text(document, index=index, fields=fields) for index, document in enumerate(documents_of(body))
    ]
    return without(body, "rank_fields", "return_documents", "max_chunks_per_doc") | {"documents": documents}


def decode(answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
    """An answer with the documents put back if asked; ``request`` is the client's body as it came."""
    return cohere_answer(answer, request, answer_id=answer_id)
