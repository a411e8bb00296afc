from __future__ import annotations

import pytest

from pointsman.providers.dialects import jina
from pointsman.wire.operations import EMBEDDINGS, RERANK, Operation


@pytest.mark.parametrize(
    ("base_path", "operation", "target"),
    [
        ("/v1", RERANK, b"/v1/rerank"),
        ("/v1/rerank", RERANK, b"/v1/rerank"),
        ("/v1", EMBEDDINGS, b"/v1/embeddings"),
    ],
)
def test_paths(base_path: str, operation: Operation, target: bytes) -> None:
    assert jina.target(base_path, operation) == target


def test_images_pass_and_coheres_fields_do_not() -> None:
    body = {
        "model": "jina-reranker-m0",
        "query": "q",
        "documents": ["a", {"text": "b"}, {"image": "https://example.org/c.png"}],
        "return_documents": False,
        "max_tokens_per_doc": 10,
        "max_chunks_per_doc": 10,
    }
    assert jina.encode(body) == {
        "model": "jina-reranker-m0",
        "query": "q",
        "documents": ["a", {"text": "b"}, {"image": "https://example.org/c.png"}],
        "return_documents": False,
    }
    assert jina.encode({"documents": [{"t": "x", "u": "y"}], "rank_fields": ["t"]}) == {"documents": ["t: x"]}


def test_jinas_answer_becomes_coheres() -> None:
    answer = {
        "model": "jina-reranker-v2-base-multilingual",
        "object": "list",
        "usage": {"total_tokens": 815, "prompt_tokens": 815},
        "results": [
            {"index": 2, "relevance_score": 0.76, "document": {"text": "c"}},
            {"index": 0, "relevance_score": 0.87, "document": {"text": "a"}},
        ],
    }
    shaped = jina.decode(answer, {"query": "q", "documents": ["a", "b", "c"]})
    assert [result["index"] for result in shaped["results"]] == [0, 2]
    assert shaped["meta"]["billed_units"] == {"total_tokens": 815}
    assert shaped["usage"]["total_tokens"] == 815
    assert shaped["id"].startswith("rerank-")
