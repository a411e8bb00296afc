from __future__ import annotations

import pytest

from pointsman.providers.dialects import openai
from pointsman.wire.operations import CHAT, OPERATIONS, RERANK


@pytest.mark.parametrize(
    ("base_path", "target"),
    [
        ("/v1", b"/v1/chat/completions"),
        ("/v1/", b"/v1/chat/completions"),
        ("", b"/chat/completions"),
        ("/", b"/chat/completions"),
        ("/v1beta/openai", b"/v1beta/openai/chat/completions"),
        ("/v1/chat/completions", b"/v1/chat/completions"),
    ],
)
def test_the_operations_path_is_appended_to_the_base(base_path: str, target: bytes) -> None:
    assert openai.target(base_path, CHAT) == target


def test_every_operation_has_a_target() -> None:
    assert len({openai.target("/v1", operation) for operation in OPERATIONS}) == len(OPERATIONS)
    assert openai.target("/v1", RERANK) == b"/v1/rerank"


def test_rerank_sends_texts_and_drops_what_only_cohere_has() -> None:
    body = {
        "model": "m",
        "query": "q",
        "documents": ["a", {"text": "b"}, {"content": [{"type": "image_url"}]}],
        "top_n": None,
        "max_chunks_per_doc": 3,
        "truncate_prompt_tokens": 5,
    }
    assert openai.encode(body) == {
        "model": "m",
        "query": "q",
        "documents": ["a", "b", {"content": [{"type": "image_url"}]}],
        "truncate_prompt_tokens": 5,
    }


def test_rank_fields_become_text() -> None:
    body = {"query": "q", "documents": [{"title": "T", "body": "B", "n": 1}], "rank_fields": ["title", "n"]}
    assert openai.encode(body) == {"query": "q", "documents": ["title: T\nn: 1"]}


def test_vllms_answer_becomes_coheres() -> None:
    answer = {
        "id": "rerank-1",
        "model": "m",
        "usage": {"total_tokens": 56},
        "results": [
            {"index": 0, "document": {"text": "a"}, "relevance_score": 0.1},
            {"index": 1, "document": {"text": "b"}, "relevance_score": 0.9},
        ],
    }
    shaped = openai.decode(answer, {"query": "q", "documents": ["a", "b"], "top_n": 1})
    assert shaped == {
        "id": "rerank-1",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
        "model": "m",
        "usage": {"total_tokens": 56},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"total_tokens": 56},
            "tokens": {"input_tokens": 56},
        },
    }


def test_a_bare_list_with_texts_is_an_answer_too() -> None:
    answer = [{"score": 0.2, "index": 0, "document": "a"}]
    shaped = openai.decode(answer, {"query": "q", "documents": ["a"]}, answer_id="r-1")
    assert shaped["id"] == "r-1"
    assert shaped["results"] == [{"index": 0, "relevance_score": 0.2, "document": {"text": "a"}}]


@pytest.mark.parametrize("base_path", ["/v1", "/v1/", "", "/v1/chat/completions"])
def test_a_path_is_the_same_for_every_model_and_for_streams(base_path: str) -> None:
    for is_stream in (False, True):
        assert openai.path(base_path, "chat", "m", is_stream=is_stream) == openai.target(base_path, CHAT).decode()


def test_other_operations_have_their_paths_below_the_same_root() -> None:
    assert openai.path("/v1", "embeddings", "m", is_stream=False) == "/v1/embeddings"
