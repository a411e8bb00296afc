"""The decision log on disk: lines are queued by requests and written by a task of their own, many at a time.

A file is full at some size, and then another one begins; the oldest are deleted when all files together are too large.
What comes while the queue is full, or cannot be written, is lost and counted: no request ever waits for the disk.

Several processes write into the same directory, each into a file of its own that it holds a lock on. A file that
somebody holds is never deleted; one that nobody holds any more and that is not full is gone on with after a start.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

from pointsman.ml.decisionlog import AnyEvent, line

MAX_QUEUED = 10_000
MAX_FILE_BYTES = 32 << 20
MAX_BYTES = 512 << 20
"""Of all files together. What goes beyond it is what is written at once."""
PAUSE = 1.0
"""Seconds between two writes."""
SUFFIX = ".jsonl"
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW

log = logging.getLogger(__name__)


class DecisionLog:
    """Writes events into ``directory``, which is made when the first one is written."""

    def __init__(
        self, directory: Path, writer: str, *, max_file_bytes: int = MAX_FILE_BYTES, max_bytes: int = MAX_BYTES
    ) -> None:
        """``writer`` is in the names of the files that it begins, letters and digits that no other process has."""
        self.directory = directory
        self.dropped = 0
        """Events that were lost."""
        self._writer = writer
        self._max_file_bytes = max_file_bytes
        self._max_bytes = max_bytes
        self._queued: list[AnyEvent] = []
        self._file: _Held | None = None
        self._turn = asyncio.Lock()
        self._is_failing = False

    def put(self, event: AnyEvent) -> None:
        """Have ``event`` written soon."""
        if len(self._queued) >= MAX_QUEUED:
            self.dropped += 1
        else:
            self._queued.append(event)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Write what is queued, again and again, until this is cancelled."""
        while True:
            await sleep(PAUSE)
            await self.flush()

    async def flush(self) -> None:
        """Write what is queued."""
        async with self._turn:
            events, self._queued = self._queued, []
            if not events:
                return
            try:
                await asyncio.to_thread(self._write, events)
            except OSError as error:
                self.dropped += len(events)
                if not self._is_failing:
                    log.warning("decisions cannot be written to %s: %s", self.directory, error.strerror)
                self._is_failing = True
            else:
                self._is_failing = False

    async def close(self) -> None:
        """Write what is queued, and leave the file to whoever comes next."""
        await self.flush()
        async with self._turn:
            self._leave()

    def _write(self, events: list[AnyEvent]) -> None:
        data = b"".join(map(line, events))
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._file is not None and not (self._file.is_there and self._file.size < self._max_file_bytes):
            self._leave()
        self._make_room(len(data))
        if self._file is None:
            self._file = self._found() or self._begun()
        try:
            self._file.write(data)
        except OSError:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _found(self) -> _Held | None:
        """A file that its writer has left before it was full, the last of them."""
        for path in reversed(self._files()):
            held = _held(path)
            if held is not None:
                if held.is_there and held.size < self._max_file_bytes:
                    return held
                held.close()
        return None

    def _begun(self) -> _Held:
        number = max(map(_number, self._files()), default=0) + 1
        path = self.directory / f"decisions-{number:08d}-{self._writer}{SUFFIX}"
        return _Held(path, os.open(path, FLAGS | os.O_CREAT, 0o600))

    def _make_room(self, count: int) -> None:
        """Delete the oldest files that nobody holds; where these are not enough, this process lets go of its own."""
        excess = sum(map(_size, self._files())) + count - self._max_bytes
        if excess > 0:
            excess -= self._delete(excess)
        if excess > 0 and self._file is not None:
            self._leave()
            self._delete(excess)

    def _delete(self, excess: int) -> int:
        freed = 0
        for path in self._files():
            if freed >= excess:
                break
            held = _held(path)
            if held is not None:
                freed += held.size
                path.unlink(missing_ok=True)
                held.close()
        return freed

    def _files(self) -> list[Path]:
        """The oldest first."""
        return sorted(self.directory.glob(f"decisions-*{SUFFIX}"))


class _Held:
    """A file that is written by this process only, as long as it is held."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """:raises OSError: another one holds it; then ``descriptor`` is closed"""
        self.path = path
        self._descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    @property
    def is_there(self) -> bool:
        """Whether nobody has taken it away, or put another one in its place."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def write(self, data: bytes) -> None:
        """Add whole lines; half a one that was left there ends before them.

        :raises OSError: not all could be written
        """
        size = self.size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _held(path: Path) -> _Held | None:
    """An existing file, unless somebody holds it or it cannot be used."""
    try:
        return _Held(path, os.open(path, FLAGS))
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # somebody has taken it away
        return 0


def _number(path: Path) -> int:
    digits = path.name.split("-")[1]
    return int(digits) if digits.isdigit() else 0
