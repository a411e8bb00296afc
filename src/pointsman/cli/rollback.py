"""``pointsman rollback``: a running gateway goes back to the config that it had before."""

from __future__ import annotations

import click

from pointsman.cli.calling import DEFAULT_URL, NotDone, master_key, post

WRONG = {
    "failed": "the gateway did not go back",
    "partial": "not all workers have gone back; GET /config/sync/status tells how each one is",
}


@click.command()
@click.option("--url", default=DEFAULT_URL, show_default=True, envvar="POINTSMAN_URL", help="Of the gateway.")
@click.option("--key", help="The master key. Default: POINTSMAN_MASTER_KEY, or the one that the gateway has made here.")
def rollback(url: str, key: str | None) -> None:
    """Go back to the config that was in force before; it stays until its source changes."""
    try:
        done = post(url, "/config/rollback", master_key(key), {})
    except NotDone as error:
        raise click.ClickException(str(error)) from error
    for line in done.get("changes", ()):
        click.echo(line)
    errors = done.get("errors") or ()
    status = done.get("status")
    if errors or status in WRONG:
        raise click.ClickException("; ".join(map(str, errors)) or WRONG[status])
    click.echo("The previous config is in force until its source changes")
