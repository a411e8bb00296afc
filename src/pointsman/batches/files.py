"""Files that clients keep here: to be worked on by batches, or what batches have given.

A file is a row in the store and a blob beside it. The blob is written first and deleted last, so that there is never a
row without one; a blob without a row is of no use, and :meth:`Files.sweep` finds it when it is old.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import acts_for, is_admin
from pointsman.errors import InvalidRequest, ObjectNotFound, Overloaded, StorageFull
from pointsman.store.base import StoreDown
from pointsman.store.blobs import PART, PIECE_BYTES, Blobs, BlobsDown, NoBlob, NoRoom, Part, Span
from pointsman.store.files import FileQuery, FileRecords, FileRow
from pointsman.store.settings import FileSettings

EVERYBODY: Final = ""
"""The owner who sees the files of all."""
BATCH: Final = "batch"
OUTPUT: Final = "batch_output"
PURPOSES: Final = ("assistants", BATCH, "fine-tune", "vision", "user_data", "evals")
"""For which clients send files."""
OF_BATCHES: Final = frozenset({BATCH, OUTPUT})
ORPHAN_SECONDS: Final = 6 * 3600.0
"""After which a blob that no row names is nobody's, and who wrote a part is not there any more."""
ONCE: Final = (("x-should-retry", "false"),)
"""Tells SDKs not to send it all again at once."""
EXPIRED: Final = 500
"""Files that go in one step."""
ID_DIGITS: Final = 32


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a file when it comes to be."""

    owner: str
    purpose: str
    filename: str
    expires_seconds: float | None = None
    """From now on; ``None``: as long as files of that purpose are kept."""
    id: str | None = None
    """Takes the place of the one of that id, if there is any; see :func:`file_id`."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list of files."""

    purpose: str | None = None
    after: str | None = None
    """The id of the last one before."""
    limit: int = 100
    is_ascending: bool = False


class Line(NamedTuple):
    """A line of a file, without what ends it."""

    offset: int
    length: int
    data: bytes | None
    """``None``: it is longer than was asked for."""


def owner_of(caller: Caller) -> str:
    """Whose files, and batches, a caller's are, and which ones he sees: those of his user, else of his key.

    An admin sees those of everybody. A key that somebody else may know has none of its user's, only its own.
    """
    if is_admin(caller):
        return EVERYBODY
    user_id = acts_for(caller)
    return f"key:{caller.account}" if user_id is None else f"user:{user_id}"


def file_id(seed: str) -> str:
    """The same for the same seed: whoever writes a file again after a crash writes that one."""
    return "file-" + hashlib.sha256(seed.encode()).hexdigest()[:ID_DIGITS]


