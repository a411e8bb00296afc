from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pointsman.cli import main
from pointsman.routing.procedures.settings import settings_of

DEAR = '{"query_id":"q","model":"dear","score":1,"cost_usd":2}'
UNJUDGED = '{"query_id":"q","model":"cheap","score":1,"cost_usd":1}'
JUDGED = '{"query_id":"q","model":"cheap","score":1,"cost_usd":1,"sureness":1}'


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["cascade", *map(str, args)])


def written(path: Path, skill: float, n: int = 400, *, is_judged: bool = True) -> Path:
    chance = np.random.default_rng(0)
    rows = []
    for query in range(n):
        for model, right, cost in (("cheap", 0.5, 0.001), ("dear", 0.9, 0.02)):
            score = float(chance.random() < right)
            sure = chance.binomial(8, skill if score else 1 - skill) / 8
            row = {"query_id": f"q{query}", "query": f"What is {query}?", "model": model, "score": score}
            row |= {"cost_usd": cost, "split": "train"}
            rows.append(row | {"sureness": sure, "verifier_usd": cost} if is_judged else row)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.mark.requirement("routing.procedures.automix")
def test_what_a_verifier_has_said_becomes_the_steps_of_a_configuration(tmp_path: Path) -> None:
    data, out = written(tmp_path / "judged.jsonl", 0.8), tmp_path / "ladder.json"
    done = run(data, "--tier", "cheap", "--tier", "dear", "--out", out)

    assert done.exit_code == 0, done.output
    assert "cheap alone" in done.output
    assert "automix (t" in done.output
    ladder = settings_of("automix", {"ladder": json.loads(out.read_text())}).ladder
    assert ladder is not None
    assert ladder.after(0, 0.0) == 1
    assert ladder.after(0, 1.0) == 0


def test_a_verifier_can_be_simulated_on_any_table(tmp_path: Path) -> None:
    data = written(tmp_path / "table.jsonl", 0.5, is_judged=False)
    done = run(data, "--tier", "cheap", "--tier", "dear", "--skill", "0.9")

    assert done.exit_code == 0, done.output
    assert "lift +" in done.output


def test_where_judging_gains_nothing_it_says_so(tmp_path: Path) -> None:
    out = tmp_path / "ladder.json"
    done = run(written(tmp_path / "judged.jsonl", 0.5), "--tier", "cheap", "--tier", "dear", "-o", out)

    assert done.exit_code == 0, done.output
    assert "Judging gains nothing here: ask dear at once" in done.output
    assert json.loads(out.read_text()) == {"tiers": ["dear"], "steps": []}


@pytest.mark.parametrize("skill", [(), ("--skill", "0.9")])
def test_tiers_that_are_named_in_another_order_are_put_into_that_of_their_costs(
    tmp_path: Path, skill: tuple[str, ...]
) -> None:
    data, out = written(tmp_path / "judged.jsonl", 0.8, is_judged=not skill), tmp_path / "ladder.json"
    done = run(data, "--tier", "dear", "--tier", "cheap", "--out", out, *skill)

    assert done.exit_code == 0, done.output
    assert "the cheapest first: cheap, dear" in done.output
    assert json.loads(out.read_text())["tiers"] == ["cheap", "dear"]


@pytest.mark.parametrize(
    ("line", "args", "told"),
    [
        ("{}", ("--tier", "cheap"), "two different tiers"),
        ("nonsense", ("--tier", "cheap", "--tier", "dear"), "line 1"),
        (
            '{"query_id":"q","model":"cheap","score":1,"cost_usd":1,"sureness":2}',
            ("--tier", "cheap", "--tier", "dear"),
            "sureness is a number from 0 to 1",
        ),
        (
            '{"query_id":"q","model":"cheap","score":1,"cost_usd":1}',
            ("--tier", "cheap", "--tier", "dear"),
            "no prompt has an outcome of each",
        ),
        (
            '{"query_id":"q","model":"cheap","score":5,"cost_usd":1}',
            ("--tier", "cheap", "--tier", "dear"),
            "line 1: score is a number from 0 to 1",
        ),
        (
            '{"query_id":"q","model":"cheap","score":1,"cost_usd":-1}',
            ("--tier", "cheap", "--tier", "dear"),
            "line 1: cost_usd is US dollars from 0",
        ),
        (
            '{"query_id":"q","model":"cheap","score":1,"cost_usd":1,"verifier_usd":-0.1}',
            ("--tier", "cheap", "--tier", "dear"),
            "line 1: verifier_usd is US dollars from 0",
        ),
        ('{"query_id":"q","model":"cheap","score":1}', ("--tier", "cheap", "--tier", "dear"), "line 1: Object missing"),
        (
            f"{DEAR}\n{UNJUDGED}",
            ("--tier", "cheap", "--tier", "dear"),
            "line 2: sureness is missing",
        ),
        (
            f"{JUDGED}\n{DEAR}",
            ("--tier", "cheap", "--tier", "dear"),
            "line 1: verifier_usd is missing",
        ),
        ("{}", ("--tier", "cheap", "--tier", "cheap"), "different tiers"),
        ("\x00\x01", ("--tier", "cheap", "--tier", "dear"), "line 1"),
    ],
)
def test_what_cannot_be_learnt_from_is_told_plainly(
    tmp_path: Path, line: str, args: tuple[str, ...], told: str
) -> None:
    (tmp_path / "data.jsonl").write_text(line + "\n")
    done = run(tmp_path / "data.jsonl", *args)

    assert done.exit_code == 1
    assert told in done.output


def test_a_tier_that_the_table_does_not_know_is_named(tmp_path: Path) -> None:
    done = run(written(tmp_path / "t.jsonl", 0.5, is_judged=False), "--tier", "cheap", "--tier", "x", "--skill", "0.9")

    assert done.exit_code == 1
    assert "the data has no x" in done.output
