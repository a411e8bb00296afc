"""What is in force, as a fact on disk, and what was so before: for a start whose source is down, and to go back.

The newest file is the fact: which documents are in force, from which version of the source, and from what somebody went
back. Going back makes the documents the newest again, and removes where they were, so all of them stay within reach.

Each is one file with mode 0600, since documents may hold credentials. It is written beside its place, brought to the
disk, and renamed: whenever the process ends, what can be found is whole. A lock keeps the workers of one gateway out of
each other's way. What a disk has spoilt is passed over.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from pointsman.config.sources.base import Fetched

MAX_KEPT = 5
"""Of one source."""
MAX_FILES = 40
"""Of all sources whose documents are kept in this directory."""
LOCK_SECONDS = 2.0
PAUSE = 0.01
_SUFFIX = ".kept"
_DRAFT = ".draft"
_DIGEST_BYTES = 64
_OURS = re.compile(r"[0-9]{10}-[0-9a-f]{12}\.kept")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Documents that were in force."""

    fetched: Fetched
    """Its ``kind`` is ``last good``."""
    hash: str
    """Of the snapshot that was made of them."""
    at: float
    """Unix time at which it came into force."""
    refused: str = ""
    """The ETag from which somebody went back to these: a source that still has it does not replace them."""
    left: tuple[str, ...] = ()
    """Hashes of what somebody went back from, among those that are kept."""
    problem: str = ""
    """Why these are in force and not what the source has, since a start could not get that."""


class LastGood:
    """The history of one source. Calls touch the disk."""

    def __init__(self, directory: Path, name: str, now: Callable[[], float] = time.time) -> None:
        """``name`` is the source's; the directory is made when there is something to keep."""
        self.directory = directory
        self._mark = "-" + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12] + _SUFFIX
        self._now = now

    def keep(
        self,
        fetched: Fetched,
        hash: str,  # noqa: A002 - a snapshot's word
        *,
        refused: str = "",
        left: Collection[str] = (),
        problem: str = "",
    ) -> None:
        """Remember documents as the ones in force; a fact that is known already is not written again.

        :raises OSError: they could not be written; what was there before still is
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            before = list(self.history())
            left = tuple(one.hash for one in before if one.hash in left)
            now = Kept(
                fetched=_as_last_good(fetched), hash=hash, at=self._now(), refused=refused, left=left, problem=problem
            )
            if before and _said(before[0]) == _said(now):
                return
            files = self._files("*" + _SUFFIX)
            number = 1 + max((int(file.name.partition("-")[0]) for file in files), default=0)
            _write(self.directory / f"{number:010d}{self._mark}", _packed(now))
            self._prune()

    def latest(self) -> Kept | None:
        """What is in force, or was so last, if anything was."""
        return self.previous(0)

    def previous(self, n: int = 1) -> Kept | None:
        """What was in force ``n`` changes ago, where each is counted once."""
        return next(islice(self.history(), n, None), None)

    def history(self) -> Iterator[Kept]:
        """What was in force, the newest first, and each once."""
        return (kept for _, kept, is_again in self._whole() if not is_again)

    def _whole(self) -> Iterator[tuple[Path, Kept, bool]]:
        """The newest first, and whether a newer one is the same: its writer ended, or what is in variables changed."""
        seen: set[str] = set()
        for file in reversed(self._files("*" + self._mark)):
            kept = _read(file)
            if kept is not None:
                marks = {kept.hash, _digest(kept.fetched)}
                yield file, kept, not seen.isdisjoint(marks)
                seen |= marks

    def _files(self, pattern: str) -> list[Path]:
        """Oldest first."""
        return sorted(file for file in self.directory.glob(pattern) if _OURS.fullmatch(file.name))

    def _prune(self) -> None:
        for file in [file for file, _, is_again in self._whole() if is_again]:
            file.unlink(missing_ok=True)
        for file in self._files("*" + self._mark)[:-MAX_KEPT]:
            file.unlink(missing_ok=True)
        files = self._files("*" + _SUFFIX)
        newest = set({file.name.partition("-")[2]: file for file in files}.values())
        # Of a source that seldom changes, the one in force outlives what was so before of busier ones.
        old = sorted(files, key=lambda file: (file in newest, file.name))[: max(0, len(files) - MAX_FILES)]
        # Whoever has the lock is the only one who writes: these drafts are of processes that are no more.
        for file in (*old, *self.directory.glob("*" + _DRAFT)):
            file.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / ".lock").open("w") as file:
            _lock(file)
            yield


def earlier(history: Iterable[Kept], hash_: str | None, left: Collection[str]) -> Kept | None:
    """The one with that hash; without one, the last that was not left."""
    return next((one for one in history if one.hash == hash_ or (hash_ is None and one.hash not in left)), None)


def _lock(file: IO[str]) -> None:
    """Until the file is closed.

    :raises OSError: somebody else has it, and does not end
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE)


def _as_last_good(fetched: Fetched) -> Fetched:
    return msgspec.structs.replace(fetched, kind="last good")


def _said(kept: Kept) -> tuple[object, ...]:
    return kept.hash, kept.fetched.version.etag, kept.refused, kept.left, kept.problem


def _digest(fetched: Fetched) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(fetched.documents)).hexdigest()


def _packed(kept: Kept) -> bytes:
    body = msgspec.msgpack.encode(kept)
    return hashlib.sha256(body).hexdigest().encode() + body


def _read(file: Path) -> Kept | None:
    """``None``: it is not whole, or not ours."""
    try:
        data = file.read_bytes()
        digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        return msgspec.msgpack.decode(body, type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, data: bytes) -> None:
    draft = path.with_suffix(_DRAFT)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        # Until then the new name may be lost with the power, though not the old ones.
        os.fsync(directory)
    finally:
        os.close(directory)
