"""``pointsman calibrate``: what the knobs of a checkpoint amount to, and anew on outcomes of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from pointsman.cli import learning
from pointsman.ml import files
from pointsman.ml import table as tables
from pointsman.ml.base import Table
from pointsman.ml.calibration import HeldOut, doubt_of, frontier, sample
from pointsman.ml.checkpoint import About, BadCheckpoint, Checkpoint, pack
from pointsman.ml.evaluation.measuring import scored
from pointsman.ml.joining import CALIBRATION
from pointsman.ml.knobs import ANYTHING, Wish, price_of
from pointsman.ml.learned import Learned
from pointsman.ml.signing import CannotSign

LEAST_PROMPTS = 20
KNOBS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = 4


@click.command()
@learning.checkpoint_argument
@click.argument("data", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[DATA]...")
@click.option("--target-share", type=click.FloatRange(0, 1), help="The share of calls that strong models are to get.")
@click.option("--strong", multiple=True, metavar="MODEL", help="A strong model; the best single one if none is named.")
@click.option("--target-usd", type=click.FloatRange(0, min_open=True), help="Dollars that 1,000 requests are to cost.")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the checkpoint with the new measure there.",
)
@click.option(
    "--sign", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An Ed25519 key (PEM) to sign with."
)
@learning.candidates_option
@learning.strategy_options
def calibrate(checkpoint: Path, data: Sequence[Path], out: Path | None, **options: Any) -> None:
    """Show what the knobs of CHECKPOINT amount to: the price, what is spent, how good it is, and where requests go.

    With DATA, outcomes that it was not trained on, in any format that `pointsman train` reads, the knobs are measured
    on all of these instead, and --out writes a checkpoint that keeps the new measure.
    """
    kept, learned = learning.loaded(checkpoint, options)
    costless = {model.name for model in kept.manifest.models if model.cost_usd is None}
    if data:
        table = learning.gathered(data, learning.cards_of(options["candidates"])).table
        learned = _measured_on(table, learned)
        costless -= {name for place, name in enumerate(table.models) if np.isfinite(table.cost_usd[:, place]).any()}
    elif out is not None:
        raise click.UsageError("--out needs DATA to measure the knobs on")
    _show(learned, frozenset(costless), options)
    if out is not None:
        _write(kept, learned, out, options["sign"])


def _measured_on(table: Table, learned: Learned) -> Learned:
    """The same strategy with the doubt and the frontier that this table gives."""
    unknown = set(learned.candidates.names) - set(table.models)
    if unknown:
        raise click.ClickException(f"the data has no outcomes of {', '.join(sorted(unknown))}")
    table = tables.columns(table, learned.candidates.names)
    is_known = np.isfinite(table.quality).any(1)
    if is_known.sum() < LEAST_PROMPTS:
        raise click.ClickException(f"at least {LEAST_PROMPTS} prompts with a score are needed")
    table = tables.rows(table, is_known)
    held = HeldOut.of(scored(learned, table), table.quality, table.cost_usd)
    doubt = doubt_of(held, learned.candidates)
    return replace(
        learned,
        held_out=sample(held),
        frontier=frontier(held, learned.candidates, doubt),
        policy=msgspec.structs.replace(learned.policy, doubt=doubt),
    )


def _show(learned: Learned, costless: AbstractSet[str], options: dict[str, Any]) -> None:
    """Print the knobs; what is spent is not told where a request goes to a model whose costs nobody knows."""
    row = partial(_row, learned, costless)
    held, points = learned.held_out, learned.frontier
    if not len(held):
        raise click.ClickException("nothing was held out when it was trained: give DATA to measure the knobs on")
    best = learned.candidates.names[learned.candidates.baseline(0.0, learned.candidates.all)]
    click.echo(f"Measured on {len(held):,} prompts; best single model {best}, quality {points.baseline_quality:.4f}")
    if costless:
        click.echo(
            f"Note: nothing is known of the costs of {', '.join(sorted(costless))}: give prices with --candidates"
        )
    click.echo(f"{'knob':<24}{'price':>10}{'$ per 1k':>10}{'quality':>9}  goes to")
    row("auto", price_of(ANYTHING, points))
    for knob in KNOBS:
        row(f"quality {knob:g}", price_of(Wish(quality=knob), points))
    if options["target_share"] is not None:
        strong = options["strong"] or (best,)
        if unknown := set(strong) - set(learned.candidates.names):
            raise click.ClickException(f"no candidate is named {', '.join(sorted(unknown))}")
        share = options["target_share"]
        row(f"{100 * share:g} % strong", learned.price_of_share(strong, share))
    if options["target_usd"] is not None:
        row(f"${options['target_usd']:g} per 1k", points.price_under(options["target_usd"] / 1000))


def _row(learned: Learned, costless: AbstractSet[str], knob: str, price: float) -> None:
    held, names = learned.held_out, learned.candidates.names
    places = held.chosen(learned.candidates, msgspec.structs.replace(learned.policy, price=price))
    at = np.arange(len(held))
    shares = np.bincount(places, minlength=len(names)) / len(held)
    goes = ", ".join(
        f"{names[i]} {100 * shares[i]:.0f} %" for i in np.argsort(-shares, kind="stable")[:SHOWN] if shares[i]
    )
    cost, quality = (float(values[at, places].mean()) for values in (held.cost_usd, held.quality))
    spent = "unknown" if any(shares[i] and name in costless for i, name in enumerate(names)) else f"{1000 * cost:.4f}"
    click.echo(f"{knob:<24}{price:>10.4g}{spent:>10}{quality:>9.4f}  {goes}")


def _write(kept: Checkpoint, learned: Learned, out: Path, sign: Path | None) -> None:
    about = About(**{name: getattr(kept.manifest, name) for name in About.__struct_fields__})
    about = msgspec.structs.replace(about, frontier=learned.frontier, doubt=learned.policy.doubt)
    parts = dict(kept.parts) | {CALIBRATION: learned.held_out.state()}
    try:
        files.write(out, pack(about, parts, private_key_pem=None if sign is None else sign.read_bytes()))
    except (BadCheckpoint, CannotSign) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    click.echo(f"Written to {out}")
