"""The command line: ``pointsman serve``, ``pointsman check`` and ``pointsman prices``."""

from __future__ import annotations

import click

from pointsman import __version__
from pointsman.cli.check import check
from pointsman.cli.prices import prices
from pointsman.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pointsman")
def main() -> None:
    """An AI gateway: one address and one key in front of every model."""


main.add_command(serve)
main.add_command(check)
main.add_command(prices)
