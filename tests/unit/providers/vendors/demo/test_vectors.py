from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.vectors import embeddings, moderations, rerank, unit_vector


def call(endpoint: Any, body: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(endpoint(json.dumps(body).encode(), 0.0).pieces[0][1])
    return value


def embed(given: Any, **more: Any) -> list[Any]:
    body = call(embeddings, {"model": "embed", "input": given} | more)
    assert [entry["index"] for entry in body["data"]] == list(range(len(body["data"])))
    return [entry["embedding"] for entry in body["data"]]


@pytest.mark.parametrize(("given", "count"), [("a b", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)])
def test_every_form_of_input_gives_unit_vectors(given: Any, count: int) -> None:
    vectors = embed(given)
    assert len(vectors) == count
    for vector in vectors:
        assert len(vector) == 256
        assert math.isclose(math.hypot(*vector), 1.0)


def test_base64_holds_the_same_numbers() -> None:
    [plain] = embed("hello world", dimensions=8)
    [packed] = embed("hello world", dimensions=8, encoding_format="base64")
    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(plain)


def test_texts_that_share_words_are_nearer() -> None:
    cat, cats, money = embed(["the black cat sat", "a black cat sat down", "interest rates rise"])

    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert near(cat, cats) > near(cat, money) + 0.3


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4096])
@pytest.mark.parametrize("text", ["a", "b", "...", "one two three"])
def test_a_vector_is_never_zero(text: str, dimensions: int) -> None:
    assert math.isclose(math.hypot(*unit_vector(text, dimensions)), 1.0)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": [True]}, "input"),
        ({"input": ["a", []]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": ["a"] * 2048, "dimensions": 4096}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_wrong_embedding_fields_are_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(embeddings, {"model": "embed"} | body)
    assert caught.value.param == param


def test_rerank_sorts_by_shared_words() -> None:
    body = call(
        rerank,
        {
            "model": "rerank",
            "query": "capital of France",
            "documents": ["bananas", {"text": "Paris is the capital of France"}, "the capital"],
            "top_n": 2,
            "return_documents": True,
        },
    )
    assert [(result["index"], result["relevance_score"]) for result in body["results"]] == [(1, 1.0), (2, 0.333333)]
    assert body["results"][0]["document"] == {"text": "Paris is the capital of France"}
    assert body["meta"]["billed_units"] == {"search_units": 1}


def test_a_hundred_documents_are_one_search() -> None:
    body = call(rerank, {"model": "rerank", "query": "a", "documents": ["a"] * 101})
    assert body["meta"]["billed_units"] == {"search_units": 2}
    assert "document" not in body["results"][0]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": "", "documents": ["a"]}, "query"),
        ({"query": "a", "documents": []}, "documents"),
        ({"query": "a"}, "documents"),
        ({"query": "a", "documents": [7]}, "documents[0]"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, "top_n"),
    ],
)
def test_wrong_rerank_fields_are_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(rerank, {"model": "rerank"} | body)
    assert caught.value.param == param


def test_only_the_flag_word_is_flagged_and_no_model_is_needed() -> None:
    results = call(moderations, {"input": ["hello", "a demo-flag here"]})["results"]
    assert [result["flagged"] for result in results] == [False, True]
    assert results[1]["categories"]["violence"] is True
    assert set(results[0]["categories"]) == set(results[0]["category_scores"])


@pytest.mark.parametrize("given", ["demo-flag", [{"type": "text", "text": "demo-flag"}, {"type": "image_url"}]])
def test_moderation_takes_a_text_or_parts(given: Any) -> None:
    [result] = call(moderations, {"model": "moderation", "input": given})["results"]
    assert result["flagged"]


@pytest.mark.parametrize("given", [None, 7, [], [7], ["a", {}]])
def test_another_moderation_input_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(moderations, {"input": given})
    assert caught.value.param == "input"
