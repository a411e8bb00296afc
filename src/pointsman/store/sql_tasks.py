"""Tasks of agents as statements; see :class:`~pointsman.store.tasks.TaskRecords`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from pointsman.store.cleaning import is_clean
from pointsman.store.schema import a2a_contexts, a2a_push, a2a_tasks
from pointsman.store.tasks import ContextRow, Key, Others, TaskQuery, TaskRow

Read: TypeAlias = Callable[[Any], Awaitable[Sequence[sa.Row[Any]]]]
Work: TypeAlias = Callable[[sa.Connection], None]
CHUNK: Final = 500
"""Rows that are looked for, or deleted, with one statement."""


class SqlTasks:
    """In a database."""

    def __init__(
        self,
        read: Read,
        write: Callable[[Work], Awaitable[None]],
        insert: Callable[[sa.Table], Any],
        dialect: sa.Dialect,
    ) -> None:
        """``read`` gives the rows of a statement, ``write`` does something in one transaction."""
        self._read = read
        self._write = write
        self._insert = insert
        changing = ("context", "replica", "state", "is_over", "changed_at", "last_at")
        self._tasks = _Adding(a2a_tasks, changing, insert, dialect)
        self._contexts = _Adding(a2a_contexts, ("replica", "last_at"), insert, dialect)

    async def get(self, agent: str, id: str) -> TaskRow | None:  # noqa: A002  the protocol's
        rows = await self._read(sa.select(a2a_tasks).where(*_is(a2a_tasks, agent, id))) if is_clean(id) else ()
        return _task(rows[0]) if rows else None

    async def context(self, agent: str, id: str) -> ContextRow | None:  # noqa: A002  the protocol's
        statement = sa.select(a2a_contexts).where(*_is(a2a_contexts, agent, id))
        rows = await self._read(statement) if is_clean(id) else ()
        return ContextRow(**rows[0]._mapping) if rows else None  # noqa: SLF001  the only way to a row's names

    async def write(self, tasks: Sequence[TaskRow], contexts: Sequence[ContextRow]) -> Others:
        # In one order, so that two who write the same rows never wait for each other in a circle.
        tasks = sorted(tasks, key=lambda row: row.key)
        contexts = sorted(contexts, key=lambda row: row.key)
        others: list[Others] = []

        def work(connection: sa.Connection) -> None:
            others.append(Others(self._tasks.add(connection, tasks), self._contexts.add(connection, contexts)))

        await self._write(work)
        return others[-1]

    async def find(self, query: TaskQuery, *, after: tuple[float, str] | None = None, limit: int = 50) -> list[TaskRow]:
        place = sa.tuple_(a2a_tasks.c.changed_at, a2a_tasks.c.id)
        statement = sa.select(a2a_tasks).where(*_asked(query))
        if after is not None:
            statement = statement.where(place < sa.tuple_(*map(sa.literal, after)))
        statement = statement.order_by(a2a_tasks.c.changed_at.desc(), a2a_tasks.c.id.desc()).limit(limit)
        return [_task(row) for row in await self._read(statement)]

    async def count(self, query: TaskQuery) -> int:
        statement = sa.select(sa.func.count()).select_from(a2a_tasks).where(*_asked(query))
        return int((await self._read(statement))[0][0])

    async def owned(self, agent: str, owner: str, ids: Collection[str]) -> set[str]:
        column, wanted, found = a2a_tasks.c, [one for one in ids if is_clean(one)], set[str]()
        for place in range(0, len(wanted), CHUNK):
            chosen = (column.agent == agent, column.owner == owner, column.id.in_(wanted[place : place + CHUNK]))
            found |= {row.id for row in await self._read(sa.select(column.id).where(*chosen))}
        return found

    async def push(self, agent: str, task: str) -> dict[str, str]:
        column = a2a_push.c
        statement = sa.select(column.id, column.doc).where(column.agent == agent, column.task == task)
        return {row.id: row.doc for row in await self._read(statement)} if is_clean(task) else {}

    async def set_push(self, agent: str, task: str, id: str, doc: str | None) -> None:  # noqa: A002  the protocol's
        column = a2a_push.c

        def work(connection: sa.Connection) -> None:
            if doc is None:
                here = (column.agent == agent, column.task == task, column.id == id)
                connection.execute(sa.delete(a2a_push).where(*here))
                return
            added = self._insert(a2a_push)
            added = added.on_conflict_do_update(
                index_elements=["agent", "task", "id"], set_={"doc": added.excluded.doc}
            )
            connection.execute(added, {"agent": agent, "task": task, "id": id, "doc": doc})

        await self._write(work)

    async def sweep_tasks(self, *, over_before: float, before: float) -> int:
        column, count = a2a_tasks.c, 0
        old = sa.or_(sa.and_(column.is_over, column.last_at < over_before), column.last_at < before)
        while True:
            rows = await self._read(sa.select(column.agent, column.id).where(old).limit(CHUNK))
            keys = [(row.agent, row.id) for row in rows]
            if keys:
                await self._write(lambda connection, keys=keys: _delete(connection, keys))  # type: ignore[misc]
            count += len(keys)
            if len(keys) < CHUNK:
                break
        gone = sa.delete(a2a_contexts).where(a2a_contexts.c.last_at < before)
        await self._write(lambda connection: _execute(connection, gone))
        return count


class _Adding:
    """Adds rows, and changes those that are there as far as they are the same owner's and not newer."""

    def __init__(
        self, table: sa.Table, changing: Sequence[str], insert: Callable[[sa.Table], Any], dialect: sa.Dialect
    ) -> None:
        added = insert(table)
        new = added.excluded
        allowed = table.c.owner == new.owner
        if "changed_at" in changing:
            allowed = sa.and_(allowed, table.c.changed_at <= new.changed_at)
        values = {name: new[name] for name in changing}
        statement = added.on_conflict_do_update(index_elements=["agent", "id"], set_=values, where=allowed)
        # By the driver alone, for an answer waits for it.
        compiled = statement.compile(dialect=dialect, column_keys=table.c.keys())
        self._table = table
        self._text = str(compiled)
        self._values = attrgetter(*(compiled.positiontup or ()))

    def add(self, connection: sa.Connection, rows: Sequence[TaskRow] | Sequence[ContextRow]) -> frozenset[Key]:
        """Gives those that are somebody else's."""
        if not rows:
            return frozenset()
        done = connection.exec_driver_sql(self._text, [self._values(row) for row in rows])
        if done.rowcount == len(rows):
            return frozenset()
        return _taken(connection, self._table, {row.key: row.owner for row in rows})


