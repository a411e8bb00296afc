"""Reranking by InvokeModel: Cohere's and Amazon's models, which take texts.

Sources: docs.aws.amazon.com/bedrock/latest/userguide/rerank-use.html, docs.cohere.com/reference/rerank.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.converse.models import model_path
from pointsman.providers.dialects.converse.wire import UNREADABLE
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields
from pointsman.wire.usage import Usage

_KNOWN: Final = frozenset({"model", "query", "documents", "top_n", "return_documents", "rank_fields"})
_PER_UNIT: Final = 100
"""Documents of one request that are billed together."""
_encode: Final = msgspec.json.Encoder().encode


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for the model; ``body`` is Cohere's.

    :raises InvalidRequest: it is not valid
    """
    query = body.get("query")
    if not isinstance(query, str):
        raise InvalidRequest("query must be a text", param="query")
    fields = rank_fields(body)
    texts = [document_text(each, index=at, fields=fields) for at, each in enumerate(documents_of(body))]
    written: dict[str, Any] = {"query": query, "documents": texts}
    if body.get("top_n") is not None:
        written["top_n"] = body["top_n"]
    is_cohere = "cohere" in terms.model.lower()
    if is_cohere:
        written["api_version"] = 2
    for name, value in body.items():
        if name in _KNOWN or value is None or name in terms.drops:
            continue
        if name in terms.allowed or (is_cohere and name == "max_tokens_per_doc"):
            written[name] = value
        else:
            terms.lose(name)
    return UpstreamRequest(path=model_path(base_path, terms.model, "invoke"), body=_encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """The answer in Cohere's shape. Models here report no usage: it is what Amazon bills for that many documents.

    :raises UpstreamBroken: it is none
    """
    try:
        found = msgspec.json.decode(answer)
    except UNREADABLE:
        raise UpstreamBroken("The provider sent something that is no answer") from None
    units = max(1, -(-len(documents_of(request)) // _PER_UNIT))
    shaped = cohere_answer(found, request)
    shaped["meta"].setdefault("billed_units", {"search_units": units})
    return Reply(body=_encode(shaped), usage=Usage(search_units=units))
