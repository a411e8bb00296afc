"""Cohere's API: the OpenAI wire below ``/compatibility/v1``, and its own rerank v2 beside it.

Rerank v2 takes texts only and never returns documents.
"""

from __future__ import annotations

from typing import Any

from pointsman.wire.operations import RERANK, Operation
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without

_OPENAI_ROOT = "/compatibility/v1"
_NATIVE_ROOTS = ("/v1", "/v2")


def target(base_path: str, operation: Operation) -> bytes:
    """Path of an operation.

    The address may point at the OpenAI root, at a native root (``/v1``, ``/v2``), at ``/v2/rerank`` itself as
    LiteLLM's users write it, or at the bare host: rerank is looked for at the native root, the rest below the
    OpenAI root.
    """
    base = base_path.rstrip("/").removesuffix(RERANK.path)
    native = next((root for root in _NATIVE_ROOTS if base.endswith(root)), "/v2")
    if base.endswith(_OPENAI_ROOT):
        base, native = base.removesuffix(_OPENAI_ROOT), "/v2"
    else:
        base = base.removesuffix(native)
    root = native if operation.name == RERANK.name else _OPENAI_ROOT
    return f"{base}{root}{operation.path}".encode()


def encode(body: dict[str, Any]) -> dict[str, Any]:
    """A client's rerank request as v2 takes it: every document a text, no field of v1."""
    fields = rank_fields(body)
    documents = [
        document_text(document, index=index, fields=fields) for index, document in enumerate(documents_of(body))
    ]
    return without(body, "rank_fields", "return_documents", "max_chunks_per_doc") | {"documents": documents}


def decode(answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
    """A rerank answer with the documents put back if asked; ``request`` is the client's body as it came."""
    return cohere_answer(answer, request, answer_id=answer_id)
