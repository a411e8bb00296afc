from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from unit.cli.outcomes import run

from pointsman.ml.decisionlog import AnyEvent, Decided, Rated, Settled, Signalled, line


def decided(number: int, prompt: str | None) -> Decided:
    return Decided(
        id=f"r{number}",
        time=100.0 + number,
        model="auto",
        strategy="knn",
        version="abc",
        candidates=["large", "small"],
        quality=[0.8, 0.6],
        cost_usd=[0.01, 0.001],
        chosen=1,
        first=1,
        baseline=0,
        propensity=0.98,
        reason="gain",
        price=10.0,
        prompt=prompt,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "decisions"
    folder.mkdir()
    first: list[AnyEvent] = [decided(1, "What is a lease?"), decided(2, None)]
    later: list[AnyEvent] = [
        Settled(id="r1", time=101.5, status=200, served="small", cost_usd=0.002, prompt_tokens=9, completion_tokens=4),
        Rated(id="r1", time=102.0, score=0.75),
        Signalled(id="r1", time=103.0, signal="regenerated"),
    ]
    (folder / "decisions-000001.jsonl").write_bytes(b"".join(map(line, first)))
    (folder / "decisions-000002.jsonl").write_bytes(b"".join(map(line, later)) + b"{broken\n")
    return folder


@pytest.mark.requirement("routing.evaluation.export-logs")
def test_a_log_becomes_rows_that_can_be_trained_on(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = run("export-logs", log, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Left out: 1 requests whose prompts were not kept" in result.output
    assert "1 lines of the log could not be read" in result.output
    assert "1 decisions, 1 answers, 1 ratings, 0 explored" in result.output
    [row] = [json.loads(text) for text in out.read_text().splitlines()]
    assert (row["query_id"], row["query"], row["dataset"], row["model"]) == ("r1", "What is a lease?", "auto", "small")
    assert (row["score"], row["cost_usd"], row["prompt_tokens"], row["completion_tokens"]) == (0.75, 0.002, 9, 4)
    assert (row["chosen"], row["baseline"], row["propensity"], row["signals"]) == (
        "small",
        "large",
        0.98,
        "regenerated",
    )
    trained = run("train", out, "--out", tmp_path / "c", "--strategy", "elo")
    assert trained.exit_code == 0, trained.output


def test_a_log_becomes_parquet_with_all_requests_where_that_is_wanted(log: Path, tmp_path: Path) -> None:
    result = run(
        "export-logs",
        log / "decisions-000001.jsonl",
        log / "decisions-000002.jsonl",
        "--all",
        "-o",
        tmp_path / "o.parquet",
    )
    assert result.exit_code == 0, result.output
    found = pq.read_table(tmp_path / "o.parquet").to_pydict()
    assert found["query"] == ["What is a lease?", None]
    assert found["score"] == [0.75, None]


def test_without_a_name_it_is_the_log_of_the_data_directory(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_DATA_DIR", str(log.parent))
    assert run("export-logs", "--out", tmp_path / "o.jsonl").exit_code == 0


def test_where_there_is_no_log_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_DATA_DIR", str(tmp_path))
    result = run("export-logs", "--out", tmp_path / "o.jsonl")
    assert result.exit_code == 1
    assert f"there is no decision log in {tmp_path / 'decisions'}" in result.output


def test_what_cannot_be_written_is_said(log: Path, tmp_path: Path) -> None:
    result = run("export-logs", log, "--out", tmp_path / "absent" / "o.jsonl")
    assert result.exit_code == 1
    assert "cannot write" in result.output
    (log / "decisions-000001.jsonl").write_bytes(line(decided(2, None)))
    assert "there is nothing to export" in run("export-logs", log, "--out", tmp_path / "o.jsonl").output
