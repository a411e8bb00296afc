"""The command line. Each command has a module of its own."""

from __future__ import annotations

from importlib import import_module

import click

from pointsman import __version__
from pointsman.cli.check import check
from pointsman.cli.prices import prices
from pointsman.cli.serve import serve

LATE = {
    "batch": "pointsman.cli.batch",
    "calibrate": "pointsman.cli.calibrate",
    "cascade": "pointsman.cli.cascade",
    "diff": "pointsman.cli.diff",
    "evaluate": "pointsman.cli.evaluate",
    "export-logs": "pointsman.cli.export_logs",
    "import-litellm": "pointsman.cli.import_litellm",
    "keys": "pointsman.cli.keys",
    "predict": "pointsman.cli.predict",
    "probe": "pointsman.cli.probe",
    "reconcile": "pointsman.cli.reconcile",
    "rollback": "pointsman.cli.rollback",
    "route": "pointsman.cli.route",
    "train": "pointsman.cli.train",
}
"""Commands whose modules are imported when they are asked for: most need numpy."""


class Commands(click.Group):
    """Commands, some of which are found late."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All of them."""
        return sorted([*super().list_commands(context), *LATE])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """One of them."""
        if name not in LATE:
            return super().get_command(context, name)
        command = getattr(import_module(LATE[name]), name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pointsman")
def main() -> None:
    """An AI gateway: one address and one key in front of every model."""


main.add_command(serve)
main.add_command(check)
main.add_command(prices)
