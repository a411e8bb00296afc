"""Rerank, in the shapes that others took over.

Documents may be texts, ``{"text": ...}`` or ``{"image": ...}``; tokens are counted under ``usage``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.operations import RERANK, Operation
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without
from pointsman.wire.usage import find_usage

_COHERES: Final = ("max_chunks_per_doc", "max_tokens_per_doc")


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Jina. What ``body`` has of Cohere only is lost.

    :raises InvalidRequest: there is nothing to rank
    """
    for name in _COHERES:
        if body.get(name) is not None and name not in terms.drops:
            terms.lose(name)
    written = without(encode(body), *terms.drops) | {"model": terms.model}
    return UpstreamRequest(path=target(base_path, RERANK).decode(), body=msgspec.json.encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Jina's answer in Cohere's shape; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid JSON") from None
    return Reply(body=msgspec.json.encode(decode(found, request)), usage=find_usage(answer))


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
    return without(body, "rank_fields", *_COHERES) | {"documents": documents}


def decode(answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
    """A rerank answer in Cohere's shape; ``request`` is the client's body as it came."""
    return cohere_answer(answer, request, answer_id=answer_id)
