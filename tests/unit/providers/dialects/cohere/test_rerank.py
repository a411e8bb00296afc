from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects import cohere
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage

REQUEST: dict[str, Any] = {
    "model": "public",
    "query": "q",
    "documents": ["a", {"text": "b"}, {"title": "T", "year": 1999}],
    "top_n": 2,
    "return_documents": True,
    "max_tokens_per_doc": 512,
}
ANSWER: dict[str, Any] = {
    "id": "x",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "warnings": ["w"]},
}


def test_a_request_of_v1_becomes_one_of_v2() -> None:
    terms = Terms(model="rerank-v3.5", drops=frozenset({"max_tokens_per_doc"}))
    sent = cohere.rerank.write(REQUEST | {"max_chunks_per_doc": 10}, terms, "/v2")
    assert sent.path == "/v2/rerank"
    assert json.loads(sent.body) == {
        "model": "rerank-v3.5",
        "query": "q",
        "documents": ["a", "b", "title: T\nyear: 1999"],
        "top_n": 2,
    }
    assert terms.lost == ["max_chunks_per_doc"]


def test_what_is_dropped_is_not_missed() -> None:
    terms = Terms(model="m", drops=frozenset({"max_chunks_per_doc"}))
    assert json.loads(cohere.rerank.write({"documents": ["a"], "max_chunks_per_doc": 1}, terms, "").body) == {
        "model": "m",
        "documents": ["a"],
    }
    assert terms.lost == []


def test_documents_are_put_back_when_asked() -> None:
    request = {"query": "q", "documents": ["a", {"text": "b", "id": 7}], "return_documents": True}
    reply = cohere.rerank.read(json.dumps(ANSWER).encode(), request)
    shaped = json.loads(reply.body)
    assert [result["document"] for result in shaped["results"]] == [{"text": "b", "id": 7}, {"text": "a"}]
    assert shaped["meta"] == ANSWER["meta"]
    assert reply.usage == Usage(search_units=1)
    assert "document" not in cohere.decode(ANSWER, request | {"return_documents": False})["results"][0]
    assert "document" not in cohere.decode(ANSWER, {"documents": ["a", "b"]})["results"][0]


@pytest.mark.parametrize("document", [7, None, {}, []])
def test_a_document_without_text_is_the_callers_fault(document: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cohere.encode({"query": "q", "documents": ["a", document]})
    assert caught.value.param == "documents[1]"


@pytest.mark.parametrize("answer", [b"", b"{", b'{"results": 1}', b'"\xff"', b"[" * 100_000])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        cohere.rerank.read(answer, REQUEST)
