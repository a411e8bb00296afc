from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pointsman.ml.training.gathering import BadData, Gathering, Reading
from pointsman.ml.training.records import READERS, Piece, format_of

ROUTING = {
    "task_name": "gsm8k",
    "query": "2 + 2?",
    "ground_truth": "4",
    "metric": "GSM8K",
    "model_name": "small",
    "response": "4",
    "performance": 1.0,
    "embedding_id": 0,
    "token_num": 42,
}
SCORED = {"question": "2 + 2?", "scores": {"small": 1, "large": 0.5}, "cluster_id": 3}
RECORDED = {
    "query": "2 + 2?",
    "records": {"small": 1.0, "large": 0.0},
    "usages": {"small": {"cost": 0.001}, "large": {"cost": 0.02}},
    "dataset": "gsm8k",
    "index": 7,
}
BENCHMARK = {
    "model_name": "small",
    "dataset_name": "aime",
    "split": "test",
    "performance": 0.5,
    "records": [
        {"index": 1, "origin_query": "2 + 2?", "prompt": "Solve 2 + 2?", "score": 1.0, "cost": 0.001, "raw_output": []},
        {"index": 2, "origin_query": "3 + 3?", "prompt": "", "score": None, "prompt_tokens": 5, "completion_tokens": 9},
    ],
}
CONVERSATION = {
    "judge": "ada",
    "model": "small",
    "question_id": "q1",
    "turn": 2,
    "conversation": [{"query": "Hi", "query_emb": [0.1], "rating": 5}, {"query": "More", "rating": 1}],
}
LONG = {
    "query_id": "q/1",
    "query": "2 + 2?",
    "model": "small",
    "score": 0.25,
    "task": "maths",
    "split": "train",
    "cost_usd": 0.1,
}


def read(name: str, *found: dict[str, Any], options: dict[str, str] | None = None) -> Reading:
    gathering = Gathering()
    gathering.options |= options or {}
    READERS[name]([Piece(f"line {i + 1}", json.dumps(record).encode()) for i, record in enumerate(found)], gathering)
    return gathering.reading((name,), ("a.json",))


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("llmrouter", ROUTING),
        ("llmrouter-queries", {"task_name": "arc", "query": "2 + 2?", "choices": None, "ground_truth": "A"}),
        ("routerdc", SCORED),
        ("avengers", RECORDED),
        ("llmrouterbench", BENCHMARK),
        ("gmt", CONVERSATION),
        ("long-json", LONG),
        ("long-json", {"prompt": "Hi", "model": "small"}),
        (None, {"messages": []}),
    ],
)
def test_a_record_is_told_by_its_members(name: str | None, record: dict[str, Any]) -> None:
    assert format_of(record) == name


def test_llmrouters_rows_are_a_query_and_a_model() -> None:
    table = read("llmrouter", ROUTING, ROUTING | {"model_name": "large", "performance": 0}).table
    assert table.quality.tolist() == [[0.0, 1.0]]
    assert list(table.tasks) == ["gsm8k"]
    assert table.completion_tokens is not None
    assert table.completion_tokens.tolist() == [[40.0, 40.0]]


@pytest.mark.parametrize(
    ("choices", "prompt"),
    [
        ({"text": ["four", "five"], "labels": ["A", "B"]}, "2 + 2?\nA. four\nB. five"),
        ({"A": "four", "B": "five"}, "2 + 2?\nA. four\nB. five"),
        (["four", "five"], "2 + 2?\nA. four\nB. five"),
        ("A) four", "2 + 2?\nA) four"),
        (None, "2 + 2?"),
    ],
)
def test_llmrouters_queries_bring_the_choices(choices: Any, prompt: str) -> None:
    gathering = Gathering()
    query = {"task_name": "arc", "query": "2 + 2?", "choices": choices}
    READERS["llmrouter-queries"]([Piece("line 1", json.dumps(query).encode())], gathering)
    assert read("llmrouter", ROUTING, options=gathering.options).table.prompts == [prompt]


def test_routerdcs_records_have_every_models_score() -> None:
    table = read("routerdc", SCORED).table
    assert table.models == ("large", "small")
    assert table.quality.tolist() == [[0.5, 1.0]]
    assert table.tasks == ()


def test_avengers_records_have_scores_and_costs() -> None:
    table = read("avengers", RECORDED).table
    assert table.quality.tolist() == [[0.0, 1.0]]
    np.testing.assert_allclose(table.cost_usd, [[0.02, 0.001]])
    assert (table.prompt_ids, list(table.tasks)) == (["gsm8k/7"], ["gsm8k"])


def test_llmrouterbenchs_records_are_of_one_model_and_its_split_is_none_of_a_routers() -> None:
    found = read("llmrouterbench", BENCHMARK, BENCHMARK | {"model_name": "large"})
    assert found.table.models == ("large", "small")
    assert found.table.prompts == ["2 + 2?", "3 + 3?"]
    np.testing.assert_allclose(found.table.quality, [[1.0, 1.0], [np.nan, np.nan]])
    assert found.table.prompt_ids == ["aime/1", "aime/2"]
    assert found.splits == ("", "")


def test_gmtrouters_ratings_are_by_user() -> None:
    table = read("gmt", CONVERSATION).table
    assert list(table.users) == ["ada", "ada"]
    np.testing.assert_allclose(table.quality, [[1.0], [0.2]])
    with pytest.raises(BadData, match="a rating is from 0 to 5, not 6"):
        read("gmt", CONVERSATION | {"conversation": [{"query": "Hi", "rating": 6}]})


def test_our_own_rows_bring_everything() -> None:
    found = read("long-json", LONG)
    assert (found.table.prompt_ids, list(found.table.tasks), found.splits) == (["q/1"], ["maths"], ("train",))
    assert found.table.cost_usd[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "record", "what"),
    [
        ("llmrouter", ROUTING | {"performance": "good"}, r"line 1: .*performance"),
        ("routerdc", {"question": "Hi", "scores": [1]}, r"line 1: .*scores"),
        ("avengers", {"query": "Hi", "records": {"a": 2}}, "line 1: a score is from 0 to 1"),
        ("llmrouterbench", BENCHMARK | {"records": [{"score": 0.5}]}, "line 1, record 0: the prompt is empty"),
        ("long-json", {"model": "small", "score": 1}, "line 1: the prompt is empty"),
    ],
)
def test_a_wrong_record_is_refused_with_its_place(name: str, record: dict[str, Any], what: str) -> None:
    with pytest.raises(BadData, match=what):
        read(name, record)


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadData, match=r"^line 1: "):
        READERS["llmrouter"]([Piece("line 1", text)], Gathering())
