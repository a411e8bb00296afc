from __future__ import annotations

import json

import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.voyage.rerank import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage


def test_a_request_is_written() -> None:
    body = {"model": "x", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}
    terms = Terms(model="rerank-2.5", drops=frozenset({"max_chunks_per_doc"}))
    sent = write(body | {"max_tokens_per_doc": 7, "max_chunks_per_doc": 1}, terms, "/v1/rerank")
    assert sent.path == "/v1/rerank"
    assert json.loads(sent.body) == {
        "model": "rerank-2.5",
        "query": "q",
        "documents": ["a", "b"],
        "top_k": 1,
        "return_documents": True,
    }
    assert terms.lost == ["max_tokens_per_doc"]


def test_a_picture_is_the_callers_fault() -> None:
    with pytest.raises(InvalidRequest) as caught:
        write({"documents": [{}]}, Terms(model="m"), "")
    assert caught.value.param == "documents[0]"


def test_the_answer_is_coheres() -> None:
    answer = {
        "object": "list",
        "data": [
            {"relevance_score": 0.4375, "index": 0, "document": "a"},
            {"relevance_score": 0.8, "index": 1, "document": "b"},
        ],
        "model": "rerank-2.5",
        "usage": {"total_tokens": 26},
    }
    reply = read(json.dumps(answer).encode(), {"query": "q", "documents": ["a", "b"]})
    shaped = json.loads(reply.body)
    assert shaped["results"] == [
        {"index": 1, "relevance_score": 0.8, "document": {"text": "b"}},
        {"index": 0, "relevance_score": 0.4375, "document": {"text": "a"}},
    ]
    assert shaped["meta"]["billed_units"] == {"total_tokens": 26}
    assert reply.usage == Usage(input_tokens=26, total_tokens=26)


@pytest.mark.parametrize("answer", [b"", b"{}", b'"\xff"', b"[" * 100_000])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {"documents": []})
