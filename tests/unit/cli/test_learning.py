from __future__ import annotations

from pathlib import Path

import click
import pytest
from unit.cli.outcomes import rows, write

from pointsman.cli import learning
from pointsman.ml.prior import Card, prior

OPTIONS = {"embedder": None, "gateway": "", "key": None, "estimator": None}


def test_prices_are_those_of_the_candidates_else_of_the_price_table() -> None:
    price = learning.prices_of([Card(name="gpt-4o-mini", input_usd_per_million=9.0), Card(name="bare")])
    assert price("gpt-4o-mini") == (9.0, 9.0)
    assert price("gpt-4-1106-preview") == (10.0, 30.0)
    assert price("openai/gpt-4-1106-preview") == (10.0, 30.0)
    assert price("bare") is None
    assert price("nobody/knows") is None


def test_a_model_of_the_price_table_has_prices_for_a_million_tokens() -> None:
    assert learning.known_card("gpt-4o-mini") == Card(
        name="gpt-4o-mini", input_usd_per_million=0.15, output_usd_per_million=0.6
    )
    assert learning.known_card("no such model") is None


def test_what_was_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [write(tmp_path / f"{name}.jsonl", rows(2, seed=seed)) for seed, name in enumerate("abcd")]
    learning.gathered(paths)
    assert capsys.readouterr().out == (
        "8 prompts, 4 models, 32 scores (long of a.jsonl, b.jsonl, c.jsonl and 1 more files)\n"
    )


def test_candidates_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(click.ClickException, match=r"c\.json: is no list of candidates"):
        learning.cards_of(tmp_path / "c.json")
    with pytest.raises(click.ClickException, match="cannot read"):
        learning.cards_of(tmp_path / "absent.json")
    assert learning.cards_of(None) == ()


def test_a_checkpoint_that_cannot_be_used_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=rf"{tmp_path}.*manifest\.json cannot be read"):
        learning.loaded(tmp_path, OPTIONS)


def test_a_checkpoint_is_put_together(checkpoint: Path) -> None:
    kept, learned = learning.loaded(checkpoint, OPTIONS)
    assert (kept.manifest.strategy, learned.strategy) == ("knn", "knn")


def test_a_strategy_is_narrowed_to_the_models_of_a_table(tmp_path: Path) -> None:
    table = learning.gathered([write(tmp_path / "a.jsonl", rows(2))]).table
    known = prior([Card(name=name, cost_usd=0.01) for name in ("more", *reversed(table.models))])
    assert learning.narrowed(known, table).candidates.names == table.models
    with pytest.raises(click.ClickException, match="knows nothing of clerk, poet, small; it was made for able"):
        learning.narrowed(prior([Card(name="able")]), table)


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="cannot write"):
        learning.write_text(tmp_path / "absent" / "page.html", "")


def test_progress_never_goes_back() -> None:
    with learning.progress("Training") as told:
        for share in (0.5, 0.2, 1.0, 1.0):
            told("folds", share)
