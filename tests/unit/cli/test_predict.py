from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from unit.cli.outcomes import COSTS, MODELS, rows, run, write


def predicted(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    return found


@pytest.mark.requirement("routing.evaluation.predict")
def test_every_pair_of_query_and_model_is_predicted(checkpoint: Path, outcomes: Path, tmp_path: Path) -> None:
    result = run("predict", checkpoint, outcomes, "--out", tmp_path / "p.parquet")
    assert result.exit_code == 0, result.output
    found = predicted(tmp_path / "p.parquet")
    assert list(found) == ["query_id", "model", "quality", "cost_usd"]
    pairs = {(row["query_id"], row["model"]) for row in rows(90, tests=30)}
    assert set(zip(found["query_id"], found["model"], strict=True)) == pairs
    assert len(found["model"]) == len(pairs) == 360
    assert np.isfinite(found["quality"] + found["cost_usd"]).all()
    quality = np.reshape(found["quality"], (90, 4))
    is_law = np.array([row["task"] == "law" for row in rows(90)[::4]])
    assert (quality[is_law].argmax(1) == found["model"][:4].index("clerk")).all()


def test_scores_play_no_part(checkpoint: Path, tmp_path: Path) -> None:
    blank = [row | {"score": None, "split": "test"} for row in rows(6)]
    for name, found in (("a", rows(6)), ("b", blank)):
        run("predict", checkpoint, write(tmp_path / f"{name}.jsonl", found), "--out", tmp_path / f"{name}.parquet")
    assert predicted(tmp_path / "a.parquet") == predicted(tmp_path / "b.parquet")


@pytest.mark.requirement("routing.evaluation.predict")
def test_the_prior_takes_costs_and_no_scores_of_rows_that_are_not_tests(tmp_path: Path) -> None:
    known, lies = rows(6), [row | {"cost_usd": 5.0, "split": "test"} for row in rows(6, seed=1)]
    turned = [row | {"score": 1.0 - row["score"]} for row in [*known, *lies]]
    for name, pairs in (("a", [*known, *lies]), ("b", turned)):
        table = write(tmp_path / f"{name}.jsonl", pairs)
        result = run("predict", "--prior", table, "--out", tmp_path / f"{name}.parquet")
        assert result.exit_code == 0, result.output
    found = predicted(tmp_path / "a.parquet")
    assert found == predicted(tmp_path / "b.parquet")
    cost = np.reshape(found["cost_usd"], (12, 4)).mean(0)
    np.testing.assert_allclose(cost, [COSTS[MODELS.index(name)] for name in found["model"][:4]], rtol=0.5)
    assert found["model"][int(np.argmax(found["quality"][:4]))] == "able"


def test_the_prior_prefers_the_prices_of_a_candidates_file(tmp_path: Path) -> None:
    candidates = tmp_path / "c.json"
    prices = dict(zip(MODELS, (1.0, 1.0, 1.0, 50.0), strict=True))
    candidates.write_text(json.dumps({name: {"input_price": p, "output_price": p} for name, p in prices.items()}))
    table = write(tmp_path / "t.jsonl", rows(3))
    run("predict", "--prior", table, "--candidates", candidates, "--out", tmp_path / "p.parquet")
    found = predicted(tmp_path / "p.parquet")
    assert found["model"][int(np.argmax(found["quality"][:4]))] == "small"


def test_the_prior_knows_prices_of_public_models(tmp_path: Path) -> None:
    pairs = [{"query": f"p{i}", "model": m} for i in range(2) for m in ("gpt-4-1106-preview", "gpt-4o-mini", "who")]
    result = run("predict", "--prior", write(tmp_path / "t.jsonl", pairs), "--out", tmp_path / "p.parquet")
    assert result.exit_code == 0, result.output
    found = predicted(tmp_path / "p.parquet")
    cost = dict(zip(found["model"][:3], found["cost_usd"][:3], strict=True))
    assert cost["gpt-4-1106-preview"] > 20 * cost["gpt-4o-mini"]


def test_one_id_for_two_prompts_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "t.jsonl", [row | {"query_id": "same"} for row in rows(2)])
    result = run("predict", checkpoint, table, "--out", tmp_path / "p.parquet")
    assert result.exit_code == 1
    assert "two prompts of the table have one query_id" in result.output


def test_what_is_missing_is_said(checkpoint: Path, outcomes: Path, tmp_path: Path) -> None:
    assert run("predict", outcomes, "--out", tmp_path / "p.parquet").exit_code == 2
    assert run("predict", "--prior", checkpoint, outcomes, "--out", tmp_path / "p.parquet").exit_code == 2
    result = run("predict", checkpoint, outcomes, "--out", tmp_path / "absent" / "p.parquet")
    assert result.exit_code == 1
    assert "cannot write" in result.output
