"""Files that clients keep here, as rows. What they hold stands elsewhere: see :mod:`pointsman.store.blobs`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is whole."""

    id: str
    owner: str
    purpose: str
    filename: str
    bytes: int
    sha256: str
    """In hex."""
    blob: str
    """Under which name its bytes stand; another one each time that they are written."""
    created_at: float
    """In seconds since 1970, as ``expires_at``."""
    expires_at: float | None = None


class FileQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which files; ``None``: whatever they have."""

    now: float
    """What has expired by then is not among them."""
    owner: str | None = None
    purpose: str | None = None


class FileRecords(Protocol):
    """Rows of files. Each call has a deadline and raises :class:`~pointsman.store.base.StoreDown`."""

    async def realm(self) -> str:
        """Tells the blobs of these rows from those of others, for good: 16 hex digits."""

    async def put(self, row: FileRow) -> FileRow | None:
        """Write it down, in the place of the one with its id, which is given: its blob is of no use any more."""

    async def get(self, id: str) -> FileRow | None: ...  # noqa: A002  as the column is called

    async def find(
        self,
        query: FileQuery,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
        is_ascending: bool = False,
    ) -> list[FileRow]:
        """Files, the last one first unless said; ``after``: ``created_at`` and ``id`` of the last one before."""

    async def total(self, owner: str) -> int:
        """Bytes of all files of an owner."""

    async def extend(self, id: str, expires_at: float) -> None:  # noqa: A002  as the column is called
        """Let it expire then."""

    async def forget(self, ids: Collection[str]) -> None:
        """Delete the rows."""

    async def expired(self, before: float, limit: int = 500) -> list[FileRow]:
        """Files whose time was over before then."""

    async def known(self, blobs: Sequence[str]) -> set[str]:
        """Which of these blobs are of a file."""
