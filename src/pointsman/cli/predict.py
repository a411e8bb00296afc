"""``pointsman predict``: what a checkpoint, or the prior, expects of every model for every prompt of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from pointsman.cli import learning
from pointsman.ml.base import Scores, Table
from pointsman.ml.evaluation.measuring import scored
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card, prior
from pointsman.ml.training.columns import NoParquet, write_parquet
from pointsman.ml.training.gathering import Reading


@click.command()
@click.argument("what", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="[CHECKPOINT] TABLE")
@click.option(
    "--prior", "is_prior", is_flag=True, help="Without a checkpoint: from prices, sizes and the look of prompts."
)
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The Parquet file to write."
)
@learning.candidates_option
@learning.strategy_options
def predict(what: Sequence[Path], out: Path, candidates: Path | None, *, is_prior: bool, **options: Any) -> None:
    """Write what CHECKPOINT expects of every model for every prompt of TABLE: query_id, model, quality, cost_usd.

    TABLE is in any format that `pointsman train` reads. Its scores are not looked at. With --prior there is no
    checkpoint: what models cost is taken from the candidates file, else from the costs in the table (of the rows whose
    split is not "test", where there are any), else from the price table.
    """
    if len(what) != (1 if is_prior else 2):
        raise click.UsageError("give a TABLE with --prior, else a CHECKPOINT and a TABLE")
    cards = learning.cards_of(candidates)
    reading = learning.gathered(what[-1:], cards)
    table = reading.table
    if len(set(table.prompt_ids)) != len(table):
        raise click.ClickException("two prompts of the table have one query_id")
    learned = _prior(reading, cards) if is_prior else learning.narrowed(learning.loaded(what[0], options)[1], table)
    scores = scored(learned, table)
    try:
        write_parquet(out, _columns(table, scores))
    except (NoParquet, OSError) as error:
        raise click.ClickException(f"cannot write {out}: {error}") from error
    click.echo(f"Written to {out}: {table.quality.size:,} rows by {learned.strategy}")


def _prior(reading: Reading, declared: Sequence[Card]) -> Learned:
    known = {card.name: card for card in declared}
    costs = _mean_costs(reading)
    return prior([_card(name, known.get(name), cost) for name, cost in zip(reading.table.models, costs, strict=True)])


def _card(name: str, declared: Card | None, cost: float) -> Card:
    if declared is not None and declared.input_usd_per_million is not None:
        return declared
    if np.isnan(cost):
        return declared or learning.known_card(name) or Card(name=name)
    return Card(name=name, size_billions=None if declared is None else declared.size_billions, cost_usd=cost)


def _mean_costs(reading: Reading) -> list[float]:
    """By model; NaN where no cost is known."""
    table = reading.table if reading.is_test.all() else reading.trainable
    known = np.isfinite(table.cost_usd)
    totals = np.where(known, table.cost_usd, 0.0).sum(0, dtype=np.float64)
    return [float(total / count) if count else float("nan") for total, count in zip(totals, known.sum(0), strict=True)]


def _columns(table: Table, scores: Scores) -> dict[str, Sequence[object]]:
    models = len(table.models)
    return {
        "query_id": [name for name in table.prompt_ids for _ in range(models)],
        "model": list(table.models) * len(table),
        "quality": scores.quality.astype(np.float64).ravel().tolist(),
        "cost_usd": scores.cost_usd.astype(np.float64).ravel().tolist(),
    }
