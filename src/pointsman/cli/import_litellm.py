"""``pointsman import-litellm``: what LiteLLM has, carried over."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import msgspec

from pointsman.access.budgets import nanos, window_of
from pointsman.access.keys import Key, to_doc
from pointsman.access.litellm import TABLES, Carried, carried
from pointsman.cli.state import data_directory
from pointsman.config import load
from pointsman.store.base import Audit, Change, Conflict, Records, SpendEvent, StoreDown
from pointsman.store.opening import CannotOpen, records
from pointsman.store.settings import RecordSettings, sqlite_in
from pointsman.wire.secret import Secret

AT_ONCE = 500
"""Rows of one transaction."""
WHO = "import-litellm"


class Told(msgspec.Struct):
    """What became of the rows of a table."""

    kept: int = 0
    there: int = 0
    """Rows that are here already, which stay as they are."""
    mapped: Counter[str] = msgspec.field(default_factory=Counter)
    ignored: Counter[str] = msgspec.field(default_factory=Counter)
    left: list[str] = []


@click.command(name="import-litellm")
@click.argument("config", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--database", envvar="LITELLM_DATABASE_URL", help="LiteLLM's PostgreSQL, which is only read.")
@click.option("--to", help="The database to write to. Default: the one in the data directory.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
def import_litellm(config: Path | None, database: str | None, to: str | None, *, dry_run: bool) -> None:
    """Check a LiteLLM CONFIG, and carry over the keys, teams, users and budgets of its database.

    Keys go on working: LiteLLM keeps their SHA-256, by which they are found here too. What is here already stays.
    """
    if config is None and database is None:
        raise click.UsageError("Name a config, or --database.")
    if config is not None:
        _tell_config(config)
    if database is not None:
        target = RecordSettings(url=Secret(to)) if to else sqlite_in(data_directory(os.environ))
        try:
            asyncio.run(_carry(Secret(database), None if dry_run else records(target)))
        except (StoreDown, CannotOpen) as error:
            raise click.ClickException(str(error)) from error


def _tell_config(config: Path) -> None:
    loaded = load(config, os.environ)
    for problem in loaded.problems:
        click.echo(str(problem))
    if loaded.snapshot is None:
        raise click.ClickException(f"{config} cannot be served as it is")
    click.echo(f"{config}: {len(loaded.snapshot.deployments)} deployments; serve it as it is")


async def _carry(source: Secret, target: Records | None) -> None:
    from pointsman.store.litellm import rows  # noqa: PLC0415 - PostgreSQL, which not everybody has

    if target is not None:
        await target.open()
    try:
        for name in TABLES:
            told = Told()
            async for some in _batches(rows(source, name), name, told):
                if target is None:
                    told.kept += len(some)
                else:
                    await _write(target, some, told)
            _tell(name, told, is_dry=target is None)
    finally:
        if target is not None:
            await target.close()


async def _batches(found: AsyncIterator[dict[str, object]], name: str, told: Told) -> AsyncIterator[list[Carried]]:
    some: list[Carried] = []
    async for row in found:
        try:
            one = carried(name, row)
        except (ValueError, msgspec.ValidationError) as error:
            told.left.append(f"{row.get(TABLES[name][1])}: {error}")
            continue
        told.mapped.update(one.mapped)
        told.ignored.update(one.ignored)
        some.append(one)
        if len(some) == AT_ONCE:
            yield some
            some = []
    if some:
        yield some


async def _write(target: Records, some: Sequence[Carried], told: Told) -> None:
    """Write those that are not there; all in one transaction, unless a name is taken."""
    new = [one for one in some if await target.get(one.table, one.id) is None]
    told.there += len(some) - len(new)
    if not new:
        return
    try:
        await _change(target, new)
        told.kept += len(new)
    except Conflict:
        for one in new:
            try:
                await _change(target, [one])
                told.kept += 1
            except Conflict as conflict:
                told.left.append(f"{one.id}: its {conflict.what} is taken")
    await target.append_spend([event for one in new if (event := _spent(one)) is not None])


async def _change(target: Records, rows: Sequence[Carried]) -> None:
    changes = [Change(one.table, one.id, to_doc(one.row), 0) for one in rows]
    ids = [one.id for one in rows]
    await target.change(changes, Audit(who=WHO, what=f"{rows[0].table}.import", target="", after={"ids": ids}))


def _spent(one: Carried) -> SpendEvent | None:
    """What a key has spent of its budget, as one event; of others it is the sum of their keys."""
    key = one.row
    if not isinstance(key, Key) or not one.spent:
        return None
    begins = window_of(key.budget_duration, time.time()).begins
    at = begins or (0.0 if key.created_at is None else key.created_at.timestamp())
    return SpendEvent(
        id=f"litellm-{one.id}",
        at=at,
        operation="import",
        key_id=key.account,
        team_id=key.team_id or "",
        user_id=key.user_id or "",
        organization_id=key.organization_id or "",
        requests=0,
        cost_nano_usd=nanos(one.spent),
    )


def _tell(name: str, told: Told, *, is_dry: bool) -> None:
    verb = "would be kept" if is_dry else "kept"
    click.echo(f"{name}: {told.kept} {verb}, {told.there} there already, {len(told.left)} left behind")
    for what, count in sorted(told.mapped.items()):
        click.echo(f"  mapped: {what} ({count})")
    for what, count in sorted(told.ignored.items()):
        click.echo(f"  ignored: {what} ({count})")
    for line in told.left:
        click.echo(f"  left behind: {line}")
