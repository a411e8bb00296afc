from __future__ import annotations

import json

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini import embeddings
from pointsman.providers.translation import Terms

BODY = {"model": "public", "input": ["What is AI?", "Why?"], "dimensions": 2, "task_type": "RETRIEVAL_QUERY"}


def test_texts_are_sent_as_a_batch() -> None:
    request = embeddings.write(BODY, Terms(model="gemini-embedding-001"), "")
    assert request.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert json.loads(request.body) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "outputDimensionality": 2,
                "taskType": "RETRIEVAL_QUERY",
            }
            for text in ("What is AI?", "Why?")
        ]
    }


@pytest.mark.requirement("gemini.embeddings")
def test_vectors_come_back_in_order_by_the_public_name() -> None:
    answer = b'{"embeddings":[{"values":[0.1,0.2]},{"values":[0.3,0.4]}],"usageMetadata":{"promptTokenCount":6}}'
    assert json.loads(embeddings.read(answer, BODY).body) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]},
            {"object": "embedding", "index": 1, "embedding": [0.3, 0.4]},
        ],
        "model": "public",
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    }


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"embeddings":[{"values":["a"]}]}', b'{"embeddings":[{}]}'])
def test_what_is_no_answer_is_the_providers_fault(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        embeddings.read(answer, BODY)
