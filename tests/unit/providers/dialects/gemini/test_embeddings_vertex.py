from __future__ import annotations

import json

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini import embeddings_vertex
from pointsman.providers.translation import Terms

BASE = "/v1/projects/p/locations/us-central1/publishers/google"
BODY = {
    "model": "public",
    "input": "What is AI?",
    "dimensions": 2,
    "task_type": "RETRIEVAL_QUERY",
    "auto_truncate": False,
}


def test_texts_are_sent_as_instances() -> None:
    request = embeddings_vertex.write(BODY, Terms(model="text-embedding-005"), BASE)
    assert request.path == f"{BASE}/models/text-embedding-005:predict"
    assert json.loads(request.body) == {
        "instances": [{"content": "What is AI?", "task_type": "RETRIEVAL_QUERY"}],
        "parameters": {"outputDimensionality": 2, "autoTruncate": False},
    }


def test_without_parameters_there_are_none() -> None:
    request = embeddings_vertex.write({"input": ["a", "b"]}, Terms(model="m"), BASE)
    assert json.loads(request.body) == {"instances": [{"content": "a"}, {"content": "b"}]}


@pytest.mark.requirement("gemini.embeddings")
def test_vectors_and_counts_are_read() -> None:
    predictions = [
        {"embeddings": {"values": [0.5, 1.0], "statistics": {"truncated": False, "token_count": count}}}
        for count in (4, 5)
    ]
    body = json.loads(embeddings_vertex.read(json.dumps({"predictions": predictions}).encode(), BODY).body)
    assert [entry["embedding"] for entry in body["data"]] == [[0.5, 1.0], [0.5, 1.0]]
    assert body["usage"]["prompt_tokens"] == 9


def test_where_one_count_is_missing_all_are_estimated() -> None:
    answer = b'{"predictions":[{"embeddings":{"values":[0.5]}}]}'
    body = json.loads(embeddings_vertex.read(answer, BODY).body)
    assert body["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"predictions":[{}]}'])
def test_what_is_no_answer_is_the_providers_fault(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        embeddings_vertex.read(answer, BODY)
