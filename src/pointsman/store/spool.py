"""Spend events on disk, as long as they cannot be written into the database.

Events are kept twice: what they cost in ``.rows`` files, and whole, with their content, in ``.whole`` files, which are
the first to go when all files together are too large. Writing an event into the database twice does no harm, so what
is read again after a crash, or by two processes, need not be known. Several processes write into one directory, each
into files that it holds locks on; a file that nobody holds can be read, and deleted, by any of them.

A file is frames of ``<length><CRC-32><count><MessagePack>``, in zlib or as it is; ``count`` tells of how many events.
A frame that is damaged, or torn at the end by a crash, is passed over; then the file is kept aside, under a name that
nobody reads.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pointsman.store.base import SpendEvent
from pointsman.store.cleaning import cleaned

MAX_BYTES: Final = 256 << 20
"""Of all files together."""
MAX_FILE_BYTES: Final = 4 << 20
MAX_FRAME_BYTES: Final = 64 << 20
"""Of events, unpacked."""
ROWS: Final = ".rows"
WHOLE: Final = ".whole"
DAMAGED: Final = ".damaged"
MAX_DAMAGED: Final = 8
"""Files that are kept aside."""
MAX_FRAME_EVENTS: Final = 4096
"""That a damaged frame is believed to have had."""
HEAD: Final = struct.Struct("<III")
ZLIB: Final = b"\x78"
"""What its data begin with, and no list in MessagePack."""
_encode: Final = msgspec.msgpack.Encoder(enc_hook=str).encode
log = logging.getLogger(__name__)


class SpoolFull(OSError):
    """There is no room for more, even without content."""


class Spool:
    """Files in ``directory``, which is made when the first one is written. For one thread at a time."""

    def __init__(
        self, directory: Path, writer: str, *, max_bytes: int = MAX_BYTES, max_file_bytes: int = MAX_FILE_BYTES
    ) -> None:
        """``writer`` is in the names of the files that it begins, letters and digits that no other process has."""
        self.directory = directory
        self.contents_dropped = 0
        """Events whose content found no room."""
        self._writer = writer
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._open: dict[str, Held] = {}
        self._count = 0

    def write(self, events: Sequence[SpendEvent], *, is_last: bool = False) -> None:
        """Add ``events``; they are on the disk then. ``is_last``: come what may, for the process is about to end.

        :raises SpoolFull: there is no room
        :raises OSError: the disk does not take them, and nothing was added that could be read
        """
        rows = framed(events)
        with_content = [event for event in events if event.content is not None]
        whole = framed(with_content, has_content=True) if with_content else b""
        has_room = self._make_room(len(rows), len(whole))
        if not has_room(len(rows)) and not is_last:
            raise SpoolFull("the spool of spend events is full")
        self._append(ROWS, rows)
        if with_content and not (has_room(len(rows) + len(whole)) and self._is_appended(WHOLE, whole)):
            self.contents_dropped += len(with_content)

    def take(self) -> Taken | None:
        """The oldest file that no other process holds, to be read; ``None``: there is none."""
        for path in self._files():
            own = next((kind for kind, held in self._open.items() if held.path == path), None)
            if own is not None:
                self._open.pop(own).close()
            held = _held(path)
            if held is not None:
                return Taken(held)
        return None

    def close(self) -> None:
        """Leave the files to whoever comes next."""
        for held in self._open.values():
            held.close()
        self._open.clear()

    def _is_appended(self, kind: str, frame: bytes) -> bool:
        try:
            self._append(kind, frame)
        except OSError:
            return False
        return True

    def _append(self, kind: str, frame: bytes) -> None:
        held = self._open.get(kind)
        if held is not None and (held.size >= self._max_file_bytes or not held.is_there):
            self._open.pop(kind).close()
            held = None
        if held is None:
            held = self._open[kind] = self._begun(kind)
        try:
            held.append(frame)
        except OSError:
            self._open.pop(kind).close()
            raise

    def _begun(self, kind: str) -> Held:
        self._count += 1
        return begun(self.directory, f"{self._writer}-{self._count}", kind)

    def _make_room(self, rows: int, whole: int) -> Callable[[int], bool]:
        """Delete contents, the oldest first, for so many bytes; gives which number of bytes there is room for.

        For contents only if that is enough to take them.
        """
        sizes = {path: _size(path) for path in self._files()}
        costs = sum(size for path, size in sizes.items() if path.suffix == ROWS)
        wanted = rows + whole if costs + rows + whole <= self._max_bytes else rows
        size = sum(sizes.values())
        for path in sizes:
            if size + wanted <= self._max_bytes:
                break
            if path.suffix == WHOLE:
                size -= self._delete(path)
        return lambda count: size + count <= self._max_bytes

    def _delete(self, path: Path) -> int:
        mine = self._open.get(WHOLE)
        if mine is not None and mine.path == path:
            self._open.pop(WHOLE).close()
        held = _held(path)
        if held is None:
            return 0
        freed = held.size
        self.contents_dropped += sum(map(len, Taken(held).batches()))
        path.unlink(missing_ok=True)
        held.close()
        return freed

    def _files(self) -> list[Path]:
        """The oldest first, and what things cost before what was said."""
        found = (path for path in self.directory.glob("spend-*") if path.suffix in (ROWS, WHOLE))
        return sorted(found, key=lambda path: (path.suffix, path.name))


class Taken:
    """A file that is read by this process only."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._unreadable = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of what was read so far could be."""
        return self._held.is_whole and not self._unreadable

    @property
    def lost(self) -> int:
        """Events whose cost could not be read so far."""
        return 0 if self._held.path.suffix == WHOLE else self._held.lost + self._unreadable

    def batches(self) -> Iterator[list[SpendEvent]]:
        """What was written together comes together."""
        decoder = msgspec.msgpack.Decoder(list[SpendEvent])
        for count, frame in self._held.frames():
            try:
                yield decoder.decode(frame)
            except msgspec.MsgspecError:
                self._unreadable += count
                log.error("%s has events that cannot be read", self._held.path)  # noqa: TRY400 - the bytes would be in it

    def delete(self) -> None:
        """All of it that can be read was written elsewhere."""
        path = self._held.path
        if self.is_whole:
            path.unlink(missing_ok=True)
        else:
            path.replace(path.with_suffix(DAMAGED))
            for old in sorted(path.parent.glob(f"*{DAMAGED}"))[:-MAX_DAMAGED]:
                old.unlink(missing_ok=True)
        self._held.close()

    def leave(self) -> None:
        """Let it be read again."""
        self._held.close()


