"""A config file and what it includes, read and watched.

Watching is looking at where the files really are, and at their inodes, times and sizes: that sees an editor that
replaces a file by renaming, and Kubernetes, which swaps a symbolic link some directories above. What has changed is
read when two looks in a row find the same, so that a file is not read while it is being written.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pathlib
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from pointsman.config.sources.base import MAX_FILE_BYTES, Fetched, SourceCounts, SourceDown, Version
from pointsman.config.sources.collecting import collecting
from pointsman.telemetry.aside import aside

LOOK_SECONDS = 0.5
"""Between two looks."""
MOST_READS = 3
"""Of a file that changes under the reader."""
READ_SECONDS = 10.0
"""In which all files have to be read: a mount that hangs never answers."""

T = TypeVar("T")

Stamp = tuple[tuple[str, int, int, int] | None, ...]
"""Of each file: where it really is, inode, time and size; ``None``: it is not there."""


class FileSource:
    """One config file. Used by one task at a time."""

    kind: Literal["file"] = "file"

    def __init__(
        self,
        path: pathlib.Path,
        environ: Mapping[str, str],
        now: Callable[[], float] = time.time,
        patience: float = READ_SECONDS,
    ) -> None:
        """``environ`` may name tables."""
        self.path = path
        self.name = str(path.absolute())
        self.counts = SourceCounts()
        self._environ = environ
        self._now = now
        self._patience = patience
        self._begun: asyncio.Future[Any] | None = None
        self._files: tuple[str, ...] = (str(path),)
        self._read: Stamp | None = None
        self._seen: Stamp | None = None

    async def fetch(self, known: Version | None) -> Fetched | None:
        """All documents, or ``None`` if they are still those of ``known``.

        :raises SourceDown: the file cannot be read
        """
        self.counts.requests += 1
        try:
            fetched = await self._fetch()
        except SourceDown:
            self.counts.failures += 1
            raise
        return None if known is not None and known.etag == fetched.version.etag else fetched

    async def _fetch(self) -> Fetched:
        found = await self._aside(self._collect)
        if found is None:
            self._read = None
            raise SourceDown(f"cannot read {self.path}, or what it names: no answer within {self._patience:g} s")
        fetched, self._files, self._read = found
        if fetched.main in fetched.absent:
            raise SourceDown(f"cannot read {fetched.main}: {fetched.absent[fetched.main]}")
        return fetched

    async def look(self) -> bool:
        """Whether the files have changed since they were read, and have stopped doing so, or cannot be looked at.

        To be asked every :data:`LOOK_SECONDS`.
        """
        stamp = await self._aside(lambda: _stamp(self._files))
        if stamp is None:
            return True
        is_settled, self._seen = stamp == self._seen, stamp
        return is_settled and stamp != self._read

    async def _aside(self, work: Callable[[], T]) -> T | None:
        """What ``work`` gives; ``None``: it hangs, or what was begun before it still does. One thread at a time."""
        try:
            async with asyncio.timeout(self._patience):
                while self._begun is not None and not self._begun.done():
                    await asyncio.wait((self._begun,))
                given = self._begun = aside(work, "config")
                return await asyncio.shield(given)
        except TimeoutError:
            return None

    def _collect(self) -> tuple[Fetched, tuple[str, ...], Stamp]:
        """What was read between two equal looks: then nobody has written meanwhile, and all is of one version.

        :raises SourceDown: somebody writes all the time
        """
        seen: tuple[tuple[str, ...], Stamp | None] = self._files, self._read
        for _ in range(MOST_READS):
            fetched = read_files(self.path, self._environ, self._now)
            files = (*fetched.documents, *fetched.absent)
            before, seen = seen, (files, _stamp(files))
            if before == seen:
                return fetched, *seen
        self._read = None
        raise SourceDown(f"cannot read {self.path}: it, or what it names, changes all the time", "ask again")


def read_files(
    path: pathlib.Path, environ: Mapping[str, str], now: Callable[[], float] = time.time, *, is_once: bool = False
) -> Fetched:
    """A file and what it names; what cannot be read is in ``absent``, also where it is the file itself.

    ``is_once``: nobody will read them again, so they may be pipes, whose writers are waited for.
    """
    steps = collecting(str(path), environ)
    name = next(steps)
    try:
        while True:
            name = steps.send(file_bytes(name, may_wait=is_once))
    except StopIteration as end:
        documents, absent = end.value
    return Fetched(
        kind="file",
        name=str(path.absolute()),
        main=str(path),
        documents=documents,
        absent=absent,
        version=Version(digest(documents), now()),
    )


def digest(documents: dict[str, bytes]) -> str:
    """An ETag for documents that have none."""
    found = hashlib.sha256()
    for name, data in documents.items():
        found.update(f"{len(name)} {name} {len(data)} ".encode(errors="surrogateescape") + data)
    return found.hexdigest()


def file_bytes(name: str, *, may_wait: bool = False) -> bytes | str:
    """What a file holds, up to a byte more than it may; or why it cannot be read."""
    try:
        # A pipe has whoever opens it wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | (0 if may_wait else os.O_NONBLOCK))
        try:
            if not may_wait and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "not a regular file"
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "not a readable file"


def _stamp(names: Iterable[str]) -> Stamp:
    return tuple(map(_stamp_of, names))


def _stamp_of(name: str) -> tuple[str, int, int, int] | None:
    try:
        real = os.path.realpath(name)
        found = pathlib.Path(real).stat()
    except (OSError, ValueError):
        return None
    return real, found.st_ino, found.st_mtime_ns, found.st_size