def _taken(connection: sa.Connection, table: sa.Table, owners: Mapping[Key, str]) -> frozenset[Key]:
    """Those rows that are not whose they were taken to be."""
    keys, column, found = list(owners), table.c, set[Key]()
    for place in range(0, len(keys), CHUNK):
        here = sa.tuple_(column.agent, column.id).in_(keys[place : place + CHUNK])
        rows = connection.execute(sa.select(column.agent, column.id, column.owner).where(here))
        found |= {(row.agent, row.id) for row in rows if owners[row.agent, row.id] != row.owner}
    return frozenset(found)


def _delete(connection: sa.Connection, keys: Sequence[Key]) -> None:
    connection.execute(sa.delete(a2a_push).where(sa.tuple_(a2a_push.c.agent, a2a_push.c.task).in_(keys)))
    connection.execute(sa.delete(a2a_tasks).where(sa.tuple_(a2a_tasks.c.agent, a2a_tasks.c.id).in_(keys)))


def _execute(connection: sa.Connection, statement: Any) -> None:
    connection.execute(statement)


def _is(table: sa.Table, agent: str, id: str) -> tuple[Any, ...]:  # noqa: A002  as the column is called
    return table.c.agent == agent, table.c.id == id


def _asked(query: TaskQuery) -> list[Any]:
    column = a2a_tasks.c
    chosen = []
    for name in ("agent", "owner", "context", "state", "is_over"):
        value = getattr(query, name)
        if value is not None:
            chosen.append(column[name] == value)
    if query.since is not None:
        chosen.append(column.changed_at >= query.since)
    return chosen


def _task(row: sa.Row[Any]) -> TaskRow:
    return TaskRow(**row._mapping)  # noqa: SLF001  the only way to a row's names
