"""``pointsman export-logs``: the decision log as a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from pointsman.cli.state import data_directory
from pointsman.ml import decisionlog
from pointsman.ml.decisionlog import Entry
from pointsman.ml.training import logs
from pointsman.ml.training.columns import NoParquet, write_parquet
from pointsman.ml.training.gathering import BadData

FOLDER = "decisions"
PARQUET = ".parquet"


@click.command("export-logs")
@click.argument("log", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[LOG]...")
@click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Parquet where the name ends in .parquet, else JSON lines.",
)
@click.option(
    "--all", "is_all", is_flag=True, help="Also requests whose prompts were not kept; these cannot be trained on."
)
def export_logs(log: Sequence[Path], out: Path, *, is_all: bool) -> None:
    """Write the decision log as a table with a row for each request: query_id, query, model, score, cost_usd and more.

    LOG is a file of the log or a directory with such files; without it, that of the data directory. `pointsman train`
    reads what is written, and the log itself.
    """
    files = _files(log or [data_directory(os.environ) / FOLDER])
    try:
        entries, lost = logs.entries(files)
    except BadData as error:
        raise click.ClickException(str(error)) from error
    kept = [entry for entry in entries if is_all or entry.decided.prompt]
    if lost:
        click.echo(f"Note: {lost:,} lines of the log could not be read")
    if len(kept) < len(entries):
        click.echo(f"Left out: {len(entries) - len(kept):,} requests whose prompts were not kept (--all keeps them)")
    if not kept:
        raise click.ClickException("there is nothing to export")
    try:
        _write(out, [row(entry) for entry in kept])
    except NoParquet as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    counts = ", ".join(f"{count:,} {name}" for name, count in decisionlog.summary(kept).items())
    click.echo(f"Written to {out}: {counts}")


def row(entry: Entry) -> dict[str, Any]:
    """A request in the long form, and what is known of its decision."""
    decided, outcome = entry.decided, logs.outcome_of(entry)
    return {
        "query_id": decided.id,
        "query": decided.prompt,
        "dataset": decided.model,
        "user": decided.user,
        "model": outcome.model,
        "score": outcome.score,
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "cost_usd": outcome.cost_usd,
        "status": None if entry.settled is None else entry.settled.status,
        "chosen": decided.candidates[decided.chosen],
        "baseline": decided.candidates[decided.baseline],
        "propensity": decided.propensity,
        "reason": decided.reason,
        "version": decided.version,
        "time": decided.time,
        "signals": " ".join(entry.signals),
    }


def _files(paths: Iterable[Path]) -> list[Path]:
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*.jsonl")))]
    if not files:
        raise click.ClickException(f"there is no decision log in {', '.join(map(str, paths))}")
    return files


def _write(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    if out.suffix == PARQUET:
        write_parquet(out, {name: [found[name] for found in rows] for name in rows[0]})
        return
    draft = out.with_name(f".{out.name}.new")
    try:
        draft.write_bytes(b"".join(msgspec.json.encode(found) + b"\n" for found in rows))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
