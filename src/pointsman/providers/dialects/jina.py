"""Jina's API: embeddings on the OpenAI wire, and the rerank shapes that others took over.

Documents may be texts, ``{"text": ...}`` or ``{"image": ...}``; tokens are counted under ``usage``.
"""

from __future__ import annotations

from typing import Any

from pointsman.wire.operations import Operation
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without


def target(base_path: str, operation: Operation) -> bytes:
    """Path of an operation.

    An address that already ends in it, as LiteLLM's users write ``.../v1/rerank``, is taken as meant.
    """
    base = base_path.rstrip("/")
    return (base if base.endswith(operation.path) else base + operation.path).encode()


def encode(body: dict[str, Any]) -> dict[str, Any]:
    """A client's rerank request without the fields that are Cohere's only."""
    fields = rank_fields(body)
    documents = documents_of(body)
    if fields is not None:
        documents = [document_text(document, index=index, fields=fields) for index, document in enumerate(documents)]
    return without(body, "rank_fields", "max_chunks_per_doc", "max_tokens_per_doc") | {"documents": documents}


def decode(answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
    """A rerank answer in Cohere's shape; ``request`` is the client's body as it came."""
    return cohere_answer(answer, request, answer_id=answer_id)
