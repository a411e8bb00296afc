"""``pointsman evaluate``: what a checkpoint is worth, on a table of outcomes or by the gateway's own logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.cli import learning
from pointsman.ml import decisionlog
from pointsman.ml import table as tables
from pointsman.ml.base import Features, Table
from pointsman.ml.decision import Prospect, rank
from pointsman.ml.decisionlog import Entry
from pointsman.ml.evaluation import offpolicy
from pointsman.ml.evaluation.measuring import Measured, measure
from pointsman.ml.evaluation.offpolicy import CannotEstimate
from pointsman.ml.evaluation.report import html_page, text_table
from pointsman.ml.learned import Learned
from pointsman.ml.training import logs
from pointsman.ml.training.gathering import BadData, Reading

SHOWN = 3
"""Models that are named as the worst calibrated ones."""


@click.command()
@learning.checkpoint_argument
@click.argument("data", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[DATA]...")
@click.option(
    "--logs",
    "logged",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Judge by what the gateway logged instead: a decision log, or the directory of it.",
)
@click.option(
    "--model", metavar="NAME", help="With --logs: the routed model; the one with most ratings if none is named."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a page with the plot of quality and cost.",
)
@click.option("--split", help='The split to measure on: "test" where there is one, else everything.')
@learning.candidates_option
@learning.strategy_options
def evaluate(
    checkpoint: Path,
    data: Sequence[Path],
    logged: Sequence[Path],
    model: str | None,
    html: Path | None,
    split: str | None,
    candidates: Path | None,
    **options: Any,
) -> None:
    """Measure CHECKPOINT on DATA, in any format that `pointsman train` reads, beside what needs no training.

    The rows of the split "test" are measured, where there are any; the others are what the rivals learn from. On rows
    that the checkpoint was trained on, its figures are too good.

    With --logs: estimates of what it would have earned on logged requests, with their uncertainty.
    """
    if bool(logged) == bool(data):
        raise click.UsageError("give DATA, or --logs")
    if model is not None and not logged:
        raise click.UsageError("--model needs --logs")
    learned = learning.loaded(checkpoint, options)[1]
    if logged:
        _by_logs(learned, logged, model)
        return
    reading = learning.gathered(data, learning.cards_of(candidates))
    learned = learning.narrowed(learned, reading.table)
    test, train = _parts(reading, split)
    if train is None:
        click.echo("Note: all rows are measured; of those that it was trained on, the figures are too good")
    try:
        measured = measure(learned, test, train, f"{checkpoint.name} on {', '.join(reading.sources[:3])}")
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo()
    click.echo(text_table(measured.comparison))
    click.echo(_honesty(measured))
    if html is not None:
        learning.write_text(html, html_page(measured.comparison))


def _parts(reading: Reading, split: str | None) -> tuple[Table, Table | None]:
    """What is measured, and what rivals learn from."""
    is_measured = reading.is_test if split is None else np.array([name == split for name in reading.splits])
    if not is_measured.any():
        if split is not None:
            raise click.ClickException(f"no row has the split {split!r}")
        return reading.table, None
    rest = ~is_measured & ~reading.is_test
    train = tables.rows(reading.table, rest)
    return tables.rows(reading.table, is_measured), train if np.isfinite(train.quality).any() else None


def _honesty(measured: Measured) -> str:
    errors, models = measured.calibration_errors, measured.comparison.models
    worst = sorted((i for i in range(len(models)) if np.isfinite(errors[i])), key=lambda i: -errors[i])[:SHOWN]
    named = ", ".join(f"{models[i]} {errors[i]:.3f}" for i in worst)
    spend = measured.spend_errors
    return (
        f"Calibration error of the predicted quality: {np.nanmean(errors):.3f} on average; worst: {named}\n"
        f"Predicted spend against real spend: {100 * spend[0]:+.1f} % where only quality counts, "
        f"{100 * spend.min():+.1f} % to {100 * spend.max():+.1f} % over all settings"
    )


def _by_logs(learned: Learned, paths: Sequence[Path], model: str | None) -> None:
    try:
        found, lost = logs.entries([file for path in paths for file in _log_files(path)])
        logged, kept = decisionlog.logged(found, model=model)
        if lost:
            click.echo(f"Note: {lost:,} lines of the log could not be read")
        if left_out := sum(entry.score is not None for entry in found) - len(kept):
            click.echo(
                f"Note: {left_out:,} rated requests are left out: not of the model {kept[-1].decided.model!r}, "
                "with other candidates or another embedder, or not answered by the model that was chosen"
            )
        policies = {
            f"{learned.strategy}@{learned.version[:12]}": _choices(learned.narrowed(logged.models), kept),
            "in force, not exploring": np.array([entry.in_force for entry in kept], np.intp),
            "best single model": np.array([entry.decided.baseline for entry in kept], np.intp),
        }
        click.echo(offpolicy.text(logged, offpolicy.estimate(logged, policies)))
    except (BadData, CannotEstimate, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _log_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]


def _choices(learned: Learned, entries: Sequence[Entry]) -> NDArray[np.intp]:
    """(n,) what it would have chosen for these requests, each at the price that it was decided at."""
    candidates, scores = learned.candidates, learned.score(_features(learned, entries))
    places = []
    for row, entry in enumerate(entries):
        setting = msgspec.structs.replace(learned.policy, price=entry.decided.price)
        places.append(rank(candidates, Prospect.of(scores, row, candidates), setting).order[0])
    return np.array(places, np.intp)


def _features(learned: Learned, entries: Sequence[Entry]) -> Features:
    """Of the prompts where they were kept; else those that were logged, if they are of the same embedder."""
    if all(entry.decided.prompt for entry in entries):
        return learned.features([entry.decided.prompt or "" for entry in entries])
    if any(entry.decided.embedder != learned.featurizer.embedder.id for entry in entries):
        raise click.ClickException(
            "the log keeps no prompts, and its features are of another embedder than the checkpoint's: "
            "switch on log_prompts, or train with the data that the checkpoint in force was trained on"
        )
    logged = [entry.features for entry in entries]
    return Features(np.vstack([f.embedding for f in logged]), np.vstack([f.surface for f in logged]))
