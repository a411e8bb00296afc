"""Rerank: texts only, ``top_k`` for ``top_n``, and results under ``data``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.voyage.paths import path_of
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without
from pointsman.wire.usage import find_usage

_PATH: Final = "/rerank"
_COHERES: Final = ("max_chunks_per_doc", "max_tokens_per_doc")


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Voyage. What ``body`` has of Cohere only is lost.

    :raises InvalidRequest: there is nothing to rank
    """
    for name in _COHERES:
        if body.get(name) is not None and name not in terms.drops:
            terms.lose(name)
    fields = rank_fields(body)
    written = without(body, "rank_fields", *_COHERES, *terms.drops) | {
        "model": terms.model,
        "documents": [
            document_text(document, index=index, fields=fields) for index, document in enumerate(documents_of(body))
        ],
    }
    if "top_n" in written:
        written["top_k"] = written.pop("top_n")
    return UpstreamRequest(path=path_of(base_path, _PATH), body=msgspec.json.encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Voyage's answer in Cohere's shape; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid JSON") from None
    return Reply(body=msgspec.json.encode(cohere_answer(found, request)), usage=find_usage(answer))
