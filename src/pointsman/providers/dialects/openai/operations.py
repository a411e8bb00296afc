"""Where operations are found, and rerank.

Rerank is not OpenAI's; vLLM, Infinity, SGLang and gateways serve it below the same root in Jina's shapes.
"""

from __future__ import annotations

from typing import Any, Final

from pointsman.wire.operations import OPERATIONS, Operation
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without

_PATHS: Final = {operation.name: operation.path for operation in OPERATIONS}


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:
    """Path of the operation of that name; neither ``model`` nor ``is_stream`` is in it.

    An address that already ends in the operation's path is taken as meant.
    """
    del model, is_stream
    base, below = base_path.rstrip("/"), _PATHS[operation]
    return base if base.endswith(below) else base + below


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
