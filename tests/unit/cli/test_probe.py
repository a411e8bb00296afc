from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from unit.cli.outcomes import rows, run, write

from pointsman.cli import probe as module
from pointsman.cli.asking import NoAnswer, Reply
from pointsman.ml import files
from pointsman.ml.learned import Learned


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(checkpoint, tmp_path / "own"))


def outcomes(path: Path, score: float, *, model: str = "newcomer") -> Path:
    found = [row | {"model": model, "score": score, "cost_usd": 0.002} for row in rows(40)[::4]]
    return write(path, found)


@pytest.mark.requirement("routing.learned.probe")
def test_a_model_joins_by_its_outcomes(own: Path, tmp_path: Path) -> None:
    result = run("probe", "newcomer", "-c", own, "--outcomes", outcomes(tmp_path / "o.jsonl", 1.0))
    assert result.exit_code == 0, result.output
    assert "newcomer joined after 40 probes; taken to be 0." in result.output
    learned = Learned.from_checkpoint(files.read(own))
    assert learned.candidates.names == ("able", "clerk", "poet", "small", "newcomer")
    scores = learned.score(learned.features([row["query"] for row in rows(12)[::4]]))
    assert scores.quality[:, 4].mean() > 0.6
    assert scores.cost_usd[:, 4].mean() == pytest.approx(0.002, rel=0.3)


@pytest.mark.requirement("routing.learned.probe")
def test_a_bad_model_changes_no_choice(own: Path, tmp_path: Path) -> None:
    before = Learned.from_checkpoint(files.read(own))
    features = before.features([row["query"] for row in rows(30)[::4]])
    run("probe", "newcomer", "-c", own, "--outcomes", outcomes(tmp_path / "o.jsonl", 0.0), "-o", tmp_path / "out")
    after = Learned.from_checkpoint(files.read(tmp_path / "out"))
    assert (after.score(features).quality.argmax(1) == before.score(features).quality.argmax(1)).all()
    assert len(Learned.from_checkpoint(files.read(own)).candidates.names) == 4


def test_two_models_join_one_after_the_other(own: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        result = run("probe", name, "-c", own, "--outcomes", outcomes(tmp_path / "o.jsonl", 0.5, model=name))
        assert result.exit_code == 0, result.output
    assert Learned.from_checkpoint(files.read(own)).candidates.names[4:] == ("one", "two")
    again = run("probe", "one", "-c", own, "--outcomes", outcomes(tmp_path / "o.jsonl", 0.5, model="one"))
    assert again.exit_code == 1
    assert "one is one of the candidates already" in again.output


def test_probes_are_listed_to_be_completed(own: Path) -> None:
    result = run("probe", "newcomer", "-c", own, "--list", "-n", 3)
    listed = [json.loads(text) for text in result.output.splitlines()]
    assert [row["model"] for row in listed] == ["newcomer"] * 3
    assert len({row["query"].split()[-1] for row in listed}) == 3


class Gateway:
    """Answers, and marks answers."""

    def __init__(self, marks: Sequence[str]) -> None:
        self.marks = marks
        self.asked: list[tuple[str, list[str]]] = []

    def ask(self, _address: str, _key: str | None, model: str, questions: Sequence[str], done: Any) -> list[Any]:
        self.asked.append((model, list(questions)))
        for _ in questions:
            done()
        if model == "judge":
            return [Reply(self.marks[i % len(self.marks)]) for i in range(len(questions))]
        return [NoAnswer("status 500"), *(Reply("An answer.", 10, 20) for _ in questions[1:])]


@pytest.mark.requirement("routing.learned.probe")
def test_a_model_is_asked_and_judged(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(["9", "10", "I say 8.", "no idea"])
    monkeypatch.setattr(module, "ask", gateway.ask)
    result = run("probe", "newcomer", "-c", own, "-n", 9, "--judge", "judge")
    assert result.exit_code == 0, result.output
    assert "newcomer did not answer 1 of 9: status 500" in result.output
    assert "newcomer joined after 6 probes" in result.output
    assert [(model, len(questions)) for model, questions in gateway.asked] == [("newcomer", 9), ("judge", 8)]
    assert "An answer." in gateway.asked[1][1][0]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "name a --judge that marks the answers, or give --outcomes"),
        (["--judge", "judge"], "no probe was answered and marked"),
    ],
)
def test_without_marks_nobody_joins(
    own: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], what: str
) -> None:
    monkeypatch.setattr(module, "ask", Gateway(["well"]).ask)
    result = run("probe", "newcomer", "-c", own, "-n", 3, *arguments)
    assert result.exit_code == 1
    assert what in result.output


def test_outcomes_of_somebody_else_are_refused(own: Path, tmp_path: Path) -> None:
    result = run("probe", "newcomer", "-c", own, "--outcomes", outcomes(tmp_path / "o.jsonl", 0.5, model="other"))
    assert result.exit_code == 1
    assert "the outcomes are of other, not of newcomer" in result.output


def test_a_checkpoint_without_prompts_needs_outcomes(tmp_path: Path) -> None:
    table = write(tmp_path / "t.jsonl", rows(24))
    run("train", table, "-o", tmp_path / "c", "--strategy", "elo", "--probes", 0)
    result = run("probe", "newcomer", "-c", tmp_path / "c", "--list")
    assert result.exit_code == 1
    assert "the checkpoint keeps no prompts" in result.output
    assert (
        run("probe", "newcomer", "-c", tmp_path / "c", "--outcomes", outcomes(tmp_path / "o.jsonl", 1)).exit_code == 0
    )


def test_a_strategy_that_predicts_nothing_cannot_be_joined(tmp_path: Path) -> None:
    table = write(tmp_path / "t.jsonl", rows(24))
    run("train", table, "-o", tmp_path / "c", "--strategy", "smallest")
    result = run("probe", "newcomer", "-c", tmp_path / "c", "--outcomes", outcomes(tmp_path / "o.jsonl", 1))
    assert result.exit_code == 1
    assert "smallest predicts no quality" in result.output
