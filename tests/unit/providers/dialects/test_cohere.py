from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects import cohere
from pointsman.wire.operations import CHAT, EMBEDDINGS, RERANK, Operation


@pytest.mark.parametrize(
    ("base_path", "operation", "target"),
    [
        ("/compatibility/v1", CHAT, b"/compatibility/v1/chat/completions"),
        ("/compatibility/v1", EMBEDDINGS, b"/compatibility/v1/embeddings"),
        ("/compatibility/v1", RERANK, b"/v2/rerank"),
        ("", RERANK, b"/v2/rerank"),
        ("", CHAT, b"/compatibility/v1/chat/completions"),
        ("/v1", RERANK, b"/v1/rerank"),
        ("/v2/", RERANK, b"/v2/rerank"),
        ("/v2/rerank", RERANK, b"/v2/rerank"),
        ("/v2", CHAT, b"/compatibility/v1/chat/completions"),
        ("/proxy/cohere/compatibility/v1", RERANK, b"/proxy/cohere/v2/rerank"),
    ],
)
def test_rerank_is_native_and_the_rest_on_the_openai_root(base_path: str, operation: Operation, target: bytes) -> None:
    assert cohere.target(base_path, operation) == target


def test_a_v1_request_becomes_v2() -> None:
    body = {
        "model": "rerank-v3.5",
        "query": "q",
        "documents": ["a", {"text": "b"}, {"title": "T", "year": 1999}],
        "top_n": 2,
        "return_documents": True,
        "max_chunks_per_doc": 10,
        "max_tokens_per_doc": 512,
    }
    assert cohere.encode(body) == {
        "model": "rerank-v3.5",
        "query": "q",
        "documents": ["a", "b", "title: T\nyear: 1999"],
        "top_n": 2,
        "max_tokens_per_doc": 512,
    }


def test_documents_are_put_back_when_asked() -> None:
    request = {"query": "q", "documents": ["a", {"text": "b", "id": 7}], "return_documents": True}
    answer = {
        "id": "x",
        "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "warnings": ["w"]},
    }
    shaped = cohere.decode(answer, request)
    assert [result["document"] for result in shaped["results"]] == [{"text": "b", "id": 7}, {"text": "a"}]
    assert shaped["meta"] == answer["meta"]
    assert "document" not in cohere.decode(answer, request | {"return_documents": False})["results"][0]
    assert "document" not in cohere.decode(answer, {"documents": ["a", "b"]})["results"][0]


@pytest.mark.parametrize("document", [7, None, {}, []])
def test_a_document_without_text_is_the_callers_fault(document: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cohere.encode({"query": "q", "documents": ["a", document]})
    assert caught.value.param == "documents[1]"
