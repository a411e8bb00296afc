"""``Records`` on SQLAlchemy: the same statements for both engines, and a backend for what they do differently."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import chain
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pointsman.store import ledger
from pointsman.store.asking import CLOSE_SECONDS, causes, code_of
from pointsman.store.auditing import START, Chain, chained
from pointsman.store.base import (
    COLUMNS,
    HOURS_KEPT,
    UNIQUE,
    Audit,
    Audited,
    AuditFault,
    Change,
    Changes,
    Conflict,
    Refused,
    Row,
    Spend,
    SpendEvent,
    StoreDown,
    Unusable,
    Where,
    usd,
)
from pointsman.store.calls import Calls
from pointsman.store.cleaning import clean, is_clean, json
from pointsman.store.ledger import Stored
from pointsman.store.schema import ADMIN, audit, changes, contents, meta, spend, sums
from pointsman.store.settings import RecordSettings
from pointsman.store.sql_files import SqlFiles
from pointsman.store.sql_tasks import SqlTasks
from pointsman.store.sql_work import SqlWork

T = TypeVar("T")
Adding: TypeAlias = Callable[[sa.Connection, list[Stored]], list[Stored]]
"""Adds events, and gives those that were not there before."""
MAX_TOLD: Final = 1_000
"""Changes that :meth:`SqlRecords.changed_since` names; more are told as a whole."""
CHANGES_KEPT: Final = 10_000
AT_ONCE: Final = 512
"""Events that are put into words for the database in one turn of the event loop, which takes a millisecond."""
PAGE: Final = 1_000
"""Rows that are read at a time, where all have to be."""
HEAD: Final = "audit"


class Backend(Protocol):
    """What an engine does in its own way."""

    reading: AsyncEngine
    """Without transactions."""
    writing: AsyncEngine
    insert: Callable[[Any], Any]
    """With ``on_conflict``."""
    faults: tuple[type[Exception], ...]
    """The driver's own, when there is no connection yet."""
    refusals: tuple[type[Exception], ...]
    """The driver's own, when it or the database is well and does not take a value."""
    sizes: Sequence[int]
    """How many rows one statement may insert, the most first and 1 last; of 1 alone the driver makes the best."""
    foreign: frozenset[str]
    """Codes of errors, when it is opened, that say that what is there is not ours or is damaged."""
    what: str

    async def migrate(self) -> None:
        """Bring the schema up to date; one process at a time."""

    async def become_the_one_who_changes(self, connection: AsyncConnection) -> None:
        """Until the end of the transaction nobody else changes admin rows."""

    async def append(self, work: Callable[[sa.Connection], T]) -> T:
        """Do ``work`` in one transaction."""

    async def make_days(self, days: Sequence[int]) -> None:
        """Make places for events of these days since 1970."""

    def forget_days(self) -> None:
        """Do not rely on places that were made before."""

    async def drop_days(self, table: sa.Table, before: int) -> int:
        """Delete the rows of days before this one; gives how many days went."""

    async def take_stock(self) -> None:
        """Let the planner of queries know what is in the tables."""

    async def tell(self, connection: AsyncConnection, number: int) -> None:
        """Let other processes know of a change when it is committed."""

    has_work: asyncio.Event
    """Set when somebody has told of work for batches."""

    def time(self, connection: sa.Connection) -> float:
        """Of the database, in seconds since 1970."""

    def announce(self, connection: sa.Connection) -> None:
        """Let everybody know of work for batches when it is committed."""

    async def wait_for_work(self, patience: float) -> None:
        """Until ``has_work`` is set, which is undone then, or for ``patience`` seconds."""

    async def others(self) -> int:
        """How many other gateways are connected."""

    async def wait(self, patience: float) -> None:
        """Until another process tells, or for ``patience`` seconds or less."""

    async def close(self) -> None: ...


