"""``pointsman batch``: many requests out of a file, run by a gateway whenever it has time for them."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import quote

import click
import msgspec

from pointsman.cli.calling import DEFAULT_URL, NotDone, Reached, master_key, reaching

T = TypeVar("T")
Command = Callable[..., Any]
OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
PIECE: Final = 64 << 10
MAX_FIRST_LINE: Final = 16 << 20
MISSES: Final = 30
"""Questions without an answer, one after the other, after which the gateway is given up."""
MAX_TOLD: Final = 20
"""Errors that are printed."""


def _of_a_gateway(command: Command) -> Command:
    """With the options that say which gateway."""
    url = click.option("--url", default=DEFAULT_URL, show_default=True, envvar="POINTSMAN_URL", help="Of the gateway.")
    key = click.option("--key", help="Default: POINTSMAN_MASTER_KEY, or the one that the gateway has made here.")
    return url(key(command))


_EVERY = click.option(
    "--every", type=click.FloatRange(0), default=1.0, show_default=True, help="Seconds between looks."
)


def _placed(_context: click.Context, _option: click.Parameter, output: Path | None) -> Path | None:
    """Where a file is to be, links followed, if one can be made there; a device is what it is."""
    if output is None or _is_device(output):
        return output
    place = output.resolve()
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise click.BadParameter(f"no file can be made in {place.parent}")
    return place


_OUTPUT = click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_placed,
    help="Where results go. Default: standard output.",
)


@click.group()
def batch() -> None:
    """Run the requests of a file, one a line, and fetch what came of them."""


@batch.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--endpoint", help="Such as /v1/chat/completions. Default: the url of the first line.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="Kept with the batch; several times.")
@click.option("--wait", "is_waited_for", is_flag=True, help="Until it has ended, and fetch the results.")
@_OUTPUT
@_EVERY
@_of_a_gateway
def submit(url: str, key: str | None, file: Path, endpoint: str | None, metadata: tuple[str, ...], **how: Any) -> None:
    """Upload a FILE of requests, and make a batch of it; its id is printed."""
    asked = {"endpoint": endpoint or _first_url(file), "completion_window": "24h", "metadata": _pairs(metadata)}

    size = file.stat().st_size

    async def run(gateway: Reached) -> dict[str, Any] | None:
        uploaded = await _upload(gateway, file, size)
        made = await gateway.ask("POST", "/v1/batches", asked | {"input_file_id": uploaded["id"]})
        click.echo(made["id"], err=how["is_waited_for"])
        return await _watched(gateway, made, how["every"]) if how["is_waited_for"] else None

    ended = _with(url, key, run)
    if ended is not None:
        _with(url, key, lambda gateway: _fetch(gateway, ended, how["output"]))
        _check(ended)


@batch.command()
@click.argument("batch_id")
@click.option("--watch", "is_watched", is_flag=True, help="Until it has ended.")
@_EVERY
@_of_a_gateway
def status(url: str, key: str | None, batch_id: str, every: float, *, is_watched: bool) -> None:
    """Say how far a batch is."""

    async def run(gateway: Reached) -> dict[str, Any]:
        found = await _show(gateway, batch_id)
        return await _watched(gateway, found, every) if is_watched else found

    found = _with(url, key, run)
    click.echo(_line(found))
    if is_watched:
        _check(found)


@batch.command()
@click.argument("batch_id")
@_of_a_gateway
def cancel(url: str, key: str | None, batch_id: str) -> None:
    """Begin no more requests of a batch."""
    click.echo(_line(_with(url, key, lambda gateway: gateway.ask("POST", _path(batch_id) + "/cancel"))))


@batch.command()
@click.argument("batch_id")
@click.option("--wait", "is_waited_for", is_flag=True, help="Until it has ended.")
@_OUTPUT
@_EVERY
@_of_a_gateway
def results(
    url: str, key: str | None, batch_id: str, output: Path | None, every: float, *, is_waited_for: bool
) -> None:
    """Fetch what came of a batch, one line for each request; those that failed too."""

    async def run(gateway: Reached) -> dict[str, Any]:
        found = await _show(gateway, batch_id)
        if is_waited_for:
            found = await _watched(gateway, found, every)
        if found["status"] not in OVER:
            raise NotDone(f"it has no results yet: {_line(found)}")
        await _fetch(gateway, found, output)
        return found

    _check(_with(url, key, run))


def _with(url: str, key: str | None, run: Callable[[Reached], Coroutine[Any, Any, T]]) -> T:
    async def reached() -> T:
        async with reaching(url, master_key(key)) as gateway:
            return await run(gateway)

    try:
        return asyncio.run(reached())
    except NotDone as error:
        raise click.ClickException(str(error)) from error


def _path(batch_id: str) -> str:
    return f"/v1/batches/{quote(batch_id, safe='')}"


async def _show(gateway: Reached, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await gateway.ask("GET", _path(batch_id))
    return found


async def _upload(gateway: Reached, file: Path, size: int) -> Any:
    boundary = secrets.token_hex(16)
    name = "".join(one if one.isprintable() and one not in '"\\' else "_" for one in file.name)
    disposition = f"--{boundary}\r\ncontent-disposition: form-data; name="
    head = f'{disposition}"purpose"\r\n\r\nbatch\r\n{disposition}"file"; filename="{name}"\r\n\r\n'.encode()
    tail = f"\r\n--{boundary}--\r\n".encode()

    async def body() -> AsyncIterator[bytes]:
        yield head
        with (
            file.open("rb") as opened,
            click.progressbar(length=size, label="upload", file=sys.stderr) as bar,
        ):
            while piece := opened.read(PIECE):
                yield piece
                bar.update(len(piece))
        yield tail

    kind = f"multipart/form-data; boundary={boundary}"
    return await gateway.send("/v1/files", kind, body(), len(head) + size + len(tail))


async def _watched(gateway: Reached, found: dict[str, Any], every: float) -> dict[str, Any]:
    """The batch when it has ended; meanwhile a bar shows how far it is."""
    while not found["request_counts"]["total"] and found["status"] not in OVER:
        found = await _next(gateway, found, every)
    total = found["request_counts"]["total"]
    with click.progressbar(
        length=total,
        label=found["id"],
        show_pos=True,
        item_show_func=lambda told: told,
        file=sys.stderr,
    ) as bar:
        _move(bar, found)
        while found["status"] not in OVER:
            found = await _next(gateway, found, every)
            _move(bar, found)
    return found


def _move(bar: Any, found: dict[str, Any]) -> None:
    counts = found["request_counts"]
    told = found["status"] + (f", {counts['failed']} failed" if counts["failed"] else "")
    bar.update(counts["completed"] + counts["failed"] - bar.pos, told)


async def _next(gateway: Reached, found: dict[str, Any], every: float) -> dict[str, Any]:
    """Look again; a gateway that is away for a while is waited for."""
    for miss in range(1, MISSES + 1):
        await asyncio.sleep(every)
        try:
            return await _show(gateway, found["id"])
        except NotDone as error:
            if miss == MISSES or (error.status is not None and error.status < 500):
                raise
    raise AssertionError


async def _fetch(gateway: Reached, found: dict[str, Any], output: Path | None) -> None:
    ids = [one for one in (found["output_file_id"], found["error_file_id"]) if one]
    if not ids:
        return
    if output is None:
        await _fetch_to(gateway, ids, sys.stdout.buffer)
        return
    # What is there stays until all has arrived; a device cannot be replaced.
    part = output if _is_device(output) else output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as opened:
            await _fetch_to(gateway, ids, opened)
        if part != output:
            part.replace(output)
    except OSError as error:
        raise NotDone(f"cannot write {part}: {error.strerror}") from error


def _is_device(output: Path) -> bool:
    return output.exists() and not output.is_file()


async def _fetch_to(gateway: Reached, ids: list[str], output: BinaryIO) -> None:
    def write(piece: bytes) -> None:
        output.write(piece)

    for one in ids:
        await gateway.fetch(f"/v1/files/{quote(one, safe='')}/content", write)
    output.flush()


def _line(found: dict[str, Any]) -> str:
    counts, tokens = found["request_counts"], (found.get("usage") or {}).get("total_tokens", 0)
    done = f"{counts['completed']} of {counts['total']} completed, {counts['failed']} failed, {tokens} tokens"
    return f"{found['id']}: {found['status']}{' (paused)' if found.get('is_paused') else ''}, {done}"


def _check(found: dict[str, Any]) -> None:
    """:raises ClickException: it did not come to its end"""
    if found["status"] == "completed":
        return
    errors = (found["errors"] or {}).get("data", [])
    for error in errors[:MAX_TOLD]:
        place = "" if error["line"] is None else f"line {error['line']}: "
        click.echo(f"{place}{error['message']}", err=True)
    if len(errors) > MAX_TOLD:
        click.echo(f"and {len(errors) - MAX_TOLD} more", err=True)
    raise click.ClickException(_line(found))


def _first_url(file: Path) -> str:
    with file.open("rb") as opened:
        lines = iter(lambda: opened.readline(MAX_FIRST_LINE), b"")
        line = next(filter(bytes.strip, lines), b"")
    try:
        return str(msgspec.json.decode(line)["url"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        raise click.UsageError("the first line of the file has no 'url': name the --endpoint") from None


def _pairs(given: tuple[str, ...]) -> dict[str, str] | None:
    pairs = [one.partition("=") for one in given]
    if not all(sign for _, sign, _ in pairs):
        raise click.UsageError("--metadata is NAME=VALUE")
    return {name: value for name, _, value in pairs} or None
