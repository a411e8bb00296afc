"""``pointsman check``: what is wrong with a config file, all at once."""

from __future__ import annotations

import os
import pathlib
from collections import Counter

import click

from pointsman.config import Problem, load
from pointsman.config.schema import schema_text


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=pathlib.Path))
@click.option("--schema", is_flag=True, help="Print the JSON Schema of config files.")
@click.pass_context
def check(context: click.Context, file: pathlib.Path | None, *, schema: bool) -> None:
    """Check a config FILE: print every problem with its place and a hint; exit with 1 if one is an error."""
    if schema:
        click.echo(schema_text(), nl=False)
    if file is None:
        if not schema:
            raise click.UsageError("Missing argument 'FILE'.")
        return
    loaded = load(file, os.environ)
    for problem in loaded.problems:
        click.echo(str(problem))
    click.echo(f"{file}: {_summary(loaded.problems)}", err=True)
    if loaded.snapshot is None:
        context.exit(1)


def _summary(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return "no problems"
    counts = Counter(problem.severity for problem in problems)
    parts = ((counts["error"], "error"), (counts["warning"], "warning"), (counts["notice"], "notice"))
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in parts if count)