class SqlRecords:
    """See :class:`~pointsman.store.base.Records`."""

    def __init__(self, backend: Backend, settings: RecordSettings, now: Callable[[], float] | None = None) -> None:
        """``now`` is the time, where it is not to be the database's or this machine's."""
        self._backend = backend
        self._settings = settings
        self._now = now or time.time
        self._calls, self._queueing = Calls(backend, settings), Calls(backend, settings, "batches")
        self._asking = self._calls.asking
        self._adding = str(sa.insert(spend).compile(dialect=backend.writing.dialect, column_keys=ledger.COLUMNS))
        values = self._adding.partition(" VALUES ")[2]
        self._statements = {size: self._adding + f", {values}" * (size - 1) for size in backend.sizes[:-1]}
        self._counting = ledger.adding(backend.insert)
        self._read = self._calls.read
        self.tasks = SqlTasks(self._read, self._calls.write, backend.insert, backend.writing.dialect)
        self.work = SqlWork(self._queueing.read, self._queueing.page, self._queueing.write, backend, now)
        self.files = SqlFiles(self._read, self._calls.write, backend.insert)

    @property
    def is_down(self) -> bool:
        """Whether it is not asked at the moment, but for a trial now and then."""
        return self._asking.breaker.is_open

    async def open(self) -> None:
        """Bring the schema up to date.

        :raises Unusable: it is no database of ours
        """
        try:
            await self._asking.ask(self._backend.migrate, self._settings.open_seconds)
        except StoreDown as error:
            if any(code_of(one) in self._backend.foreign for one in causes(error)):
                raise Unusable(str(error)) from error
            raise

    async def close(self) -> None:
        """End the calls that are open, and the connections."""
        await asyncio.gather(self._asking.close(), self._queueing.asking.close())
        # A frozen server would keep us waiting for its goodbye.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._backend.close()

    async def others(self) -> int:
        """How many other gateways are connected."""
        return await self._asking.ask(self._backend.others, self._settings.write_seconds)

    # Admin rows

    async def get(self, table: str, id: str) -> Row | None:  # noqa: A002
        if not is_clean(id):
            return None
        columns = ADMIN[table].c
        rows = await self._read(sa.select(columns.id, columns.doc, columns.version).where(columns.id == id))
        return _row(rows[0]) if rows else None

    async def find(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: str = "id",
        after: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        source = ADMIN[table]
        name, is_last_first = order.removeprefix("-"), order.startswith("-")
        keys = [source.c.id] if name == "id" else [source.c[name], source.c.id]
        statement = sa.select(source.c.id, source.c.doc, source.c.version).where(*_conditions(table, where))
        if after is not None:
            place, last = sa.tuple_(*keys), sa.tuple_(*map(sa.literal, after))
            statement = statement.where(place < last if is_last_first else place > last)
        statement = statement.order_by(*(key.desc() if is_last_first else key for key in keys)).limit(limit)
        return [_row(row) for row in await self._read(statement)]

    async def count(self, table: str, where: Where | None = None) -> int:
        statement = sa.select(sa.func.count()).select_from(ADMIN[table]).where(*_conditions(table, where))
        return int((await self._read(statement))[0][0])

    async def change(self, changes: Sequence[Change], audit: Audit | None = None) -> None:
        async def work() -> None:
            async with self._backend.writing.begin() as connection:
                await self._backend.become_the_one_who_changes(connection)
                versions = await _versions(connection, changes)
                for change in changes:
                    await _change(connection, change, versions)
                if audit is not None:
                    await _write_audit(connection, audit, self._now())
                await self._number(connection, changes)

        await self._asking.ask(work, self._settings.write_seconds)

    async def changed_since(self, number: int) -> Changes | None:
        last = (await self._read(sa.select(sa.func.max(changes.c.seq))))[0][0] or 0
        if last == number:
            return None
        if last < number or number == 0:
            return Changes(last, None)
        statement = sa.select(changes).where(changes.c.seq > number).order_by(changes.c.seq).limit(MAX_TOLD + 1)
        rows = await self._read(statement)
        if not rows or len(rows) > MAX_TOLD or rows[0].seq != number + 1:
            return Changes(last, None)
        return Changes(rows[-1].seq, frozenset((row.table_name, row.row_id) for row in rows))

    async def wait_for_change(self, patience: float) -> None:
        await self._backend.wait(patience)

    # The ledger

    async def append_spend(self, events: Sequence[SpendEvent]) -> None:
        if not events:
            return

        async def work() -> None:
            days = ledger.days_of(events)
            rows: list[Stored] = []
            for place in range(0, len(events), AT_ONCE):
                rows += map(ledger.row_of, events[place : place + AT_ONCE])
                await asyncio.sleep(0)
            # In one order, so that two who replay the same events never wait for each other in a circle.
            rows.sort()
            texts = [
                {"at": event.at, "id": clean(event.id), "content": json(event.content)}
                for event in events
                if event.content is not None
            ]
            try:
                await self._append(rows, texts, days, self._add_new)
            except DBAPIError:
                # Some are there already, or the place of a day has gone since it was made. What is wrong otherwise
                # will be so again.
                self._backend.forget_days()
                await self._append([*{row[:2]: row for row in rows}.values()], texts, days, self._add_missing)

        await self._asking.ask(work, self._settings.write_seconds)

    async def spend_by(
        self, group_by: Sequence[str], start: float, end: float, where: Where | None = None, limit: int = 100
    ) -> list[Spend]:
        statement = ledger.summing(group_by, start, min(end, ledger.END), where, await self._kept()).limit(limit)
        rows = await self._read(statement, self._settings.report_seconds)
        return [ledger.spend_of(row, group_by) for row in rows]

    async def spend_events(
        self,
        start: float,
        end: float,
        where: Where | None = None,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[SpendEvent]:
        chosen = [spend.c.at >= start, spend.c.at < end, *ledger.conditions(spend, where, ledger.FOUND_BY)]
        if after is not None:
            # The pair alone would not be seen to be a range of an index.
            chosen[1] = spend.c.at < math.nextafter(min(end, after[0]), math.inf)
            chosen.append(sa.tuple_(spend.c.at, spend.c.id) < sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
        statement = sa.select(spend).where(*chosen).order_by(spend.c.at.desc(), spend.c.id.desc()).limit(limit)
        return [ledger.event_of(row) for row in await self._read(statement, self._settings.report_seconds)]

    async def spend_content(self, at: float, id: str) -> Mapping[str, Any] | None:  # noqa: A002
        statement = sa.select(contents.c.content).where(contents.c.at == at, contents.c.id == clean(id))
        rows = await self._read(statement)
        found: Mapping[str, Any] | None = msgspec.json.decode(rows[0][0]) if rows else None
        return found

    async def spent_since(self, scope: Mapping[str, str], since: float) -> Decimal:
        statement = ledger.summing((), since, ledger.END, scope, await self._kept())
        rows = await self._read(statement, self._settings.report_seconds)
        return usd(ledger.spend_of(rows[0], ()).cost_nano_usd) if rows else Decimal(0)

    async def sweep(self, *, events_before: float, content_before: float | None = None) -> int:
        async def work() -> int:
            day = int(events_before // ledger.DAY)
            days = await self._backend.drop_days(spend, day)
            await self._backend.drop_days(contents, max(day, int((content_before or 0.0) // ledger.DAY)))
            async with self._backend.writing.begin() as connection:
                old = int(min(events_before, self._now() - HOURS_KEPT))
                await connection.execute(sa.delete(sums).where(sums.c.span == ledger.HOUR, sums.c.start < old))
                last = sa.select(sa.func.max(changes.c.seq) - CHANGES_KEPT).scalar_subquery()
                await connection.execute(sa.delete(changes).where(changes.c.seq < last))
            await self._backend.take_stock()
            return days

        return await self._asking.ask(work, self._settings.open_seconds)

    # The audit log

    async def audits(self, where: Where | None = None, *, before: int | None = None, limit: int = 100) -> list[Audited]:
        chosen = ledger.conditions(audit, where, ("who", "what", "target"))
        if before is not None:
            chosen.append(audit.c.seq < before)
        rows = await self._read(sa.select(audit).where(*chosen).order_by(audit.c.seq.desc()).limit(limit))
        return [_audited(row) for row in rows]

    async def verify_audit(self) -> AuditFault | None:
        """Read the whole audit log; ``None``: the chain is whole, and as long as it was."""
        head = await self._read(sa.select(meta.c.value).where(meta.c.name == HEAD))
        seq, _, last = head[0][0].partition(":") if head else ("0", "", START)
        chain = Chain()
        while chain.seq < int(seq):
            page = sa.select(audit).where(audit.c.seq > chain.seq).order_by(audit.c.seq).limit(PAGE)
            rows = await self._read(page, self._settings.report_seconds)
            if not rows:
                return AuditFault(chain.seq + 1, "missing")
            for row in rows:
                fault = chain.follow(_audited(row), row.before, row.after)
                if fault is not None:
                    return fault
                if chain.seq == int(seq) and chain.hash != last:
                    return AuditFault(chain.seq, "not the last one that was written")
        return None

    async def _append(self, rows: list[Stored], texts: list[dict[str, Any]], days: list[int], put: Adding) -> None:
        def work(connection: sa.Connection) -> None:
            fresh = ledger.summed(put(connection, rows))
            if fresh:
                connection.execute(self._counting, fresh)
            if texts:
                connection.execute(self._backend.insert(contents).on_conflict_do_nothing(), texts)

        await self._backend.make_days(days)
        await self._backend.append(work)

    def _add_new(self, connection: sa.Connection, rows: list[Stored]) -> list[Stored]:
        """All of them, none of which may be there. By the driver alone, which takes a third of the time."""
        place = 0
        for size, statement in self._statements.items():
            while len(rows) - place >= size:
                connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows[place : place + size])))
                place += size
        if place < len(rows):
            connection.exec_driver_sql(self._adding, rows[place:])
        return rows

    def _add_missing(self, connection: sa.Connection, rows: list[Stored]) -> list[Stored]:
        """Those that are not there yet."""
        added = self._backend.insert(spend).on_conflict_do_nothing().returning(spend.c.at, spend.c.id)
        values = [dict(zip(ledger.COLUMNS, row, strict=True)) for row in rows]
        new = {tuple(row) for row in connection.execute(added, values)}
        return [row for row in rows if row[:2] in new]

    async def _kept(self) -> ledger.Kept:
        row: Any = (await self._read(ledger.KEPT, self._settings.report_seconds))[0]
        return ledger.Kept(row[0], row[1])

    async def _number(self, connection: AsyncConnection, made: Sequence[Change]) -> None:
        """Number the changes, for whoever keeps copies of the rows."""
        if not made:
            return
        last = (await connection.execute(sa.select(sa.func.max(changes.c.seq)))).scalar() or 0
        rows = [
            {"seq": last + place, "table_name": change.table, "row_id": change.id}
            for place, change in enumerate(made, 1)
        ]
        await connection.execute(sa.insert(changes), rows)
        await self._backend.tell(connection, last + len(made))


async def _versions(connection: AsyncConnection, changes: Sequence[Change]) -> dict[tuple[str, str], int]:
    """Of the rows that there are."""
    found: dict[tuple[str, str], int] = {}
    for name in {change.table for change in changes}:
        table = ADMIN[name]
        ids = [change.id for change in changes if change.table == name]
        for place in range(0, len(ids), PAGE):
            here = table.c.id.in_(filter(is_clean, ids[place : place + PAGE]))
            rows = await connection.execute(sa.select(table.c.id, table.c.version).where(here))
            found |= {(name, row.id): row.version for row in rows}
    return found


async def _change(connection: AsyncConnection, change: Change, versions: dict[tuple[str, str], int]) -> None:
    table, place = ADMIN[change.table], (change.table, change.id)
    columns = {} if change.doc is None else {name: _text(change.doc.get(name)) for name in COLUMNS[change.table]}
    if not all(map(is_clean, (change.id, *filter(None, columns.values())))):
        raise Refused("an id or a name has characters that cannot be stored")
    version = versions.get(place, 0)
    if change.version not in (None, version):
        raise Conflict(*place, "version")
    here = table.c.id == change.id
    if change.doc is None:
        versions.pop(place, None)
        await connection.execute(sa.delete(table).where(here))
        return
    versions[place] = version + 1
    values = {**columns, "doc": json(change.doc), "version": version + 1}
    statement = sa.update(table).where(here) if version else sa.insert(table).values(id=change.id)
    try:
        await connection.execute(statement.values(values))
    except IntegrityError as error:
        raise Conflict(*place, UNIQUE.get(change.table, "id")) from error


async def _write_audit(connection: AsyncConnection, entry: Audit, at: float) -> None:
    head = (await connection.execute(sa.select(meta.c.value).where(meta.c.name == HEAD))).scalar()
    seq, _, previous = head.partition(":") if head else ("0", "", START)
    row = chained(int(seq) + 1, at, entry, previous)
    await connection.execute(sa.insert(audit).values(row))
    value = f"{row['seq']}:{row['hash']}"
    statement = sa.update(meta).where(meta.c.name == HEAD) if head else sa.insert(meta).values(name=HEAD)
    await connection.execute(statement.values(value=value))


def _conditions(table: str, where: Where | None) -> list[Any]:
    return ledger.conditions(ADMIN[table], where, ("id", *COLUMNS[table]))


def _row(row: sa.Row[Any]) -> Row:
    return Row(id=row.id, doc=msgspec.json.decode(row.doc), version=row.version)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _audited(row: sa.Row[Any]) -> Audited:
    values = {name: getattr(row, name) for name in Audited.__struct_fields__}
    return Audited(**values | {name: msgspec.json.decode(values[name]) for name in ("before", "after")})