class Files:
    """All files of this gateway. Who names an owner gets at that owner's files only.

    All of it raises :class:`Overloaded` where the store or the blobs are away, and :class:`StorageFull` where there is
    no room.
    """

    def __init__(
        self,
        rows: FileRecords,
        blobs: Blobs,
        settings: Callable[[], FileSettings],
        now: Callable[[], float],
        make_id: Callable[[], str],
    ) -> None:
        """``now`` is in seconds since 1970; ``make_id`` gives letters and digits that nobody can guess."""
        self.rows = rows
        self.blobs = blobs
        self._settings = settings
        self.now = now
        self._make_id = make_id

    @property
    def settings(self) -> FileSettings:
        """Those in force."""
        return self._settings()

    def begin(self, new: NewFile) -> Writing:
        """A file to be written: ``async with files.begin(...) as writing``."""
        return Writing(self, new, self._make_id())

    def made(self, new: NewFile, blob: str, size: int, sha256: str) -> FileRow:
        """The row of a file whose blob is whole."""
        seconds = new.expires_seconds
        if seconds is None and new.purpose in OF_BATCHES:
            seconds = self.settings.batch_seconds
        now = self.now()
        return FileRow(
            id=new.id or "file-" + self._make_id(),
            owner=new.owner,
            purpose=new.purpose,
            filename=new.filename,
            bytes=size,
            sha256=sha256,
            blob=blob,
            created_at=now,
            expires_at=None if seconds is None else now + seconds,
        )

    async def check_share(self, owner: str) -> None:
        """:raises StorageFull: he has as much as anybody can have"""
        if owner == EVERYBODY:
            return
        most = self.settings.max_owner_bytes
        with translated():
            total = await self.rows.total(owner)
        if total >= most:
            raise StorageFull(f"Your files have {total} of {most} bytes: delete some of them", headers=ONCE)

    async def keep(self, row: FileRow, seconds: float) -> None:
        """Let a file not expire for so long."""
        until = self.now() + seconds
        if row.expires_at is not None and row.expires_at < until:
            with translated():
                await self.rows.extend(row.id, until)

    async def find(self, owner: str, file_id: str) -> FileRow:
        """:raises ObjectNotFound: there is none, or somebody else has it"""
        with translated():
            row = await self.rows.get(file_id)
        if row is None or owner not in (EVERYBODY, row.owner) or _is_expired(row, self.now()):
            raise ObjectNotFound(f"There is no file {file_id[:100]!r}", param="file_id")
        return row

    async def list_files(self, owner: str, wanted: Wanted) -> tuple[list[FileRow], bool]:
        """Files, the last one first unless said, and whether there are more.

        :raises InvalidRequest: ``after`` names no file
        """
        after = None
        if wanted.after is not None:
            try:
                last = await self.find(owner, wanted.after)
            except ObjectNotFound:
                raise InvalidRequest("'after' names no file: give the id of the last one", param="after") from None
            after = last.created_at, last.id
        query = FileQuery(owner=None if owner == EVERYBODY else owner, purpose=wanted.purpose, now=self.now())
        with translated():
            rows = await self.rows.find(query, after=after, limit=wanted.limit + 1, is_ascending=wanted.is_ascending)
        return rows[: wanted.limit], len(rows) > wanted.limit

    async def delete(self, owner: str, file_id: str) -> FileRow:
        """:raises ObjectNotFound: there is none, or somebody else has it"""
        row = await self.find(owner, file_id)
        with translated():
            await self.rows.forget([row.id])
        # It is gone: what is left of it, if that cannot be deleted now, is found later.
        with suppress(BlobsDown):
            await self.blobs.delete([row.blob])
        return row

    async def read(self, row: FileRow, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """What stands from ``start`` until before ``end``, in pieces as its place gives them best."""
        end = row.bytes if end is None else min(end, row.bytes)
        while start < end:
            size = min(self.blobs.piece_bytes, end - start)
            with translated():
                piece = (await self.blobs.spans(row.blob, [(start, size)]))[0]
            start += size
            yield piece

    async def spans(self, row: FileRow, spans: Sequence[Span]) -> list[bytes]:
        """What stands at these offsets, of these lengths, in this order; none of them is empty."""
        with translated():
            return await self.blobs.spans(row.blob, spans)

    async def lines(self, row: FileRow, start: int = 0, limit: int = PIECE_BYTES) -> AsyncGenerator[Line]:
        """All lines, the empty ones too; ``start`` is where one begins, and ``limit`` the most bytes that are held."""
        offset, length, held = start, 0, list[bytes]()
        async with aclosing(self.read(row, start)) as pieces:
            async for piece in pieces:
                *ended, rest = piece.split(b"\n")
                for part in ended:
                    yield _line(offset, length + len(part), [*held, part], limit)
                    offset, length, held = offset + length + len(part) + 1, 0, []
                length += len(rest)
                # With room for what may stand before the line's end. What is too long is counted only.
                held = [*held, rest] if length <= limit + 1 else []
        if length:
            yield _line(offset, length, held, limit)

    async def sweep(self) -> int:
        """Delete what has expired and what nobody has any more; gives how many files and blobs went."""
        count, now = 0, self.now()
        with translated():
            while rows := await self.rows.expired(now, EXPIRED):
                await self.rows.forget([row.id for row in rows])
                await self.blobs.delete([row.blob for row in rows])
                count += len(rows)
            async with aclosing(self.blobs.old(now - ORPHAN_SECONDS)) as old:
                async for names in old:
                    known = await self.rows.known(names)
                    lost = [name for name in names if name.endswith(PART) or name not in known]
                    await self.blobs.delete(lost)
                    count += len(lost)
        return count


class Writing:
    """A file that is being written. What is not finished when its context ends was never there."""

    def __init__(self, files: Files, new: NewFile, blob: str) -> None:
        self._files = files
        self._new = new
        self._blob = blob
        self._part: Part = files.blobs.begin(blob)
        self._may_be_kept = False
        self._is_told = False

    @property
    def size(self) -> int:
        """Bytes that were written."""
        return self._part.bytes

    async def write(self, piece: bytes) -> None:
        """Add something to its end."""
        with translated():
            await self._part.write(piece)

    async def finish(self, new: NewFile | None = None) -> FileRow:
        """It is whole; ``new`` is what is said of it in the place of what was said first."""
        with translated():
            # Whoever is cancelled while it is being kept does not hear that it was.
            self._may_be_kept = True
            sha256 = await self._part.keep()
            row = self._files.made(new or self._new, self._blob, self._part.bytes, sha256)
            # From here on it may be there although nobody is told so.
            self._is_told = True
            before = await self._files.rows.put(row)
        if before is not None:
            with suppress(BlobsDown):
                await self._files.blobs.delete([before.blob])
        return row

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_told:
            return
        with suppress(BlobsDown):
            await self._part.drop()
            if self._may_be_kept:
                await self._files.blobs.delete([self._blob])


@contextmanager
def translated() -> Iterator[None]:
    """What goes wrong with the store and the blobs, as callers are told."""
    try:
        yield
    except NoRoom as error:
        raise StorageFull(operator_detail=f"files: {error}", headers=ONCE) from error
    except NoBlob as error:
        what = "What this file holds cannot be found by this gateway: it may be on another machine"
        raise Overloaded(what, code="content_unavailable", operator_detail=f"there is no blob {error}") from error
    except BlobsDown as error:
        what = "Files cannot be read or written at the moment; try again"
        raise Overloaded(what, code="files_unavailable", retry_after=1, operator_detail=str(error)) from error
    except StoreDown as error:
        what = "The store cannot be reached at the moment; try again"
        raise Overloaded(what, code="store_unavailable", retry_after=1, operator_detail=str(error)) from error


def _is_expired(row: FileRow, now: float) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _line(offset: int, length: int, held: list[bytes], limit: int) -> Line:
    if length > limit + 1:
        return Line(offset, length, None)
    data = b"".join(held).removesuffix(b"\r")
    return Line(offset, len(data), data if len(data) <= limit else None)
