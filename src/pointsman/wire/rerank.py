"""Rerank bodies: what Cohere's, Jina's and the OpenAI-wire servers' shapes have in common.

A request has ``query`` and ``documents``, which are texts or objects; an answer has results that point into
``documents`` by ``index``. Towards the client the answer is always in Cohere's shape.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken

_MAX_SCORE = 1e300
_MAX_ID_RESULTS = 16


def document_text(document: Any, *, index: int, fields: list[str] | None) -> str:
    """One document as text.

    A text is itself and ``{"text": ...}`` its text. Of another object, or with ``rank_fields``, the fields
    become lines ``name: value``, which is how Cohere tells users of its v2 API to write structured documents.
    Raises ``InvalidRequest`` when nothing can be ranked in it.
    """
    if isinstance(document, str):
        return document
    if isinstance(document, dict):
        if fields is None and isinstance(document.get("text"), str):
            return str(document["text"])
        names = list(document) if fields is None else [name for name in fields if name in document]
        lines = [f"{name}: {_plain(document[name])}" for name in names]
        if lines:
            return "\n".join(lines)
    raise InvalidRequest("A document must be a text or an object with a text in it", param=f"documents[{index}]")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def documents_of(body: dict[str, Any]) -> list[Any]:
    """``documents`` as the client sent them; ``InvalidRequest`` when it is no list."""
    documents = body.get("documents")
    if not isinstance(documents, list):
        raise InvalidRequest("documents must be a list of texts or objects", param="documents")
    return documents


def rank_fields(body: dict[str, Any]) -> list[str] | None:
    """``rank_fields``, which Cohere's v1 has; ``None`` when there are none."""
    fields = body.get("rank_fields")
    if fields is None or fields == []:
        return None
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise InvalidRequest("rank_fields must be a list of field names", param="rank_fields")
    return fields


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """A copy that lacks the named fields and those that are null, which some servers refuse."""
    return {name: value for name, value in body.items() if value is not None and name not in names}


def cohere_answer(answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
    """An upstream's answer in Cohere's shape, its unknown fields kept.

    Results are sorted by score and cut at ``top_n``. ``return_documents: true`` puts the client's own
    documents back, ``false`` takes documents out, and without it they stay as the upstream has them.
    ``answer_id`` is used where the upstream gives no id. Raises ``UpstreamBroken`` when there are no results.
    """
    body: dict[str, Any] = dict(answer) if isinstance(answer, dict) else {"results": answer}
    found = body.pop("results", None)
    if found is None:
        found = body.pop("data", None)
        if body.get("object") == "list":
            del body["object"]
    documents = documents_of(request)
    results = [_result(entry, documents, request.get("return_documents")) for entry in _list(found)]
    results.sort(key=lambda result: -float(result["relevance_score"]))
    top_n = request.get("top_n")
    if isinstance(top_n, int) and not isinstance(top_n, bool) and top_n > 0:
        results = results[:top_n]
    given_id = body.pop("id", None)
    return {"id": given_id or answer_id or _derived_id(request, results), "results": results} | _with_meta(body)


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise UpstreamBroken("The provider's rerank answer has no results")
    return found


def _result(entry: Any, documents: list[Any], wants_documents: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise UpstreamBroken("The provider's rerank answer holds a result that is no object")
    result = dict(entry)
    index = result.pop("index", None)
    score = result.pop("relevance_score", None)
    if score is None:
        score = result.pop("score", None)
    if not _is_number(score) or not isinstance(index, int) or not 0 <= index < len(documents):
        raise UpstreamBroken("The provider's rerank answer holds a result without a valid index and score")
    document = result.pop("document", None)
    if isinstance(document, str):  # Infinity and SGLang
        document = {"text": document}
    if wants_documents is True:
        own = documents[index]
        document = own if isinstance(own, dict) else {"text": own}
    shaped: dict[str, Any] = {"index": index, "relevance_score": score}
    if document is not None and wants_documents is not False:
        shaped["document"] = document
    return shaped | result


def _is_number(value: Any) -> bool:
    """A score that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_SCORE


def _with_meta(body: dict[str, Any]) -> dict[str, Any]:
    """``meta`` completed: Jina, vLLM and Voyage count tokens under ``usage``, which Cohere does not know."""
    meta = dict(body["meta"]) if isinstance(body.get("meta"), dict) else {}
    meta.setdefault("api_version", {"version": "2"})
    usage = body.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    if isinstance(total, int) and "billed_units" not in meta:
        meta["billed_units"] = {"total_tokens": total}
        meta.setdefault("tokens", {"input_tokens": total})
    return body | {"meta": meta}


def _derived_id(request: dict[str, Any], results: list[dict[str, Any]]) -> str:
    material = msgspec.json.encode([request.get("model"), request.get("query"), results[:_MAX_ID_RESULTS]])
    return "rerank-" + hashlib.sha256(material).hexdigest()[:24]
