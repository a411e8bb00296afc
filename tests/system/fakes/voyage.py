"""Voyage's embeddings and ranking, and Jina's, which are nearly the same."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from system.fakes.model import Refused, Strict, require, require_header, taken
from system.upstream.script import Answer, Received, json_answer

KEY = "pa-canary-4402"
Word = Annotated[str, Meta(min_length=1)]


class EmbedRequest(Strict):
    model: Word
    input: str | list[str]
    input_type: Literal["query", "document"] | None = None
    truncation: bool = True
    output_dimension: Literal[256, 512, 1024, 2048] | None = None
    output_dtype: Literal["float", "int8", "uint8", "binary", "ubinary"] = "float"
    encoding_format: Literal["base64"] | None = None


class RankRequest(Strict):
    model: Word
    query: Word
    documents: Annotated[list[str], Meta(min_length=1)]
    top_k: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    return_documents: bool = False
    truncation: bool = True


class JinaRequest(Strict):
    model: Word
    query: Word
    documents: Annotated[list[str], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    return_documents: bool = True


def answer(received: Received) -> Answer:
    """What Voyage answers."""
    try:
        require_header(received.header("authorization"), f"Bearer {KEY}", "Provided API key is invalid.")
        if received.target == "/v1/embeddings":
            asked = taken(received.body, EmbedRequest)
            return _embeddings(asked.model, asked.input)
        require(received.target == "/v1/rerank", "Not Found", 404)
        request = taken(received.body, RankRequest)
        results = _ranks(request.query, request.documents, request.top_k)
        usage = {"total_tokens": 26}
        return json_answer({"object": "list", "data": results, "model": request.model, "usage": usage})
    except Refused as refused:
        return json_answer({"detail": refused.message}, refused.status)


def answer_jina(received: Received) -> Answer:
    """What Jina answers."""
    try:
        require_header(received.header("authorization"), f"Bearer {KEY}", "Unauthorized")
        if received.target == "/v1/embeddings":
            body = taken(received.body, dict[str, Any])
            return _embeddings(body["model"], body["input"], prompt_tokens=5)
        require(received.target == "/v1/rerank", "Not Found", 404)
        request = taken(received.body, JinaRequest)
        results = _ranks(request.query, request.documents, request.top_n)
        return json_answer({"model": request.model, "usage": {"total_tokens": 26}, "results": results})
    except Refused as refused:
        return json_answer({"detail": refused.message}, refused.status)


def _embeddings(model: str, given: str | list[str], **more: int) -> Answer:
    count = 1 if isinstance(given, str) else len(given)
    data = [{"object": "embedding", "embedding": [0.25, -0.5], "index": index} for index in range(count)]
    return json_answer({"object": "list", "data": data, "model": model, "usage": {"total_tokens": 5} | more})


def _ranks(query: str, documents: list[str], count: int | UnsetType) -> list[dict[str, Any]]:
    results = [{"index": n, "relevance_score": 0.9 if query in text else 0.1} for n, text in enumerate(documents)]
    results.sort(key=lambda one: -one["relevance_score"])
    return results if count is UNSET else results[:count]
