"""Files in memory, with the contract of those that last."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from itertools import count
from pathlib import Path

import msgspec

from pointsman.batches.files import Files
from pointsman.store.base import StoreDown
from pointsman.store.blobs import BlobsDown, DiskBlobs, Part, Span
from pointsman.store.files import FileQuery, FileRow
from pointsman.store.settings import FileSettings

NOW = 1_800_000_000.0


class MemoryFiles:
    """Rows of files, as long as the test lasts."""

    def __init__(self) -> None:
        self.rows: dict[str, FileRow] = {}
        self.is_down = False

    async def realm(self) -> str:
        self._check()
        return "0123456789abcdef"

    async def put(self, row: FileRow) -> FileRow | None:
        self._check()
        before, self.rows[row.id] = self.rows.get(row.id), row
        return before

    async def get(self, id: str) -> FileRow | None:  # noqa: A002  the protocol's
        self._check()
        return self.rows.get(id)

    async def find(
        self,
        query: FileQuery,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
        is_ascending: bool = False,
    ) -> list[FileRow]:
        self._check()
        rows = sorted(self.rows.values(), key=_place, reverse=not is_ascending)
        if after is not None:
            rows = [row for row in rows if (_place(row) > after if is_ascending else _place(row) < after)]
        return [row for row in rows if _fits(row, query)][:limit]

    async def total(self, owner: str) -> int:
        self._check()
        return sum(row.bytes for row in self.rows.values() if row.owner == owner)

    async def extend(self, id: str, expires_at: float) -> None:  # noqa: A002  the protocol's
        self._check()
        if id in self.rows:
            self.rows[id] = msgspec.structs.replace(self.rows[id], expires_at=expires_at)

    async def forget(self, ids: Collection[str]) -> None:
        self._check()
        for one in ids:
            self.rows.pop(one, None)

    async def expired(self, before: float, limit: int = 500) -> list[FileRow]:
        self._check()
        return [row for row in self.rows.values() if row.expires_at is not None and row.expires_at < before][:limit]

    async def known(self, blobs: Sequence[str]) -> set[str]:
        self._check()
        return {row.blob for row in self.rows.values()} & set(blobs)

    def _check(self) -> None:
        if self.is_down:
            raise StoreDown("it is away")


def _place(row: FileRow) -> tuple[float, str]:
    return row.created_at, row.id


def _fits(row: FileRow, query: FileQuery) -> bool:
    is_there = row.expires_at is None or row.expires_at > query.now
    return is_there and query.owner in (None, row.owner) and query.purpose in (None, row.purpose)


class BrokenBlobs:
    """Of which nothing can be read or written."""

    piece_bytes = 1

    def __init__(self, error: BlobsDown) -> None:
        self.error = error

    def begin(self, name: str) -> Part:
        raise self.error

    async def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        raise self.error

    async def delete(self, names: Collection[str]) -> None:
        raise self.error

    async def old(self, before: float) -> AsyncGenerator[list[str]]:
        for error in (self.error,):
            raise error
        yield []


def make_files(
    directory: Path,
    rows: MemoryFiles | None = None,
    settings: FileSettings | None = None,
    now: Callable[[], float] = lambda: NOW,
) -> Files:
    """Files in a directory, with ids that count."""
    numbers = count(1)
    chosen = settings or FileSettings()
    return Files(
        rows or MemoryFiles(), DiskBlobs(directory), lambda: chosen, now=now, make_id=lambda: f"{next(numbers):032x}"
    )
