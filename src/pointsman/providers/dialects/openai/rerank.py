"""Rerank as vLLM, Infinity, SGLang and gateways serve it below the same root, in Jina's shapes; OpenAI has none."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without
from pointsman.wire.usage import find_usage

_PATH: Final = "/rerank"


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for such a server: documents that are texts, as texts. ``max_chunks_per_doc`` is lost.

    An address that already ends in the operation's path is taken as meant.

    :raises InvalidRequest: there is nothing to rank
    """
    if body.get("max_chunks_per_doc") is not None and "max_chunks_per_doc" not in terms.drops:
        terms.lose("max_chunks_per_doc")
    fields = rank_fields(body)
    documents = [
        document_text(document, index=index, fields=fields)
        if fields is not None or (isinstance(document, dict) and isinstance(document.get("text"), str))
        else document  # a text already, or an image for a model that ranks images
        for index, document in enumerate(documents_of(body))
    ]
    written = without(body, "rank_fields", "max_chunks_per_doc", *terms.drops)
    written |= {"model": terms.model, "documents": documents}
    base = base_path.rstrip("/")
    path = base if base.endswith(_PATH) else base + _PATH
    return UpstreamRequest(path=path, body=msgspec.json.encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """The answer in Cohere's shape; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid JSON") from None
    return Reply(body=msgspec.json.encode(cohere_answer(found, request)), usage=find_usage(answer))
