"""``pointsman train``: a checkpoint out of outcomes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from pointsman.cli import learning
from pointsman.cli.embedding import embedder_for
from pointsman.ml import files
from pointsman.ml.base import Table
from pointsman.ml.checkpoint import BadCheckpoint
from pointsman.ml.evaluation.report import html_page, text_table
from pointsman.ml.probing import MAX_PROBES, probes_of
from pointsman.ml.registry import CUSTOM, ESTIMATORS, PROCEDURES, strategy_of
from pointsman.ml.signing import CannotSign
from pointsman.ml.training import fit
from pointsman.ml.training.fit import Trained
from pointsman.ml.training.formats import DECISIONS
from pointsman.ml.training.gathering import Reading

PROBES = 100


@click.command()
@learning.data_argument
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path, file_okay=False), help="The directory to write."
)
@click.option(
    "--strategy", default="auto", show_default=True, metavar="NAME", help=f"One of {', '.join(sorted(ESTIMATORS))}."
)
@learning.candidates_option
@learning.strategy_options
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the strategy, such as k=50.")
@click.option("--seed", default=0, show_default=True, help="The same seed and data give the same checkpoint.")
@click.option("--include-test", is_flag=True, help='Also train on rows whose split is "test".')
@click.option(
    "--probes",
    type=click.IntRange(0, MAX_PROBES),
    metavar="N",
    help="Prompts to keep as text in the checkpoint, for `pointsman probe`: "
    f"{PROBES}, or 0 where the data is a decision log, unless you say otherwise.",
)
@click.option(
    "--sign", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An Ed25519 key (PEM) to sign with."
)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures as a page with a plot."
)
@click.option("--licence", default="", help="Of the data, for the manifest.")
@click.option("--force", is_flag=True, help="Write it even if it does worse than the best single model.")
def train(data: Sequence[Path], out: Path, **options: Any) -> None:
    """Train a strategy on DATA, and write a checkpoint.

    DATA are files or directories in any of these formats, told apart by what is in them: LLMRouter's routing data (and
    its query data), RouterDC, Avengers, LLMRouterBench, RouterBench, GMTRouter, the gateway's own decision log, or a
    table with the columns query, model, score and cost_usd (Parquet, CSV, JSON lines).

    Rows whose split is "test" are never trained on, unless you say --include-test.

    The figures are of prompts that were held out: a checkpoint that does worse on them than the best single model is
    not written, unless you say --force.
    """
    reading = learning.gathered(data, learning.cards_of(options["candidates"]))
    table = _trainable(reading, is_all=options["include_test"])
    trained = _trained(table, options)
    _say(trained, options["html"])
    if trained.loses and not options["force"]:
        raise click.ClickException(
            f"{trained.learned.strategy} is worse than the best single model by {-100 * trained.gain:.1f} points on "
            "prompts that it has not seen: nothing is written. Try another strategy or more data, or say --force"
        )
    _write(trained, reading, out, options)


def _trainable(reading: Reading, *, is_all: bool) -> Table:
    apart = int(reading.is_test.sum())
    if apart and not is_all:
        click.echo(f'Not trained on: {apart:,} prompts of the split "test"')
    table = reading.table if is_all else reading.trainable
    if not np.isfinite(table.quality).any():
        raise click.ClickException("the data has no score to learn from")
    return table


def _trained(table: Table, options: dict[str, Any]) -> Trained:
    custom = learning.custom_estimator(options["estimator"])
    embedder = embedder_for(options["embedder"], options["gateway"], options["key"])
    try:
        with learning.progress("Training") as told:
            return fit.train(
                table,
                CUSTOM if custom else _strategy(options["strategy"]),
                cards=learning.cards_of(options["candidates"]),
                seed=options["seed"],
                settings=_settings(options["settings"]),
                progress=told,
                embedder=embedder,
                custom=custom,
            )
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _strategy(name: str) -> str:
    strategy = strategy_of(name)
    if strategy in PROCEDURES:
        raise click.ClickException(
            f"{strategy} asks models on the way, and has nothing of its own to train; "
            "knn-multiround uses a checkpoint of knn"
        )
    if strategy == CUSTOM:
        raise click.ClickException("say which estimator of your own with --estimator module:Class")
    if strategy is None or strategy not in ESTIMATORS:
        raise click.ClickException(f"there is no strategy {name!r}; there are {', '.join(sorted(ESTIMATORS))}")
    return strategy


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    """Values are JSON; what is none is a text."""
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.ClickException(f"--set {text!r} is not NAME=VALUE")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def _say(trained: Trained, html: Path | None) -> None:
    if trained.report is None:
        click.echo("Too few prompts with the outcome and the cost of every model to compare it with anything")
        return
    click.echo()
    click.echo(text_table(trained.report))
    if not trained.table.tasks:
        click.echo("The data names no tasks, so there is no router that is told them")
    if html is not None:
        learning.write_text(html, html_page(trained.report))


def _write(trained: Trained, reading: Reading, out: Path, options: dict[str, Any]) -> None:
    about = trained.about(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        sources=reading.sources[:100],
        data_licence=options["licence"],
    )
    count = options["probes"]
    if count is None:
        count = 0 if DECISIONS in reading.formats else PROBES
    try:
        key = None if options["sign"] is None else options["sign"].read_bytes()
        packed = trained.packed(about, private_key_pem=key, more=_probes(trained, count))
        files.write(out, packed)
    except (BadCheckpoint, CannotSign) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    size = (len(packed.manifest) + len(packed.tensors)) / 1e6
    click.echo(f"Written to {out}: {about.strategy}, best single model {about.baseline}, {size:.1f} MB")
    if count:
        click.echo(f"It holds {min(count, len(trained.table))} of the prompts as text; --probes 0 leaves them out")


def _probes(trained: Trained, count: int) -> dict[str, Any]:
    if not count:
        return {}
    table = trained.table
    features = trained.learned.features(list(table.prompts), table.users)
    return {"probes": probes_of(table.prompts, table.quality, features.embedding, count)}
