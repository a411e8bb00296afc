"""Files as statements; see :class:`~pointsman.store.files.FileRecords`."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import sqlalchemy as sa

from pointsman.store.cleaning import clean, is_clean
from pointsman.store.files import FileQuery, FileRow
from pointsman.store.schema import files, meta

Read: TypeAlias = Callable[[Any], Awaitable[Sequence[sa.Row[Any]]]]
Work: TypeAlias = Callable[[sa.Connection], None]
CHUNK: Final = 500
"""Values that one statement names."""
REALM: Final = "files"
REALM_BYTES: Final = 8


class SqlFiles:
    """In a database."""

    def __init__(self, read: Read, write: Callable[[Work], Awaitable[None]], insert: Callable[[sa.Table], Any]) -> None:
        """``read`` gives the rows of a statement, ``write`` does something in one transaction."""
        self._read = read
        self._write = write
        self._insert = insert

    async def realm(self) -> str:
        asked = sa.select(meta.c.value).where(meta.c.name == REALM)
        if not (found := await self._read(asked)):
            made = {"name": REALM, "value": secrets.token_hex(REALM_BYTES)}
            added = self._insert(meta).on_conflict_do_nothing()
            await self._write(lambda connection: _execute(connection, added, made))
            found = await self._read(asked)
        return str(found[0][0])

    async def put(self, row: FileRow) -> FileRow | None:
        values = msgspec.structs.asdict(row)
        values["filename"] = clean(row.filename)
        before: list[FileRow] = []

        def work(connection: sa.Connection) -> None:
            here = sa.select(files).where(files.c.id == row.id).with_for_update()
            before[:] = map(_file, connection.execute(here))
            added = self._insert(files).values(values)
            changed = {name: added.excluded[name] for name in values if name != "id"}
            connection.execute(added.on_conflict_do_update(index_elements=["id"], set_=changed))

        await self._write(work)
        return before[0] if before else None

    async def get(self, id: str) -> FileRow | None:  # noqa: A002  as the column is called
        rows = await self._read(sa.select(files).where(files.c.id == id)) if is_clean(id) else ()
        return _file(rows[0]) if rows else None

    async def find(
        self,
        query: FileQuery,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
        is_ascending: bool = False,
    ) -> list[FileRow]:
        keys, column = (files.c.created_at, files.c.id), files.c
        statement = sa.select(files).where(sa.or_(column.expires_at.is_(None), column.expires_at > query.now))
        for name in ("owner", "purpose"):
            if (value := getattr(query, name)) is not None:
                statement = statement.where(column[name] == clean(value))
        if after is not None:
            place, last = sa.tuple_(*keys), sa.tuple_(*map(sa.literal, after))
            statement = statement.where(place > last if is_ascending else place < last)
        statement = statement.order_by(*(key if is_ascending else key.desc() for key in keys)).limit(limit)
        return [_file(row) for row in await self._read(statement)]

    async def total(self, owner: str) -> int:
        found = await self._read(sa.select(sa.func.sum(files.c.bytes)).where(files.c.owner == clean(owner)))
        return int(found[0][0] or 0)

    async def extend(self, id: str, expires_at: float) -> None:  # noqa: A002  as the column is called
        changed = sa.update(files).where(files.c.id == id).values(expires_at=expires_at)
        await self._write(lambda connection: _execute(connection, changed))

    async def forget(self, ids: Collection[str]) -> None:
        gone = sa.delete(files).where(files.c.id.in_(filter(is_clean, ids)))
        await self._write(lambda connection: _execute(connection, gone))

    async def expired(self, before: float, limit: int = 500) -> list[FileRow]:
        return [
            _file(row) for row in await self._read(sa.select(files).where(files.c.expires_at < before).limit(limit))
        ]

    async def known(self, blobs: Sequence[str]) -> set[str]:
        found = set[str]()
        for place in range(0, len(blobs), CHUNK):
            some = filter(is_clean, blobs[place : place + CHUNK])
            found |= {row.blob for row in await self._read(sa.select(files.c.blob).where(files.c.blob.in_(some)))}
        return found


def _execute(connection: sa.Connection, statement: Any, values: Any = None) -> None:
    connection.execute(statement, values)


def _file(row: sa.Row[Any]) -> FileRow:
    return FileRow(**row._mapping)  # noqa: SLF001  the only way to a row's names
