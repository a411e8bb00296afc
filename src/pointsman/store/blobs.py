"""Bytes of files, by names that are used once: in a directory, or in a bucket (see ``bucket_blobs.py``).

A blob is there whole or not at all. While it is written it is a part of another name, or of none, that nobody reads;
what a process leaves behind that was killed is told from blobs by its age, as is a blob whose row was never written.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias, TypeVar

PIECE_BYTES: Final = 1 << 20
"""That are held in memory while a blob is written."""
DISK_PIECE_BYTES: Final = 64 << 10
PART: Final = ".part"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FREE_BYTES: Final = 1 << 30
"""That are left on a disk for what else is on it, such as the database, or one part in :data:`FREE_SHARE`, if less."""
FREE_SHARE: Final = 20
NAMES: Final = 1000
"""That are looked at in one step."""
THREADS: Final = 4
"""Of their own: a slow disk is not to hold up the ledger, whose threads are the event loop's."""
T = TypeVar("T")

Span: TypeAlias = tuple[int, int]
"""Offset and length."""
Run: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Does something that blocks, in a thread."""


class BlobsDown(Exception):
    """The bytes of files cannot be read or written at the moment."""


class NoRoom(BlobsDown):
    """There is no room for more."""


class NoBlob(BlobsDown):
    """There is nothing of that name here."""


class Blobs(Protocol):
    """Where blobs are. Each method but ``begin`` raises :class:`BlobsDown`."""

    @property
    def piece_bytes(self) -> int:
        """That are best read at a time, of a blob that is read from its beginning to its end."""

    def begin(self, name: str) -> Part:
        """Nothing is done before something is written."""

    async def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        """Parts of a blob, in this order; none is empty.

        :raises NoBlob: it is not here
        """

    async def delete(self, names: Collection[str]) -> None:
        """Delete blobs; those that are not there are well."""

    def old(self, before: float) -> AsyncGenerator[list[str]]:
        """Names of all blobs, and of parts, that nobody has written to since then."""


class Part(ABC):
    """A blob that is being written, by one writer. Its calls raise :class:`BlobsDown`; whoever ends drops it.

    What blocks is done in threads, which nobody can stop: each takes the lock, and finds out whether there is still
    something to do.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._is_over = False
        self.bytes = 0
        """That were written."""

    async def write(self, piece: bytes) -> None:
        """Add something to its end."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        self.bytes += len(piece)
        if self._held_bytes >= PIECE_BYTES:
            held, self._held, self._held_bytes = self._held, [], 0
            await self._run(lambda: self._append(held))

    async def keep(self) -> str:
        """It is whole, and lasts from now on; gives its SHA-256, in hex."""
        await self._run(self._end)
        return self._digest.hexdigest()

    async def drop(self) -> None:
        """Forget it, unless it is kept."""
        await self._run(self._forget)

    def _append(self, pieces: list[bytes]) -> None:
        with self._lock:
            if not self._is_over:
                self._write(pieces)

    def _end(self) -> None:
        with self._lock:
            if self._is_over:
                raise BlobsDown("it was dropped")
            file = self._write(self._held)
            try:
                file.flush()
                self._keep(file)
                file.close()
            except OSError as error:
                raise fault(error) from error
            self._is_over = True

    def _write(self, pieces: list[bytes]) -> IO[bytes]:
        try:
            if self._file is None:
                self._file = self._open()
            check_room(self._file.fileno())
            for piece in pieces:
                self._file.write(piece)
                self._digest.update(piece)
        except OSError as error:
            raise fault(error) from error
        return self._file

    def _forget(self) -> None:
        with self._lock:
            if not self._is_over and self._file is not None:
                # What is still in its buffer has as little room as the rest had.
                with suppress(OSError):
                    self._file.close()
                self._remove()
            self._is_over = True

    @abstractmethod
    def _open(self) -> IO[bytes]:
        """Begin it."""

    @abstractmethod
    def _keep(self, file: IO[bytes]) -> None:
        """Let it be a blob."""

    @abstractmethod
    def _remove(self) -> None:
        """Let nothing be left of it."""


class DiskBlobs:
    """Files in a directory, which nobody else may read."""

    piece_bytes = DISK_PIECE_BYTES

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(THREADS, "files")

    def begin(self, name: str) -> Part:
        return _DiskPart(self._directory / name, self._run)

    async def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        return await self._run(partial(_read, self._directory / name, spans))

    async def delete(self, names: Collection[str]) -> None:
        await self._run(partial(_delete, [self._directory / name for name in names]))

    async def old(self, before: float) -> AsyncGenerator[list[str]]:
        names = await self._run(partial(_old, self._directory, before))
        for place in range(0, len(names), NAMES):
            yield names[place : place + NAMES]

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class _DiskPart(Part):
    def __init__(self, path: Path, run: Run) -> None:
        super().__init__(run)
        self._path = path
        self._part = path.with_name(path.name + PART)

    def _open(self) -> IO[bytes]:
        self._part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")

    def _keep(self, file: IO[bytes]) -> None:
        os.fsync(file.fileno())
        self._part.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _remove(self) -> None:
        _delete([self._part])


def check_room(descriptor: int) -> None:
    """:raises NoRoom: what is left of the disk of a file, or of the names that it has room for, is not for files"""
    disk = os.fstatvfs(descriptor)
    is_full = disk.f_bavail * disk.f_frsize < min(FREE_BYTES, disk.f_blocks * disk.f_frsize // FREE_SHARE)
    # Some have room for any number, and say that it is none.
    if is_full or disk.f_favail < disk.f_files // FREE_SHARE:
        raise NoRoom("what is left is kept for the database")


def fault(error: OSError) -> BlobsDown:
    """What an error of a disk comes to."""
    why = error.strerror or type(error).__name__
    return NoRoom(why) if error.errno in FULL else BlobsDown(why)


def _read(path: Path, spans: Sequence[Span]) -> list[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NoBlob(path.name) from error
    except OSError as error:
        raise fault(error) from error
    try:
        found = [os.pread(descriptor, length, offset) for offset, length in spans]
    except OSError as error:
        raise fault(error) from error
    finally:
        os.close(descriptor)
    check_lengths(path.name, spans, found)
    return found


def check_lengths(name: str, spans: Sequence[Span], found: Sequence[bytes]) -> None:
    """:raises BlobsDown: a blob is shorter than it was"""
    if any(len(piece) != length for piece, (_, length) in zip(found, spans, strict=True)):
        raise BlobsDown(f"{name} is shorter than it was")


def _delete(paths: Collection[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise fault(error) from error


def _old(directory: Path, before: float) -> list[str]:
    names = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                # One that goes meanwhile is well.
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before:
                        names.append(entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise fault(error) from error
    return names
