from __future__ import annotations

import re
from pathlib import Path

import pytest
from unit.cli.outcomes import rows, run, write

from pointsman.ml import files


@pytest.mark.requirement("routing.evaluation.calibrate")
def test_knobs_are_shown_with_what_they_cost_and_give(checkpoint: Path) -> None:
    result = run("calibrate", checkpoint)
    assert result.exit_code == 0, result.output
    assert "Measured on 60 prompts; best single model able" in result.output
    shown = re.findall(r"^(auto|quality [0-9.]+) +\S+ +([0-9.]+) +([0-9.]+)  \w+ \d+ %", result.output, re.MULTILINE)
    assert [knob for knob, _, _ in shown] == [
        "auto",
        "quality 0",
        "quality 0.25",
        "quality 0.5",
        "quality 0.75",
        "quality 1",
    ]
    costs = [float(cost) for _, cost, _ in shown[1:]]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


@pytest.mark.requirement("routing.evaluation.calibrate")
def test_costs_that_nobody_knows_are_not_told(tmp_path: Path) -> None:
    costless = [{**row, "cost_usd": None} if row["model"] == "poet" else row for row in rows(90)]
    table = write(tmp_path / "t.jsonl", costless)
    assert run("train", table, "--out", tmp_path / "c", "--strategy", "llmrouter-knn", "--force").exit_code == 0
    result = run("calibrate", tmp_path / "c")
    assert "nothing is known of the costs of poet: give prices with --candidates" in result.output
    assert re.search(r"^auto +\S+ +unknown ", result.output, re.MULTILINE)
    known = run("calibrate", tmp_path / "c", write(tmp_path / "more.jsonl", rows(45, seed=7)))
    assert "unknown" not in known.output


def test_a_share_of_strong_calls_and_a_sum_of_money_are_met(checkpoint: Path) -> None:
    result = run("calibrate", checkpoint, "--target-share", 0.2, "--strong", "able", "--target-usd", 4)
    share = re.search(r"^20 % strong .*\bable (\d+) %", result.output, re.MULTILINE)
    assert share is not None
    assert 5 <= int(share[1]) <= 20
    spent = re.search(r"^\$4 per 1k +\S+ +([0-9.]+)", result.output, re.MULTILINE)
    assert spent is not None
    assert float(spent[1]) <= 4.0


@pytest.mark.requirement("routing.evaluation.calibrate")
def test_outcomes_of_ones_own_give_the_knobs_anew(checkpoint: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "t.jsonl", rows(45, seed=7))
    result = run("calibrate", checkpoint, table, "--out", tmp_path / "c")
    assert result.exit_code == 0, result.output
    assert "Measured on 45 prompts" in result.output
    old, new = files.read(checkpoint), files.read(tmp_path / "c")
    assert new.manifest.frontier != old.manifest.frontier
    assert new.parts["estimator"].settings == old.parts["estimator"].settings
    assert "Measured on 45 prompts" in run("calibrate", tmp_path / "c").output


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (rows(3), "at least 20 prompts with a score are needed"),
        ([row for row in rows(30) if row["model"] != "poet"], "the data has no outcomes of poet"),
    ],
    ids=["few", "lacks a model"],
)
def test_too_little_to_measure_on_is_said(
    checkpoint: Path, tmp_path: Path, found: list[dict[str, object]], what: str
) -> None:
    result = run("calibrate", checkpoint, write(tmp_path / "t.jsonl", found))
    assert result.exit_code == 1
    assert what in result.output


def test_what_cannot_be_done_is_said(checkpoint: Path, tmp_path: Path) -> None:
    assert "--out needs DATA" in run("calibrate", checkpoint, "--out", tmp_path / "c").output
    result = run("calibrate", checkpoint, "--target-share", 0.5, "--strong", "stranger")
    assert "no candidate is named stranger" in result.output
