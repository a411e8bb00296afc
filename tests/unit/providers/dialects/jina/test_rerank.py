from __future__ import annotations

import json

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects import jina
from pointsman.providers.translation import Terms
from pointsman.wire.operations import EMBEDDINGS, RERANK, Operation
from pointsman.wire.usage import Usage

ANSWER = {
    "model": "jina-reranker-v2-base-multilingual",
    "object": "list",
    "usage": {"total_tokens": 815, "prompt_tokens": 815},
    "results": [
        {"index": 2, "relevance_score": 0.76, "document": {"text": "c"}},
        {"index": 0, "relevance_score": 0.87, "document": {"text": "a"}},
    ],
}


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


def test_images_pass_and_coheres_fields_are_lost() -> None:
    documents = ["a", {"text": "b"}, {"image": "https://example.org/c.png"}]
    body = {"model": "x", "query": "q", "documents": documents, "return_documents": False}
    terms = Terms(model="jina-reranker-m0", drops=frozenset({"max_tokens_per_doc"}))
    sent = jina.rerank.write(body | {"max_tokens_per_doc": 10, "max_chunks_per_doc": 10}, terms, "/v1")
    assert sent.path == "/v1/rerank"
    assert json.loads(sent.body) == body | {"model": "jina-reranker-m0"}
    assert terms.lost == ["max_chunks_per_doc"]
    assert jina.encode({"documents": [{"t": "x", "u": "y"}], "rank_fields": ["t"]}) == {"documents": ["t: x"]}


def test_jinas_answer_becomes_coheres() -> None:
    reply = jina.rerank.read(json.dumps(ANSWER).encode(), {"query": "q", "documents": ["a", "b", "c"]})
    shaped = json.loads(reply.body)
    assert [result["index"] for result in shaped["results"]] == [0, 2]
    assert shaped["meta"]["billed_units"] == {"total_tokens": 815}
    assert shaped["usage"]["total_tokens"] == 815
    assert shaped["id"].startswith("rerank-")
    assert reply.usage == Usage(input_tokens=815, total_tokens=815)


@pytest.mark.parametrize("answer", [b"", b"{}", b'"\xff"', b"[" * 100_000])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        jina.rerank.read(answer, {"documents": []})
