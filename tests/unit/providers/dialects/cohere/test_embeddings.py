from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.cohere.embeddings import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage

PICTURE = "data:image/png;base64,iVBO"


def sent(body: dict[str, Any], terms: Terms | None = None) -> dict[str, Any]:
    request = write(body, terms or Terms(model="embed-v4.0"), "/v2")
    assert request.path == "/v2/embed"
    found: dict[str, Any] = json.loads(request.body)
    return found


def test_texts_are_documents_unless_said_otherwise() -> None:
    assert sent({"model": "x", "input": "a"}) == {
        "model": "embed-v4.0",
        "texts": ["a"],
        "embedding_types": ["float"],
        "input_type": "search_document",
    }
    body = {"input": ["a", "b"], "input_type": "search_query", "dimensions": 256, "encoding_format": "base64"}
    assert sent(body) == {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "embedding_types": ["base64"],
        "input_type": "search_query",
        "output_dimension": 256,
    }


def test_pictures_go_as_pictures() -> None:
    assert sent({"input": [PICTURE]}) == {
        "model": "embed-v4.0",
        "images": [PICTURE],
        "embedding_types": ["float"],
        "input_type": "image",
    }
    assert sent({"input": ["a", PICTURE]})["inputs"] == [
        {"content": [{"type": "text", "text": "a"}]},
        {"content": [{"type": "image_url", "image_url": {"url": PICTURE}}]},
    ]
    own = [{"content": [{"type": "text", "text": "a"}]}]
    assert sent({"inputs": own, "input_type": "classification"})["inputs"] == own


def test_what_cohere_does_not_know_is_lost_unless_dropped_or_allowed() -> None:
    terms = Terms(model="m", drops=frozenset({"dimensions", "y"}), allowed=frozenset({"x"}))
    written = sent({"input": "a", "dimensions": 1, "user": "u", "x": 1, "y": 2, "z": None}, terms)
    assert written.keys() == {"model", "texts", "embedding_types", "input_type", "x"}
    assert terms.lost == ["user"]
    assert sent({"input": "a", "dimensions": 1}, Terms(model="m", allowed=frozenset({"dimensions"})))["dimensions"] == 1


@pytest.mark.parametrize("given", [None, [], 7, [1, 2], [[1, 2]], ["a", 1]])
def test_tokens_are_refused(given: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"input": given})
    assert caught.value.param == "input"


def test_the_answer_is_openais() -> None:
    answer = {
        "id": "1",
        "embeddings": {"int8": None, "float": [[0.5, 1.0], [0.0, 2.0]]},
        "texts": ["a", "b"],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4, "image_tokens": 6, "images": 1}},
    }
    reply = read(json.dumps(answer).encode(), {"model": "public"})
    assert json.loads(reply.body) == {
        "object": "list",
        "model": "public",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.0, 2.0]},
        ],
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }
    assert reply.usage == Usage(input_tokens=10, total_tokens=10, image_input_tokens=6, images=1)


def test_vectors_in_base64_stay_as_they_are() -> None:
    reply = read(b'{"embeddings": {"base64": ["AAAAPw=="]}}', {})
    assert json.loads(reply.body)["data"] == [{"object": "embedding", "index": 0, "embedding": "AAAAPw=="}]
    assert reply.usage is None


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"embeddings": {}}', b'{"embeddings": [[1]]}', b'{"message": "x"}'])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {})
