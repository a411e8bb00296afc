"""Embeddings, rerank and moderation: what can be said of a text by looking at its words."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from typing import Any

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.names import find_model
from pointsman.providers.vendors.demo.reply import (
    DemoReply,
    flag,
    json_reply,
    new_id,
    read_object,
    text_field,
    whole_number,
)
from pointsman.providers.vendors.demo.words import count_tokens
from pointsman.wire.rerank import document_text, documents_of, rank_fields

_DIMENSIONS = 256
_MAX_DIMENSIONS = 4_096
_MAX_INPUTS = 2_048
_MAX_NUMBERS = _MAX_INPUTS * _DIMENSIONS
"""In one answer: it is computed on the loop that serves everybody."""
_WORDS = re.compile(r"\w+")
_DOCUMENTS_PER_SEARCH = 100
_FLAG_WORD = "demo-flag"
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def embeddings(raw: bytes, now: float) -> DemoReply:  # noqa: ARG001  all endpoints are called alike
    """``POST /embeddings``: unit vectors in which texts that share words are near each other."""
    body = read_object(raw)
    model = find_model(body.get("model"), "embedding")
    n_dimensions = whole_number(body, "dimensions", default=_DIMENSIONS, low=1, high=_MAX_DIMENSIONS)
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise InvalidRequest("encoding_format must be float or base64", param="encoding_format")
    inputs = _inputs(body.get("input"))
    if len(inputs) * n_dimensions > _MAX_NUMBERS:
        raise InvalidRequest(f"The demo gives at most {_MAX_NUMBERS} numbers at once", param="dimensions")
    data = []
    for index, features in enumerate(inputs):
        vector = unit_vector(features, n_dimensions)
        value = vector if form == "float" else base64.b64encode(struct.pack(f"<{n_dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": value})
    n_tokens = sum(map(_n_tokens, inputs))
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return json_reply({"object": "list", "data": data, "model": model.name, "usage": usage})


Features = str | tuple[int, ...]


def _n_tokens(features: Features) -> int:
    return count_tokens(features) if isinstance(features, str) else len(features)


def _inputs(given: Any) -> list[Features]:
    """A text, texts, tokens, or lists of tokens."""
    if isinstance(given, list) and given and all(_is_token(token) for token in given):
        return [tuple(given)]
    inputs = given if isinstance(given, list) else [given]
    if not inputs or len(inputs) > _MAX_INPUTS:
        raise InvalidRequest(f"input must hold 1 to {_MAX_INPUTS} texts", param="input")
    return [_features(value) for value in inputs]


def _features(value: Any) -> Features:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(_is_token(token) for token in value):
        return tuple(value)
    raise InvalidRequest("input must be a text that is not empty, a list of those, or tokens", param="input")


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def unit_vector(features: Features, n_dimensions: int) -> list[float]:
    """Each distinct word or token adds one to, or takes one from, four places that its hash names."""
    names = {word.lower() for word in _WORDS.findall(features)} if isinstance(features, str) else set(features)
    vector = [0.0] * n_dimensions
    for name in names or {""}:
        digest = hashlib.sha256(str(name).encode()).digest()
        for place in range(0, 16, 4):
            number = int.from_bytes(digest[place : place + 4], "little")
            vector[(number >> 1) % n_dimensions] += 1.0 if number & 1 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0.0:  # the four places can cancel out when there are few
        vector[0], norm = 1.0, 1.0
    return [value / norm for value in vector]


def rerank(raw: bytes, now: float) -> DemoReply:
    """``POST /rerank``: the share of the query's words that a document has, in Cohere's shape."""
    body = read_object(raw)
    model = find_model(body.get("model"), "rerank")
    query = text_field(body, "query")
    documents = documents_of(body)
    if not documents:
        raise InvalidRequest("documents must not be empty", param="documents")
    fields = rank_fields(body)
    texts = [document_text(document, index=index, fields=fields) for index, document in enumerate(documents)]
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": _overlap(query, text)} for index, text in enumerate(texts)
    ]
    results.sort(key=lambda result: -result["relevance_score"])
    del results[whole_number(body, "top_n", default=len(results), low=1, high=1_000_000) :]
    if flag(body, "return_documents"):
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    n_tokens = sum(map(count_tokens, texts)) + count_tokens(query)
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": -(-len(texts) // _DOCUMENTS_PER_SEARCH)},
        "tokens": {"input_tokens": n_tokens},
    }
    return json_reply({"id": new_id("rerank-", raw, now), "model": model.name, "results": results, "meta": meta})


def _overlap(query: str, text: str) -> float:
    wanted = {word.lower() for word in _WORDS.findall(query)}
    found = {word.lower() for word in _WORDS.findall(text)}
    return round(len(wanted & found) / len(wanted), 6) if wanted else 0.0


def moderations(raw: bytes, now: float) -> DemoReply:
    """``POST /moderations``: nothing is judged; a text with ``demo-flag`` in it is flagged, to try it out."""
    body = read_object(raw)
    model = find_model(body.get("model"), "moderation")
    texts = _judged_texts(body.get("input"))
    results = [_judgement(_FLAG_WORD in text) for text in texts]
    return json_reply({"id": new_id("modr-", raw, now), "model": model.name, "results": results})


def _judged_texts(given: Any) -> list[str]:
    """A text, texts, or parts, which are judged together."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(part, dict) for part in given):
            return [" ".join(str(part.get("text", "")) for part in given)]
        if all(isinstance(text, str) for text in given):
            return given
    raise InvalidRequest("input must be a text, a list of texts or a list of parts", param="input")


def _judgement(is_flagged: bool) -> dict[str, Any]:
    flagged = {"violence"} if is_flagged else set[str]()
    return {
        "flagged": is_flagged,
        "categories": {name: name in flagged for name in _CATEGORIES},
        "category_scores": {name: 1.0 if name in flagged else 0.0 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] if name in flagged else [] for name in _CATEGORIES},
    }
