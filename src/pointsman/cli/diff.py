"""``pointsman diff``: what a reload would change."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from pointsman.config.diff import changes
from pointsman.config.loading import load_fetched
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.base import Address, Fetched, SourceDown, address_of
from pointsman.config.sources.file import read_files
from pointsman.config.sources.objects import ObjectSource
from pointsman.config.sources.stores import Bucket


@click.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Say what differs between two configs: files, or addresses such as s3://bucket/key. No credential is shown."""
    before, after = _snapshot(old), _snapshot(new)
    found = changes(before, after)
    for change in found:
        click.echo(str(change))
    click.echo(f"{len(found)} change{'' if len(found) == 1 else 's'}", err=True)


def _snapshot(name: str) -> Snapshot:
    address = address_of(name)
    fetched = read_files(Path(name), os.environ, is_once=True) if address is None else _fetched(address)
    loaded = load_fetched(fetched, os.environ)
    if loaded.snapshot is None:
        problems = "\n".join(str(one) for one in loaded.problems if one.severity == "error")
        raise click.ClickException(f"{name} cannot be used:\n{problems}")
    return loaded.snapshot


def _fetched(address: Address) -> Fetched:
    try:
        source = ObjectSource(address, Bucket(address.kind, address.bucket, os.environ), os.environ)
        fetched = asyncio.run(source.fetch(None))
    except SourceDown as error:
        raise click.ClickException(str(error)) from error
    assert fetched is not None, "nothing is known that it could be the same as"
    return fetched
