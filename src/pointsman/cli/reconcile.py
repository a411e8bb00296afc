"""``pointsman reconcile``: what is counted of budgets, set to what the ledger says."""

from __future__ import annotations

import click

from pointsman.cli.calling import DEFAULT_URL, NotDone, master_key, post

TABLES = ("keys", "users", "teams", "organizations")
SHOWN = 20


@click.command()
@click.option("--url", default=DEFAULT_URL, show_default=True, envvar="POINTSMAN_URL", help="Of the gateway.")
@click.option(
    "--admin-key", help="Of an admin. Default: POINTSMAN_MASTER_KEY, or the one that the gateway has made here."
)
def reconcile(url: str, admin_key: str | None) -> None:
    """Set what a running gateway has counted of all budgets to what the ledger says, and tell where the two differed.

    For when a process has died, or a Redis has lost what it had counted.
    """
    key = master_key(admin_key)
    for table in TABLES:
        checked, drifts, after = 0, [], None
        while True:
            try:
                told = post(url, "/budget/reconcile", key, {"table": table, "after": after})
            except NotDone as error:
                raise click.ClickException(str(error)) from error
            checked += told["checked"]
            drifts += told["drifts"]
            after = told["after"]
            if after is None:
                break
        click.echo(f"{table}: {checked} budgets, {len(drifts)} set")
        for one in drifts[:SHOWN]:
            click.echo(f"  {_told(one)}")
        if len(drifts) > SHOWN:
            click.echo(f"  and {len(drifts) - SHOWN} more")


def _told(drift: dict[str, object]) -> str:
    model = f" for {drift['model']}" if drift["model"] else ""
    return f"{drift['id']}{model}: ${drift['counted']} were counted, ${drift['spent']} were spent"