class Held:
    """A file with a lock on it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._is_closed = False
        self.is_whole = True
        """Whether all frames that were read were."""
        self.lost = 0
        """Events in frames that were not, as far as these tell."""

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    @property
    def is_there(self) -> bool:
        """Whether nobody has deleted it, or put another one in its place."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def append(self, frame: bytes) -> None:
        """:raises OSError: not all of it is on the disk; then none of it is in the file"""
        size = self.size
        try:
            rest = memoryview(frame)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def append_quickly(self, frame: bytes, size: int) -> None:
        """Add to ``size`` bytes what then outlives this process, but perhaps not this machine.

        :raises OSError: it is not in the file
        """
        written = os.write(self._descriptor, frame)
        if written != len(frame):
            self.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def truncate(self, size: int = 0) -> None:
        os.ftruncate(self._descriptor, size)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """How many events each has, and what it holds. Those that are not whole are passed over."""
        offset, self.is_whole, self.lost = 0, True, 0
        while head := os.pread(self._descriptor, HEAD.size, offset):
            length, crc, count = HEAD.unpack(head.ljust(HEAD.size, b"\0"))
            packed = os.pread(self._descriptor, length, offset + HEAD.size) if length <= MAX_FRAME_BYTES else b""
            if len(head) != HEAD.size or len(packed) != length:
                self.is_whole = False
                log.warning("%s is not whole: what follows its first %d bytes is lost", self.path, offset)
                return
            if zlib.crc32(packed) == crc:
                yield count, _unpacked(packed)
            else:
                self.is_whole = False
                self.lost += min(max(count, 1), MAX_FRAME_EVENTS)
                log.warning("%s is damaged: %d bytes after its first %d are lost", self.path, length, offset)
            offset += HEAD.size + length

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            os.close(self._descriptor)


def _held(path: Path, flags: int = 0) -> Held | None:
    """``None``: somebody else holds it, or has deleted it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    except FileNotFoundError:
        return None
    held = Held(path, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    if not held.is_there:
        held.close()
        return None
    return held


def begun(directory: Path, name: str, kind: str) -> Held:
    """A new file, after all that there are.

    :raises OSError: it cannot be made
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"spend-{time.time_ns():020d}-{name}{kind}"
    held = _held(path, os.O_CREAT | os.O_EXCL)
    if held is None:
        raise OSError(f"{path} cannot be made")
    return held


def framed(events: Sequence[SpendEvent], *, has_content: bool = False, is_packed: bool = True) -> bytes:
    """Events as they stand in a file; ``is_packed``: small rather than quick."""
    if not has_content:
        events = [event if event.content is None else msgspec.structs.replace(event, content=None) for event in events]
    try:
        data = _encode(events)
    except UnicodeEncodeError:
        data = _encode(cleaned(msgspec.to_builtins(events, enc_hook=str)))
    if is_packed:
        data = zlib.compress(data, 1)
    return HEAD.pack(len(data), zlib.crc32(data), len(events)) + data


def _unpacked(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MAX_FRAME_BYTES) if data.startswith(ZLIB) else data


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
