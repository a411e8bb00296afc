from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from unit.cli.outcomes import MODELS, WORDS, rows, run, write

from pointsman.ml.decisionlog import AnyEvent, Decided, Rated, Settled, line

BEST = {"law": "clerk", "poems": "poet", "sums": "able"}


@pytest.mark.requirement("routing.evaluation.table")
def test_a_checkpoint_is_measured_on_the_rows_of_the_split_test(
    checkpoint: Path, outcomes: Path, tmp_path: Path
) -> None:
    result = run("evaluate", checkpoint, outcomes, "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "30 prompts, 4 models. Best single model: able" in result.output
    rivals = ["best single model", "zero router", "kNN-5 as in LLMRouter", "task means (told the task)", "oracle"]
    assert all(f"\n{name} " in result.output for name in ("knn", *rivals))
    assert re.search(r"Calibration error of the predicted quality: 0\.\d{3} on average; worst: \w+ 0\.", result.output)
    assert re.search(r"Predicted spend against real spend: [+-]\d", result.output)
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<svg" in page


def test_another_split_can_be_measured(checkpoint: Path, outcomes: Path) -> None:
    result = run("evaluate", checkpoint, outcomes, "--split", "train")
    assert "60 prompts, 4 models" in result.output
    assert "Note: all rows are measured" in result.output
    assert "no row has the split 'dev'" in run("evaluate", checkpoint, outcomes, "--split", "dev").output


def test_without_test_rows_everything_is_measured_and_said_to_be(checkpoint: Path, tmp_path: Path) -> None:
    result = run("evaluate", checkpoint, write(tmp_path / "t.jsonl", rows(12, seed=5)))
    assert result.exit_code == 0, result.output
    assert "Note: all rows are measured" in result.output
    assert "12 prompts, 4 models" in result.output
    assert "zero router" in result.output


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": "stranger"}, "the checkpoint knows nothing of stranger"),
        ({"score": None}, "no prompt has the score and the cost of every model"),
    ],
)
def test_a_table_that_cannot_be_measured_is_said(
    checkpoint: Path, tmp_path: Path, change: dict[str, object], what: str
) -> None:
    result = run("evaluate", checkpoint, write(tmp_path / "t.jsonl", [row | change for row in rows(3)]))
    assert result.exit_code == 1
    assert what in result.output


def test_data_or_logs_are_needed(checkpoint: Path, outcomes: Path) -> None:
    assert run("evaluate", checkpoint).exit_code == 2
    assert run("evaluate", checkpoint, outcomes, "--logs", outcomes).exit_code == 2


def logged(count: int, *, has_prompts: bool = True) -> list[AnyEvent]:
    """Requests that were spread over all models, and rated."""
    chance = np.random.default_rng(0)
    events: list[AnyEvent] = []
    for number in range(count):
        task = sorted(WORDS)[number % 3]
        chosen = int(chance.integers(4))
        events.append(
            Decided(
                id=str(number),
                time=float(number),
                model="auto",
                strategy="prior",
                version="prior",
                candidates=list(MODELS),
                quality=[0.7, 0.4, 0.4, 0.4],
                cost_usd=[0.01, 0.004, 0.003, 0.001],
                chosen=chosen,
                first=0,
                baseline=0,
                propensity=0.25,
                reason="gain",
                price=0.0,
                embedder="other",
                prompt=f"{WORDS[task]} {number}" if has_prompts else None,
            )
        )
        events.append(Settled(id=str(number), time=float(number), status=200, served=MODELS[chosen], cost_usd=0.002))
        is_good = MODELS[chosen] == BEST[task] or (MODELS[chosen] == "able" and chance.random() < 0.5)
        events.append(Rated(id=str(number), time=float(number), score=float(is_good)))
    return events


@pytest.mark.requirement("routing.evaluation.logs")
def test_logs_say_what_a_checkpoint_would_have_earned(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "decisions-000001.jsonl").write_bytes(b"".join(map(line, logged(1200))) + b"broken\n")
    result = run("evaluate", checkpoint, "--logs", tmp_path)
    assert result.exit_code == 0, result.output
    assert "1 lines of the log could not be read" in result.output
    assert "1200 rated requests" in result.output
    verdicts = result.output.splitlines()[-3:]
    assert re.match(r"knn@[0-9a-f]{12}: better by \+0\.[3-9]", verdicts[0])


@pytest.mark.requirement("routing.evaluation.logs")
def test_too_few_logs_rank_nothing(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"".join(map(line, logged(60))))
    result = run("evaluate", checkpoint, "--logs", tmp_path / "log.jsonl")
    assert result.exit_code == 0, result.output
    assert "not enough to tell" in result.output
    assert "better by" not in result.output


def test_logs_without_prompts_need_features_of_the_same_embedder(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"".join(map(line, logged(60, has_prompts=False))))
    result = run("evaluate", checkpoint, "--logs", tmp_path / "log.jsonl")
    assert result.exit_code == 1
    assert "of another embedder than the checkpoint's" in result.output


@pytest.mark.requirement("routing.evaluation.logs")
def test_the_model_with_most_ratings_is_judged_and_what_is_left_out_is_said(checkpoint: Path, tmp_path: Path) -> None:
    side = [
        msgspec.structs.replace(
            event, id=f"side {event.id}", **({"model": "side"} if isinstance(event, Decided) else {})
        )
        for event in logged(12)
    ]
    (tmp_path / "log.jsonl").write_bytes(b"".join(map(line, [*logged(300), *side])))
    result = run("evaluate", checkpoint, "--logs", tmp_path / "log.jsonl")
    assert "300 rated requests" in result.output
    assert "12 rated requests are left out: not of the model 'auto'" in result.output
    assert (
        "12 rated requests, mean"
        in run("evaluate", checkpoint, "--logs", tmp_path / "log.jsonl", "--model", "side").output
    )
    assert run("evaluate", checkpoint, tmp_path / "log.jsonl", "--model", "side").exit_code == 2


@pytest.mark.requirement("routing.evaluation.logs")
def test_what_is_in_force_is_judged_without_the_checkpoint_on_trial(checkpoint: Path, tmp_path: Path) -> None:
    events: list[AnyEvent] = []
    for event in logged(1200):
        # The one in force takes the first model, the one on trial the last.
        is_trial = int(event.id) % 2 == 0
        place, other = (3, 0) if is_trial else (0, 3)
        changed: dict[str, Any] = {"score": 0.2 if is_trial else 0.9}
        if isinstance(event, Decided):
            changed = {
                "chosen": place,
                "first": place,
                "shadow": MODELS[other],
                "is_trial": is_trial,
                "propensity": 0.5,
            }
        elif isinstance(event, Settled):
            changed = {"served": MODELS[place]}
        events.append(msgspec.structs.replace(event, **changed))
    (tmp_path / "log.jsonl").write_bytes(b"".join(map(line, events)))
    result = run("evaluate", checkpoint, "--logs", tmp_path / "log.jsonl")
    told = re.search(r"^in force, not exploring +([0-9.]+) ", result.output, re.MULTILINE)
    assert told is not None, result.output
    assert float(told[1]) == pytest.approx(0.9, abs=0.01)


def test_logs_without_ratings_are_said(checkpoint: Path, tmp_path: Path) -> None:
    events = [event for event in logged(5) if not isinstance(event, Rated)]
    (tmp_path / "log.jsonl").write_bytes(b"".join(map(line, events)))
    result = run("evaluate", checkpoint, "--logs", tmp_path / "log.jsonl")
    assert result.exit_code == 1
    assert "no request of the log was rated" in result.output
