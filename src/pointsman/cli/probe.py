"""``pointsman probe``: a new model joins a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import numpy as np

from pointsman.cli import learning
from pointsman.cli.asking import NoAnswer, Reply, ask
from pointsman.ml import files
from pointsman.ml.base import State
from pointsman.ml.checkpoint import BadCheckpoint, Checkpoint, pack
from pointsman.ml.joining import join
from pointsman.ml.prior import Card
from pointsman.ml.probing import prompts_of
from pointsman.ml.signing import CannotSign

PROBES = 30
BEST_MARK = 10
JUDGE = """Mark the answer to the question, from 0 (wrong or useless) to 10 (right and complete).
Say the number and nothing else.

<question>
{question}
</question>

<answer>
{answer}
</answer>"""
_MARK = re.compile(r"\b(10|[0-9](?:\.[0-9]+)?)\b")


class Outcomes(NamedTuple):
    """Of probes; NaN where not known."""

    prompts: list[str]
    quality: list[float]
    cost_usd: list[float]


@click.command()
@click.argument("model")
@click.option(
    "--checkpoint",
    "-c",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The checkpoint that the model is to join.",
)
@click.option("--count", "-n", default=PROBES, show_default=True, type=click.IntRange(min=0), help="How many probes.")
@click.option(
    "--list", "is_list", is_flag=True, help="Only print the probes, as JSON lines to be completed with scores."
)
@click.option(
    "--outcomes",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Scores and costs of the model, in any format that `pointsman train` reads, instead of asking it.",
)
@click.option("--judge", metavar="MODEL", help="The model that marks the answers, at the same gateway.")
@click.option(
    "--out", "-o", type=click.Path(path_type=Path, file_okay=False), help="Write it there instead of in its place."
)
@click.option(
    "--sign", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An Ed25519 key (PEM) to sign with."
)
@learning.candidates_option
@learning.strategy_options
def probe(model: str, directory: Path, count: int, outcomes: Sequence[Path], out: Path | None, **options: Any) -> None:
    """Let MODEL join a checkpoint after a few probes, without training anew.

    The checkpoint keeps prompts that stand for all it was trained on. MODEL answers the first of them at the --gateway,
    and the --judge marks its answers; or --list prints them, and --outcomes reads what came out.

    What is believed of MODEL begins with its price and its size (--candidates, else the price table) and moves with
    each probe. It joins at the lower bound of that: it is not preferred where it is not credibly better. The more
    probes, the closer the bound.
    """
    checkpoint, learned = learning.loaded(directory, options)
    if options["is_list"]:
        _list(model, _prompts(checkpoint)[:count])
        return
    card = _card(model, options["candidates"])
    known = _read(outcomes, model, card) if outcomes else _ask(_prompts(checkpoint)[:count], model, card, options)
    try:
        about, parts = join(checkpoint, learned, card, known.prompts, known.quality, known.cost_usd)
        key = None if options["sign"] is None else options["sign"].read_bytes()
        packed = pack(about, parts, private_key_pem=key)
        files.write(out or directory, packed)
    except (BadCheckpoint, CannotSign, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {out or directory}: {error.strerror}") from error
    joined = about.models[-1]
    scored = int(np.isfinite(known.quality).sum())
    click.echo(
        f"{model} joined after {scored} probes; taken to be {joined.quality or 0:.3f} good at least, "
        f"at ${1000 * (joined.cost_usd or 0):.4f} per 1,000 requests"
    )
    click.echo(f"Written to {out or directory}")


def _prompts(checkpoint: Checkpoint) -> list[str]:
    part = checkpoint.parts.get("probes", State({}))
    try:
        prompts = prompts_of(part)
    except ValueError:
        prompts = []
    if not prompts:
        raise click.ClickException("the checkpoint keeps no prompts: train it with --probes, or give --outcomes")
    return prompts


def _list(model: str, prompts: Sequence[str]) -> None:
    for prompt in prompts:
        row = {"query": prompt, "model": model, "score": None, "cost_usd": None}
        click.echo(msgspec.json.encode(row).decode())


def _card(model: str, candidates: Path | None) -> Card:
    declared = next((card for card in learning.cards_of(candidates) if card.name == model), None)
    return declared or learning.known_card(model) or Card(name=model)


def _read(paths: Sequence[Path], model: str, card: Card) -> Outcomes:
    table = learning.gathered(paths, [card]).table
    if model not in table.models:
        raise click.ClickException(f"the outcomes are of {', '.join(table.models)}, not of {model}")
    at = table.models.index(model)
    return Outcomes(list(table.prompts), table.quality[:, at].tolist(), table.cost_usd[:, at].tolist())


def _ask(prompts: Sequence[str], model: str, card: Card, options: dict[str, Any]) -> Outcomes:
    judge = options["judge"]
    if judge is None:
        raise click.ClickException(
            "name a --judge that marks the answers, or give --outcomes (--list prints the probes)"
        )
    answers = _replies(f"Asking {model}", model, list(prompts), options)
    answered = [place for place, reply in enumerate(answers) if isinstance(reply, Reply)]
    questions = [JUDGE.format(question=prompts[i], answer=answers[i].text) for i in answered]  # type: ignore[union-attr]
    marks = _replies(f"Asking {judge}", judge, questions, options)
    quality, cost = [float("nan")] * len(prompts), [float("nan")] * len(prompts)
    for place, mark in zip(answered, marks, strict=True):
        reply = answers[place]
        assert isinstance(reply, Reply)
        quality[place] = _mark(mark)
        cost[place] = _cost(reply, card)
    if not np.isfinite(quality).any():
        failed = next((reply for reply in [*answers, *marks] if isinstance(reply, NoAnswer)), "no mark was a number")
        raise click.ClickException(f"no probe was answered and marked: {failed}")
    return Outcomes(list(prompts), quality, cost)


def _replies(label: str, model: str, questions: Sequence[str], options: dict[str, Any]) -> list[Reply | NoAnswer]:
    try:
        with click.progressbar(length=len(questions), label=label) as bar:
            replies = ask(options["gateway"], options["key"], model, questions, lambda: bar.update(1))
    except NoAnswer as error:
        raise click.ClickException(str(error)) from error
    failed = [reply for reply in replies if isinstance(reply, NoAnswer)]
    if failed:
        click.echo(f"Note: {model} did not answer {len(failed)} of {len(questions)}: {failed[0]}")
    return replies


def _mark(reply: Reply | NoAnswer) -> float:
    found = _MARK.search(reply.text) if isinstance(reply, Reply) else None
    return float("nan") if found is None else min(float(found[1]) / BEST_MARK, 1.0)


def _cost(reply: Reply, card: Card) -> float:
    if None in (reply.prompt_tokens, reply.completion_tokens, card.input_usd_per_million):
        return float("nan")
    assert reply.prompt_tokens is not None
    assert reply.completion_tokens is not None
    asked = card.input_usd_per_million or 0.0
    answered = asked if card.output_usd_per_million is None else card.output_usd_per_million
    return (reply.prompt_tokens * asked + reply.completion_tokens * answered) / 1e6
