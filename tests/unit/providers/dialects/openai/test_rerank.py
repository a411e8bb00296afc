from __future__ import annotations

import json

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.openai.rerank import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage


@pytest.mark.parametrize(("base", "path"), [("/v1", "/v1/rerank"), ("", "/rerank"), ("/v2/rerank/", "/v2/rerank")])
def test_an_address_may_point_at_the_operation(base: str, path: str) -> None:
    assert write({"documents": ["a"]}, Terms(model="m"), base).path == path


def test_texts_go_as_texts_and_pictures_as_they_are() -> None:
    picture = {"content": [{"type": "image_url", "image_url": {"url": "u"}}]}
    body = {"model": "x", "query": "q", "documents": ["a", {"text": "b"}, picture], "top_n": 1, "user": None}
    terms = Terms(model="bge", drops=frozenset({"top_n"}))
    sent = json.loads(write(body | {"max_chunks_per_doc": 2}, terms, "/v1").body)
    assert sent == {"model": "bge", "query": "q", "documents": ["a", "b", picture]}
    assert terms.lost == ["max_chunks_per_doc"]
    by_fields = {"documents": [{"t": "x", "u": "y"}], "rank_fields": ["u"]}
    assert json.loads(write(by_fields, Terms(model="m"), "").body)["documents"] == ["u: y"]


def test_the_answer_is_coheres() -> None:
    answer = {"results": [{"index": 0, "score": 0.5, "document": "a"}], "usage": {"total_tokens": 4}}
    reply = read(json.dumps(answer).encode(), {"documents": ["a"]})
    assert json.loads(reply.body)["results"] == [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}]
    assert reply.usage == Usage(input_tokens=4, total_tokens=4)


@pytest.mark.parametrize("answer", [b"", b"{}", b'"\xff"', b"[" * 100_000])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {"documents": []})
