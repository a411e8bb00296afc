from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.converse.rerank import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage

COHERE, AMAZON = "cohere.rerank-v3-5:0", "amazon.rerank-v1:0"
BODY: dict[str, Any] = {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}
ANSWER = b'{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}'


def written(terms: Terms, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(write(BODY | more, terms, "").body)
    return found


def test_documents_are_given_as_texts() -> None:
    assert written(Terms(model=AMAZON)) == {"query": "q", "documents": ["a", "b"], "top_n": 1}
    assert write(BODY, Terms(model=AMAZON), "").path == "/model/amazon.rerank-v1%3A0/invoke"


def test_coheres_model_is_told_the_version_and_takes_its_own_parameters() -> None:
    native = written(Terms(model=COHERE), max_tokens_per_doc=100)
    assert (native["api_version"], native["max_tokens_per_doc"]) == (2, 100)


def test_other_parameters_are_lost_dropped_or_sent() -> None:
    terms = Terms(model=AMAZON, drops=frozenset({"x"}), allowed=frozenset({"y"}))
    native = written(terms, max_tokens_per_doc=100, x=1, y=2, z=None, return_documents=True)
    assert native == {"query": "q", "documents": ["a", "b"], "top_n": 1, "y": 2}
    assert terms.lost == ["max_tokens_per_doc"]


def test_a_query_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequest) as failure:
        written(Terms(model=COHERE), query=["q"])
    assert failure.value.param == "query"


def test_an_answer_is_read_as_coheres() -> None:
    reply = read(ANSWER, BODY | {"return_documents": True})
    body = msgspec.json.decode(reply.body)
    assert body["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    assert body["meta"]["billed_units"] == {"search_units": 1}
    assert reply.usage == Usage(search_units=1)


def test_a_hundred_documents_are_billed_together() -> None:
    request = BODY | {"documents": ["a"] * 101}
    assert read(ANSWER, request).usage == Usage(search_units=2)


@pytest.mark.parametrize(
    "answer", [b'{"\xff":1}', b"", b"{}", b'{"message":"x"}', b'{"results":[{"index":7,"relevance_score":1}]}']
)
def test_what_is_no_answer_is_a_broken_upstream(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, BODY)
