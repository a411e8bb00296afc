"""The OpenAI wire, as OpenAI and most servers speak it. Bodies pass through.

Rerank is not OpenAI's; vLLM, Infinity, SGLang and gateways serve it below the same root in Jina's shapes.
"""

from __future__ import annotations

from typing import Any

from pointsman.wire.operations import Operation
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without


def target(base_path: str, operation: Operation) -> bytes:
    """Path of an operation; ``base_path`` is the path of the deployment's address, possibly empty.

    An address that already ends in the operation's path is taken as meant.
    """
    base = base_path.rstrip("/")
    return (base if base.endswith(operation.path) else base + operation.path).encode()


def encode(body: dict[str, Any]) -> dict[str, Any]:
    """A client's rerank request as these servers take it: documents that are texts, as texts."""
    fields = rank_fields(body)
    documents = [
        document_text(document, index=index, fields=fields)
        if fields is not None or (isinstance(document, dict) and isinstance(document.get("text"), str))
        else document  # a text already, or an image for a model that ranks images
        for index, document in enumerate(documents_of(body))
    ]
    return without(body, "rank_fields", "max_chunks_per_doc") | {"documents": documents}


def decode(answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
    """A rerank answer in Cohere's shape; ``request`` is the client's body as it came."""
    return cohere_answer(answer, request, answer_id=answer_id)
