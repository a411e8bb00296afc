"""``pointsman keys``: virtual keys of a running gateway."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

from pointsman.cli.calling import DEFAULT_URL, NotDone, master_key, post

Command = Callable[..., Any]


def _of_a_gateway(command: Command) -> Command:
    """With the options that say which gateway."""
    url = click.option("--url", default=DEFAULT_URL, show_default=True, envvar="POINTSMAN_URL", help="Of the gateway.")
    admin = click.option(
        "--admin-key", help="Of an admin. Default: POINTSMAN_MASTER_KEY, or the one that the gateway has made here."
    )
    return url(admin(command))


def _money(_context: click.Context, _option: click.Parameter, given: float | None) -> float | None:
    # In JSON neither NaN nor infinity is a number: it would be no budget at all.
    if given is not None and not (math.isfinite(given) and given >= 0):
        raise click.BadParameter("a budget is a number of US dollars from 0 on")
    return given


@click.group()
def keys() -> None:
    """Make, change and delete virtual keys."""


@keys.command()
@click.option("--alias", "key_alias", help="A name for it.")
@click.option("--model", "models", multiple=True, help="That it may use; several times. Default: all.")
@click.option("--duration", help="Such as 30d, after which it ends.")
@click.option("--budget", "max_budget", type=float, callback=_money, help="US dollars that it may spend.")
@click.option("--budget-duration", help="Such as 1d, after which it may spend as much again.")
@click.option("--rpm", "rpm_limit", type=click.IntRange(0), help="Requests a minute.")
@click.option("--tpm", "tpm_limit", type=click.IntRange(0), help="Tokens a minute.")
@click.option("--parallel", "max_parallel_requests", type=click.IntRange(0), help="Requests at a time.")
@click.option("--team", "team_id", help="Its team's id.")
@click.option("--user", "user_id", help="Its user's id.")
@_of_a_gateway
def make(url: str, admin_key: str | None, **asked: Any) -> None:
    """Make a key, and print it: it is shown this once."""
    said = {name: value for name, value in asked.items() if value not in {None, ()}}
    click.echo(_ask(url, "/key/generate", admin_key, said)["key"])


@keys.command()
@click.argument("key")
@_of_a_gateway
def block(url: str, admin_key: str | None, key: str) -> None:
    """Refuse a KEY, named by itself or by its hash, until it is unblocked."""
    click.echo(f"{_ask(url, '/key/block', admin_key, {'key': key})['key_name']} is blocked")


@keys.command()
@click.argument("key")
@_of_a_gateway
def unblock(url: str, admin_key: str | None, key: str) -> None:
    """Let a KEY in again."""
    click.echo(f"{_ask(url, '/key/unblock', admin_key, {'key': key})['key_name']} is let in")


@keys.command()
@click.argument("key")
@click.option("--grace", help="Such as 1h, for which the old one goes on.")
@_of_a_gateway
def rotate(url: str, admin_key: str | None, key: str, grace: str | None) -> None:
    """Put another key in the place of a KEY, and print it."""
    asked = {"key": key} | ({} if grace is None else {"grace_period": grace})
    click.echo(_ask(url, "/key/regenerate", admin_key, asked)["key"])


@keys.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--alias", "is_alias", is_flag=True, help="They are named by their aliases.")
@_of_a_gateway
def delete(url: str, admin_key: str | None, names: tuple[str, ...], *, is_alias: bool) -> None:
    """Delete keys, named by themselves or by their hashes: all or none."""
    gone = _ask(url, "/key/delete", admin_key, {"key_aliases" if is_alias else "keys": list(names)})
    click.echo(f"{len(gone['deleted_keys'])} deleted")


def _ask(url: str, path: str, admin_key: str | None, body: dict[str, Any]) -> Any:
    try:
        return post(url, path, master_key(admin_key), body)
    except NotDone as error:
        raise click.ClickException(str(error)) from error
