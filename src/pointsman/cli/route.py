"""``pointsman route``: where a prompt would go, and why."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from pointsman.config import load
from pointsman.config.checkpoints import extras_of
from pointsman.config.snapshot import Snapshot
from pointsman.errors import GatewayError
from pointsman.ml.checkpoint import BadCheckpoint
from pointsman.pipeline.explaining import Explaining
from pointsman.pipeline.lineups import routed_model
from pointsman.routing.groups import Groups
from pointsman.telemetry.meters import RoutingMeter

HEADS = ("model", "quality", "±", "$ / 1,000", "gain", "")


@click.command()
@click.argument("prompt")
@click.option(
    "--config",
    "-c",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CONFIG_FILE_PATH",
    required=True,
    help="The config with the routed model.",
)
@click.option("--model", "-m", help="The routed model, such as auto or auto:cheap. Default: auto, or the first one.")
@click.option("--quality", help="0 to 1, cheap or best.")
@click.option("--max-cost", type=float, help="US dollars that the request may cost, as predicted.")
@click.option("--min-quality", type=float, help="Expected quality, 0 to 1, that the answer must have.")
@click.option("--json", "is_json", is_flag=True, help="Print what POST /router/explain answers.")
def route(
    prompt: str,
    config_file: Path,
    model: str | None,
    quality: str | None,
    max_cost: float | None,
    min_quality: float | None,
    *,
    is_json: bool,
) -> None:
    """Say which model PROMPT would go to, and why; nothing is sent. With - the prompt is read from standard input."""
    asked = {
        "prompt": _read(prompt),
        "model": model,
        "quality": quality,
        "max_cost": max_cost,
        "min_quality": min_quality,
    }
    explaining = _explaining(_snapshot(config_file))
    try:
        told = asyncio.run(explaining.explain({k: v for k, v in asked.items() if v is not None}, {}, ""))
    except GatewayError as error:
        raise click.ClickException(error.message) from error
    click.echo(msgspec.json.format(msgspec.json.encode(told)).decode() if is_json else _text(told))


def _read(prompt: str) -> str:
    try:
        if prompt == "-":
            return sys.stdin.buffer.read().decode()
        # What the shell handed over and is no UTF-8 stands in it as half a character.
        prompt.encode()
    except UnicodeError as error:
        where = "standard input" if prompt == "-" else "PROMPT"
        raise click.ClickException(f"{where} is not UTF-8, from byte {error.args[2]} on") from None
    return prompt


def _snapshot(file: Path) -> Snapshot:
    loaded = load(file, os.environ)
    if loaded.snapshot is None:
        problems = "\n".join(str(one) for one in loaded.problems if one.severity == "error")
        raise click.ClickException(f"the config cannot be used:\n{problems}")
    if not loaded.snapshot.routing.routed:
        raise click.ClickException(f"no model in {file} is chosen for each prompt; docs/how-to/routing.md sets one up")
    return loaded.snapshot


def _explaining(snapshot: Snapshot) -> Explaining:
    groups = Groups(snapshot.deployments, snapshot.routing)
    clocks: dict[str, Callable[[], float]] = {"clock": time.monotonic, "chance": random.random, "now": time.time}
    try:
        routed = {
            name: routed_model(settings, groups, snapshot.models, extras_of(settings), RoutingMeter(name), **clocks)
            for name, settings in snapshot.routing.routed.items()
        }
    except BadCheckpoint as error:
        raise click.ClickException(str(error)) from error
    return Explaining(routed, groups, snapshot.routing, time.monotonic)


def _text(told: Mapping[str, Any]) -> str:
    decision = told["decision"]
    lines = [
        f"{told['model']} → {told['chosen']}: {told['reason']}",
        f"by {told['checkpoint']}, quality knob {told['quality_knob']:.2f}; best on average: {decision['baseline']}",
        "",
        *_table([HEADS, *map(_cells, told["candidates"])]),
        "",
    ]
    for name, side in (("cheaper", "below"), ("better", "above")):
        other = told[name]
        if other is None:
            lines.append(f"{name}: no setting chooses another model that is {name} for this prompt")
        else:
            what = f"quality {other['quality']:.3f} for {1000 * other['cost_usd']:.4g} $ / 1,000"
            lines.append(f"{name}: {other['model']} with a knob at {other['quality_knob']:.2f} or {side}; {what}")
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    def written(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    cost = None if row["cost_usd"] is None else 1000 * row["cost_usd"]
    return (
        row["model"],
        written(row["quality"], ".3f"),
        written(row["deviation"], ".3f"),
        written(cost, ".4g"),
        written(row["gain"], "+.3f"),
        row["dropped"],
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, len(HEADS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
