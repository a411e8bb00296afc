"""The first snapshot of a process: from its source, or from what was last good where its source is down.

A worker decides nothing for itself. It begins with what is in force, which is a fact on disk
(:mod:`pointsman.config.kept`); whatever its source has by then is judged as any other change is.
"""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pointsman.config.kept import Kept, LastGood
from pointsman.config.loading import Loaded, load, load_fetched
from pointsman.config.sources.base import Fetched, Source, SourceDown, Version
from pointsman.config.sources.file import FileSource, read_files
from pointsman.config.sources.objects import ObjectSource
from pointsman.config.sources.settings import SyncSettings, sync_settings
from pointsman.config.sources.stores import Bucket

FETCH_SECONDS = 120.0
"""In which all documents of a source have to be there: each of them may take long, and there may be many."""
PATIENCE = 1.0
"""Seconds that a bucket is waited for where there is something to start with instead."""
DIRECTORY = "last-good"
"""In the data directory."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the snapshot in force came from, and where the next ones will."""

    environ: Mapping[str, str] = field(repr=False)
    settings: SyncSettings
    source: Source | None = None
    """``None``: there is no config file; what the environment has is served."""
    kept: LastGood | None = None
    fetched: Fetched | None = field(default=None, repr=False)
    """What the first snapshot was made of."""
    refused: str = ""
    """The ETag from which somebody went back to that."""
    left: tuple[str, ...] = ()
    """Hashes of what somebody went back from."""
    problem: str | None = None
    """Why what the source has is not in force; it is to be taken up as soon as it can be."""
    notes: tuple[str, ...] = ()
    """What an operator should know of this start beside that."""
    is_kept: bool = False
    """Whether workers can begin with what is kept."""
    is_heir: bool = False
    """Whether this is a worker that has begun with it."""


class Begun(NamedTuple):
    """What a start gives."""

    loaded: Loaded
    origin: Origin


def begin(
    path: pathlib.Path | None,
    environ: Mapping[str, str],
    data: pathlib.Path,
    *,
    is_heir: bool = False,
    has_heirs: bool = False,
    at: str = "",
) -> Begun:
    """Load the config that the environment names, else the file at ``path``, else what the environment has.

    ``is_heir``: it is for a worker, which begins with what is in force. ``has_heirs``: there will be such workers.
    ``at`` is where the gateway listens. What it keeps is its own: others may have the same source and directory.

    :raises BadSetting: the environment says something that has no meaning
    :raises SourceDown: the bucket gives nothing, and nothing is kept
    """
    settings = sync_settings(environ)
    address = settings.address
    source: Source
    if address is not None:
        source = ObjectSource(address, Bucket(address.kind, address.bucket, environ), environ)
    elif path is not None:
        source = FileSource(path, environ)
    else:
        return Begun(load(None, environ), Origin(environ=environ, settings=settings))
    kept = LastGood(data / DIRECTORY, f"{source.name} {at}" if at else source.name)
    last = kept.latest()
    origin = Origin(environ=environ, settings=settings, source=source, kept=kept)
    if is_heir and last is not None:
        begun = _with(last, last.problem or None, replace(origin, is_heir=True))
        if begun.loaded.snapshot is not None:
            return begun
    # Whoever starts with a broken file is there to mend it; a bucket has other readers.
    is_once = not (is_heir or settings.has_hot_reload)
    of_file = None if address is not None or path is None else read_files(path, environ, is_once=is_once)
    begun = _of_bucket(last, origin) if of_file is None else _chosen(of_file, last, origin)
    # A file is on this disk anyway: it is kept for workers, or where it has a history whose newest it has to be.
    return _remembered(begun) if address is not None or has_heirs or last is not None else begun


def _of_bucket(last: Kept | None, origin: Origin) -> Begun:
    assert origin.source is not None
    try:
        fetched = asyncio.run(fetch(origin.source, None, FETCH_SECONDS if last is None else PATIENCE))
    except SourceDown as error:
        if last is None:
            raise
        return _with(last, f"{error}; serving what was in force before", origin)
    assert fetched is not None, "nothing is known yet that it could be the same as"
    begun = _chosen(fetched, last, origin)
    if begun.loaded.snapshot is not None or last is None:
        return begun
    problems = begun.loaded.problems
    first = next((str(one) for one in problems if one.severity == "error"), "it cannot be used")
    return _with(last, f"{first}; serving what was in force before", origin)


async def fetch(source: Source, known: Version | None, patience: float = FETCH_SECONDS) -> Fetched | None:
    """What :meth:`Source.fetch` gives, within so many seconds.

    :raises SourceDown: the same, or it is not there by then
    """
    try:
        async with asyncio.timeout(patience):
            return await source.fetch(known)
    except TimeoutError:
        raise SourceDown(f"{source.name} gave no answer within {patience:g} s") from None


def _chosen(fetched: Fetched, last: Kept | None, origin: Origin) -> Begun:
    """What was fetched, unless somebody went back from it."""
    if last is not None and last.refused == fetched.version.etag:
        begun = _with(last, None, origin)
        if begun.loaded.snapshot is not None:
            what = f"somebody went back from what {fetched.name} holds; serving what was in force before"
            return begun._replace(origin=replace(begun.origin, notes=(what,)))
    left = () if last is None else last.left
    return Begun(load_fetched(fetched, origin.environ), replace(origin, fetched=fetched, left=left))


def _with(last: Kept, problem: str | None, origin: Origin) -> Begun:
    """What is in force, or was so last."""
    origin = replace(origin, fetched=last.fetched, refused=last.refused, left=last.left, problem=problem)
    return Begun(load_fetched(last.fetched, origin.environ), origin)


def _remembered(begun: Begun) -> Begun:
    """The same, as the fact from which workers and other starts go on."""
    snapshot, origin = begun.loaded.snapshot, begun.origin
    if snapshot is None:
        return begun
    assert origin.kept is not None
    assert origin.fetched is not None
    left = tuple(one for one in origin.left if one != snapshot.hash)
    try:
        origin.kept.keep(origin.fetched, snapshot.hash, refused=origin.refused, left=left, problem=origin.problem or "")
    except OSError as error:
        what = f"the config cannot be kept in {origin.kept.directory}, so no start can do without its source"
        origin = replace(origin, notes=(*origin.notes, f"{what}: {error.strerror}"))
    else:
        origin = replace(origin, is_kept=True)
    return begun._replace(origin=replace(origin, left=left))
