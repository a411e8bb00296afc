"""``pointsman cascade``: when automix keeps an answer, learnt from outcomes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import numpy as np

from pointsman.cli import learning
from pointsman.ml.cascading import Cascade, Outcomes, judgements, learn

JUDGEMENTS = 8
"""Of the simulated verifier, for each answer."""


class Judged(msgspec.Struct):
    """One answer of a tier to a prompt, and what the verifier said of it."""

    query_id: str | int
    model: str
    score: float
    """0..1"""
    cost_usd: float
    sureness: float | None = None
    """0..1: the share of judgements that found it right; of the dearest tier it is of no interest."""
    verifier_usd: float | None = None
    """The same."""


@click.command()
@learning.data_argument
@click.option("--tier", "tiers", multiple=True, required=True, metavar="MODEL", help="Repeat it, the cheapest first.")
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The JSON file for table_path.")
@click.option(
    "--skill",
    type=click.FloatRange(0.5, 1.0),
    help="Simulate a verifier that is right so often, for data that says nothing of one.",
)
@click.option("--seed", default=0, show_default=True, help="Of the simulation.")
def cascade(data: Sequence[Path], tiers: Sequence[str], out: Path | None, skill: float | None, seed: int) -> None:
    """Learn from DATA when automix keeps the answer of a cheap tier, and when it goes on to a dearer one.

    DATA are JSON lines with query_id, model, score, cost_usd, sureness (0 to 1: the share of judgements that found the
    answer right) and verifier_usd. With --skill it is any table that `pointsman train` takes, and the verifier is
    simulated: each of its judgements costs an eighth of the answer that it is about.
    """
    if len(tiers) < 2 or len(set(tiers)) < len(tiers):
        raise click.ClickException("name two different tiers or more: --tier CHEAP --tier DEAR")
    try:
        outcomes, order = judged(data, tiers) if skill is None else simulated(data, tiers, skill, seed)
        learnt = learn(outcomes, order)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if list(order) != list(tiers):
        click.echo(f"By what they cost the tiers are, the cheapest first: {', '.join(order)}", err=True)
    click.echo(told(outcomes, order, learnt))
    if learnt.method == "none":
        click.echo(f"Judging gains nothing here: ask {learnt.tiers[0]} at once")
    if out is not None:
        learning.write_text(out, json.dumps(learnt.document(), indent=1) + "\n")


def judged(paths: Sequence[Path], tiers: Sequence[str]) -> tuple[Outcomes, list[str]]:
    """Outcomes with what a verifier has said, and the tiers in their order; only prompts that have one of each tier.

    :raises ValueError: a line is no outcome, or says nothing of the verifier where that is needed
    """
    found: dict[str | int, dict[str, tuple[Judged, str]]] = {}
    for path in paths:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line.strip():
                where = f"{path}, line {number}"
                one = _read(line, where)
                found.setdefault(one.query_id, {})[one.model] = (one, where)
    whole = [by_model for by_model in found.values() if by_model.keys() >= set(tiers)]
    if not whole:
        raise ValueError(f"no prompt has an outcome of each of {', '.join(tiers)}")
    order = _by_cost(tiers, [float(np.mean([row[tier][0].cost_usd for row in whole])) for tier in tiers])

    def column(name: str, names: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.array([[_given(*row[tier], name) for tier in names] for row in whole], np.float64)

    cheap = order[:-1]
    return Outcomes(
        column("score", order), column("cost_usd", order), column("sureness", cheap), column("verifier_usd", cheap)
    ), order


def simulated(paths: Sequence[Path], tiers: Sequence[str], skill: float, seed: int) -> tuple[Outcomes, list[str]]:
    """Outcomes of a table, with a verifier that is right so often, and the tiers in their order.

    :raises ValueError: the table does not know a tier
    """
    table = learning.gathered(paths).trainable
    unknown = [tier for tier in tiers if tier not in table.models]
    if unknown:
        raise ValueError(f"the data has no {', '.join(unknown)}; it has {', '.join(table.models)}")
    places = [table.models.index(tier) for tier in tiers]
    known = np.isfinite(table.quality[:, places] + table.cost_usd[:, places]).all(1)
    if not known.any():
        raise ValueError(f"no prompt has an outcome of each of {', '.join(tiers)}")
    order = _by_cost(tiers, table.cost_usd[known][:, places].mean(0).tolist())
    places = [table.models.index(tier) for tier in order]
    quality, cost = (one[known][:, places].astype(np.float64) for one in (table.quality, table.cost_usd))
    sureness = judgements(np.clip(quality[:, :-1], 0, 1), skill, JUDGEMENTS, np.random.default_rng(seed))
    return Outcomes(quality, cost, sureness, cost[:, :-1]), order


def told(outcomes: Outcomes, tiers: Sequence[str], learnt: Cascade) -> str:
    """What was learnt, beside the tiers alone, as lines of text."""
    rows = [
        (f"{tier} alone", float(outcomes.quality[:, place].mean()), float(outcomes.cost_usd[:, place].mean()))
        for place, tier in enumerate(tiers)
    ]
    rows.append((f"automix ({learnt.method})", learnt.quality, learnt.cost_usd))
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'':{width}} {'quality':>8} {'$ per 1,000':>12}"]
    lines += [f"{name:{width}} {quality:8.3f} {1000 * cost:12.4f}" for name, quality, cost in rows]
    lines.append(
        f"On prompts that were held out: lift {100 * learnt.held_out_lift:+.0f} % (ΔIBC), "
        f"{100 * learnt.held_out_gain:+.1f} points above a mix of the cheapest and the dearest"
    )
    return "\n".join(lines)


def _by_cost(tiers: Sequence[str], costs: Sequence[float]) -> list[str]:
    """From the cheapest to the dearest; equals as they are given."""
    return [tier for _, tier in sorted(zip(costs, tiers, strict=True), key=lambda pair: pair[0])]


def _given(one: Judged, where: str, name: str) -> float:
    value = getattr(one, name)
    if value is None:
        raise ValueError(f"{where}: {name} is missing, or use --skill")
    return float(value)


def _read(line: bytes, where: str) -> Judged:
    try:
        one = msgspec.json.decode(line, type=Judged)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{where}: {error}") from error
    for name, highest, what in (
        ("score", 1.0, "a number from 0 to 1"),
        ("sureness", 1.0, "a number from 0 to 1"),
        ("cost_usd", sys.float_info.max, "US dollars from 0"),
        ("verifier_usd", sys.float_info.max, "US dollars from 0"),
    ):
        value = getattr(one, name)
        if value is not None and not 0.0 <= value <= highest:
            raise ValueError(f"{where}: {name} is {what}")
    return one
