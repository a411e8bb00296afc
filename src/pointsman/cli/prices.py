"""``pointsman prices update``: a price table of one's own, from LiteLLM's public map."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from pointsman import config
from pointsman.errors import GatewayError
from pointsman.providers.litellm_prices import convert, encode_table
from pointsman.providers.registry import ModelEntry, PriceTable, builtin_table, read_table
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import Timeouts, UpstreamSettings

MAX_BYTES = 64 * 1024 * 1024
TIMEOUTS = Timeouts(connect=10.0, first_byte=30.0, idle=30.0, total=120.0)
SHOWN = 10
"""Models of each kind of change that are named."""
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
OWN = "demo"
"""The vendor whose prices nobody else knows."""


@click.group()
def prices() -> None:
    """The table of model prices and context sizes."""


@prices.command()
@click.argument("source")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("prices.json"),
    show_default=True,
    help="The table to write; name it as pointsman_settings.prices_file in the config.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
def update(source: str, output: Path, *, dry_run: bool) -> None:
    """Make a price table of SOURCE: LiteLLM's model_prices_and_context_window.json, a file or an https address."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    try:
        found = convert(_read(source), as_of=today, source=_named(source))
    except UNREADABLE as error:
        raise click.ClickException(f"{_named(source)} is not LiteLLM's price map: {error}") from error
    if not found.models:
        raise click.ClickException(f"{_named(source)} names no model: nothing is written")
    own = read_table(builtin_table()).models[OWN]
    table = msgspec.structs.replace(found, models={**found.models, OWN: own})
    old = _old(output)
    click.echo("\n".join(summary(read_table(old), table)))
    if not dry_run:
        _write(output, encode_table(table))
        click.echo(f"Written to {output}; a gateway whose config names it takes it up")


def summary(before: PriceTable, after: PriceTable) -> list[str]:
    """What is different, in a few lines."""
    old, new = _flat(before), _flat(after)
    both = old.keys() & new.keys()
    changed = [f"{name}: {_difference(old[name], new[name])}" for name in sorted(both) if old[name] != new[name]]
    lines = [f"{len(new)} models as of {after.as_of}; before: {len(old)} as of {before.as_of}"]
    lines += _listed("added", sorted(new.keys() - old.keys()))
    lines += _listed("changed", changed)
    return lines + _listed("removed", sorted(old.keys() - new.keys()))


def _listed(what: str, names: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [f"{len(names)} {what}", *(f"  {name}" for name in names[:SHOWN]), *more]


def _flat(table: PriceTable) -> dict[str, ModelEntry]:
    return {f"{vendor}/{model}": entry for vendor, models in table.models.items() for model, entry in models.items()}


def _difference(old: ModelEntry, new: ModelEntry) -> str:
    before, after = (msgspec.to_builtins(entry, order="deterministic") for entry in (old, new))
    names = [name for name in after | before if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {before.get(name, '-')} to {after.get(name, '-')}" for name in names)


def _old(output: Path) -> bytes:
    """The table that is to be replaced: the one in the file, or the built-in one."""
    if not output.exists():
        return builtin_table()
    try:
        table = output.read_bytes()
        read_table(table)
    except OSError as error:
        raise click.ClickException(f"cannot read {output}: {error.strerror}") from error
    except UNREADABLE as error:
        raise click.ClickException(f"{output} is no price table, and is left as it is: {error}") from error
    return table


def _named(source: str) -> str:
    """A source as it may be shown and kept: an address may hold credentials before its host and behind its ``?``."""
    if "://" not in source:
        return Path(source).name
    scheme, _, rest = source.partition("://")
    authority, slash, path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _read(source: str) -> bytes:
    if "://" in source:
        return asyncio.run(_fetch(source))
    try:
        with Path(source).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"cannot read {source}: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise click.ClickException(f"{source} is larger than {MAX_BYTES // 2**20} MiB")
    return text


async def _fetch(url: str) -> bytes:
    """The body at an https address; proxies and authorities are those that the gateway itself would use."""
    try:
        parts = urlsplit(url)
    except ValueError:
        # Without its cause, which may quote the address.
        raise click.ClickException(f"cannot fetch {_named(url)}: it is no address") from None
    if parts.scheme != "https":
        raise click.ClickException("prices are fetched from files and https addresses only")
    snapshot = config.load(None, os.environ).snapshot
    loop = asyncio.get_running_loop()
    sweeper = Sweeper(loop)
    pool = Pool(UpstreamSettings() if snapshot is None else snapshot.upstream, sweeper, Outbox(loop))
    sweeper.start()
    try:
        host = pool.host(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = header_lines([(b"accept", b"*/*"), (b"user-agent", b"pointsman")])
        head = request_head(b"GET", target.encode(), host.host_header, lines)
        response = await host.send(head, b"", timeouts=TIMEOUTS)
        if response.status != 200:
            response.abort()
            raise click.ClickException(f"{_named(url)} answered with status {response.status}")
        return await response.read(MAX_BYTES)
    except (GatewayError, ValueError, OSError) as error:
        detail = getattr(error, "operator_detail", None)
        raise click.ClickException(f"cannot fetch {_named(url)}: {detail or error}") from error
    finally:
        await pool.close()
        sweeper.stop()


def _write(output: Path, text: bytes) -> None:
    """Replace the file as a whole: a gateway that starts meanwhile finds the old table or the new one."""
    try:
        descriptor, draft = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            Path(draft).chmod(0o644)
            Path(draft).replace(output)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
