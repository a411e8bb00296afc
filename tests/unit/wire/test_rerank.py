from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.wire.rerank import cohere_answer, document_text, documents_of, rank_fields, without

REQUEST: dict[str, Any] = {"query": "q", "documents": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("document", "fields", "text"),
    [
        ("a", None, "a"),
        ({"text": "a", "id": 1}, None, "a"),
        ({"text": "a", "title": "T"}, ["title", "text", "absent"], "title: T\ntext: a"),
        ({"title": "T", "tags": ["x"]}, None, 'title: T\ntags: ["x"]'),
    ],
)
def test_a_document_has_one_text(document: Any, fields: list[str] | None, text: str) -> None:
    assert document_text(document, index=0, fields=fields) == text


def test_rank_fields_that_match_nothing_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="text"):
        document_text({"title": "T"}, index=3, fields=["absent"])


@pytest.mark.parametrize("documents", [None, "a", 7, {"text": "a"}])
def test_documents_must_be_a_list(documents: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        documents_of({"documents": documents})
    assert caught.value.param == "documents"


def test_rank_fields_must_be_names() -> None:
    assert rank_fields({}) is None
    assert rank_fields({"rank_fields": []}) is None
    assert rank_fields({"rank_fields": ["a"]}) == ["a"]
    for wrong in ("a", [1]):
        with pytest.raises(InvalidRequest):
            rank_fields({"rank_fields": wrong})


def test_null_fields_are_left_out() -> None:
    assert without({"a": None, "b": 1, "c": 2}, "c") == {"b": 1}


def test_results_are_sorted_and_cut() -> None:
    results = [{"index": index, "relevance_score": score} for index, score in ((0, 0.1), (1, 0.9), (2, 0.5))]
    answer = cohere_answer({"results": results}, REQUEST | {"top_n": 2})
    assert [result["index"] for result in answer["results"]] == [1, 2]


def test_equal_scores_keep_the_upstreams_order() -> None:
    results = [{"index": index, "relevance_score": 0.5} for index in (2, 0, 1)]
    assert [result["index"] for result in cohere_answer({"results": results}, REQUEST)["results"]] == [
        2,
        0,
        1,
    ]


def test_unknown_fields_are_kept() -> None:
    answer = cohere_answer(
        {"id": "i", "results": [{"index": 0, "relevance_score": 1, "x": 1}], "y": 2, "meta": {"z": 3}},
        REQUEST,
    )
    assert answer["results"] == [{"index": 0, "relevance_score": 1, "x": 1}]
    assert answer["y"] == 2
    assert answer["meta"] == {"z": 3, "api_version": {"version": "2"}}


def test_a_list_under_data_is_read() -> None:
    answer = cohere_answer(
        {"object": "list", "data": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 3}},
        REQUEST,
    )
    assert "data" not in answer
    assert "object" not in answer
    assert answer["meta"]["billed_units"] == {"total_tokens": 3}


def test_an_id_is_always_there_and_the_same_for_the_same_answer() -> None:
    body = {"results": [{"index": 0, "relevance_score": 0.5}]}
    assert cohere_answer(body, REQUEST)["id"] == cohere_answer(body, REQUEST)["id"]
    assert cohere_answer(body, REQUEST, answer_id="mine")["id"] == "mine"
    assert cohere_answer(body | {"id": "theirs"}, REQUEST, answer_id="mine")["id"] == "theirs"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"results": None},
        {"results": "x"},
        {"results": ["x"]},
        {"results": [{"index": 0}]},
        {"results": [{"relevance_score": 1}]},
        {"results": [{"index": 3, "relevance_score": 1}]},
        {"results": [{"index": -1, "relevance_score": 1}]},
        {"results": [{"index": 0, "relevance_score": "high"}]},
        "text",
        None,
    ],
)
def test_what_is_no_answer_is_a_broken_upstream(answer: Any) -> None:
    with pytest.raises(UpstreamBroken):
        cohere_answer(answer, REQUEST)


def test_the_answer_given_is_not_changed() -> None:
    body = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {}}
    cohere_answer(body, REQUEST)
    assert body == {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {}}
