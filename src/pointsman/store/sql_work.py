"""The queue of batches as statements; see :class:`~pointsman.store.work.WorkRecords`.

Whoever changes lines holds a lock on the row of their batch until the commit: a shared one to lease lines, so that
several can at once, each passing over what another one is just taking; one of his own to write results and to say that
they are all there. Several batches are locked in the order of their ids. So a batch that is closed has no line that is
still to change, and nobody waits for another one in a circle. Each transaction asks for the time once.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa

from pointsman.store import work_statements as sql
from pointsman.store.base import Refused, StoreDown
from pointsman.store.cleaning import clean, is_clean, json
from pointsman.store.jumps import Jumps
from pointsman.store.schema import batch_lines, batches
from pointsman.store.work import (
    LEASE_SECONDS,
    Backlog,
    BatchLease,
    BatchQuery,
    BatchRow,
    Claimed,
    Ending,
    Executor,
    LineLease,
    LineRow,
    NewBatch,
    NewLine,
    Result,
)

T = TypeVar("T")
Read: TypeAlias = Callable[[Any], Awaitable[Sequence[sa.Row[Any]]]]
CHUNK: Final = 2_000
"""Lines that are deleted in one transaction."""


class Write(Protocol):
    """Does something in one transaction, and gives what it gave."""

    def __call__(self, work: Callable[[sa.Connection], T], /) -> Awaitable[T]: ...


class Engine(Protocol):
    """What an engine does in its own way."""

    insert: Callable[[Any], Any]
    """With ``on_conflict``."""
    has_work: asyncio.Event
    """Set when somebody has told of work."""

    def time(self, connection: sa.Connection) -> float:
        """Of the database, in seconds since 1970."""

    def announce(self, connection: sa.Connection) -> None:
        """Tell other processes of work, when the transaction is committed."""

    async def wait_for_work(self, patience: float) -> None:
        """Until ``has_work`` is set, which is undone then, or for ``patience`` seconds."""


class SqlWork:
    """In a database."""

    def __init__(
        self,
        read: Read,
        pages: Read,
        write: Write,
        engine: Engine,
        now: Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """``pages`` reads what may take longer. ``now`` is the time, where it is not to be the database's.

        ``monotonic`` is a clock that nobody sets; without it, nobody sets ``now`` either.
        """
        self._read = read
        self._pages = pages
        self._write = write
        self._engine = engine
        clock = engine.time if now is None else lambda _connection: now()
        self._jumps = Jumps(clock, monotonic or now or time.monotonic)
        self._time: Callable[[sa.Connection], float] = self._jumps.time
        self._adding = engine.insert(batch_lines).on_conflict_do_nothing()
        self._served = ""
        """The batch of the lines that were claimed last."""
        self._unheard: list[dict[str, Any]] = []
        """Claims that were made, for all that is known, and whose answer was lost; as parameters."""

    # For clients

    async def create(self, batch: NewBatch) -> BatchRow:
        texts = {"id": batch.id, "owner": batch.owner, "key_id": batch.key_id, "kind": batch.kind}
        if not all(map(is_clean, texts.values())):
            raise Refused("an id or a name has characters that cannot be stored")

        def work(connection: sa.Connection) -> BatchRow | None:
            now = self._time(connection)
            times = {"created_at": now, "expires_at": now + batch.seconds, "ready_at": now}
            added = sa.insert(batches).values(sql.NEW | texts | times | {"total": batch.total, "doc": json(batch.doc)})
            return _batch(connection, added)

        made = await self._telling(work)
        assert made is not None
        return made

    async def get(self, id: str) -> BatchRow | None:  # noqa: A002  the protocol's
        rows = await self._read(sa.select(batches).where(batches.c.id == id)) if is_clean(id) else ()
        return _row(rows[0]) if rows else None

    async def find(
        self,
        query: BatchQuery,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 20,
        is_ascending: bool = False,
    ) -> list[BatchRow]:
        column = batches.c
        place = (column.created_at, column.id)
        wanted = {name: value for name in ("owner", "kind") if (value := getattr(query, name)) is not None}
        statement = sa.select(batches).where(*(column[name] == value for name, value in wanted.items()))
        if after is not None:
            here, last = sa.tuple_(*place), sa.tuple_(*map(sa.literal, after))
            statement = statement.where(here > last if is_ascending else here < last)
        order = place if is_ascending else [name.desc() for name in place]
        return [_row(row) for row in await self._read(statement.order_by(*order).limit(limit))]

    async def count_open(self, owner: str) -> int:
        asked = sa.select(sa.func.count()).where(batches.c.owner == owner, sql.IS_OPEN)
        return int((await self._read(asked))[0][0])

    async def count_made(self, owner: str, since: float) -> int:
        asked = sa.select(sa.func.count()).where(batches.c.owner == owner, batches.c.created_at > since)
        return int((await self._read(asked))[0][0])

    async def cancel(self, id: str) -> BatchRow | None:  # noqa: A002  the protocol's
        await self._telling(lambda connection: connection.execute(sql.CANCEL, self._at(connection, id)))
        return await self.get(id)

    async def pause(self, id: str, *, is_paused: bool) -> BatchRow | None:  # noqa: A002  the protocol's
        paused = sa.update(batches).where(batches.c.id == id, sql.IS_OPEN).values(is_paused=is_paused)
        await self._telling(lambda connection: connection.execute(paused))
        return await self.get(id)

    async def delete(self, id: str) -> bool:  # noqa: A002  the protocol's
        await self.clear(id)
        gone = sa.delete(batches).where(batches.c.id == id, ~sql.IS_OPEN)
        return await self._write(lambda connection: connection.execute(gone).rowcount) > 0

    # Steps of a batch

    async def take(self, holder: str, seconds: float = LEASE_SECONDS) -> BatchRow | None:
        await self._tidy_up(seconds)

        def work(connection: sa.Connection) -> BatchRow | None:
            times = self._times(connection, seconds)
            found = connection.execute(sql.NEEDY, times).scalar()
            if found is None:
                return None
            values = {"holder": holder, "ready_at": times["now"] + seconds, "fence": batches.c.fence + 1}
            return _batch(connection, sa.update(batches).where(batches.c.id == found).values(values))

        return await self._write(work)

    async def hold(self, lease: BatchLease, seconds: float = LEASE_SECONDS) -> bool:
        def work(connection: sa.Connection) -> bool:
            until = self._time(connection) + seconds
            held = sa.update(batches).where(*sql.is_held(lease)).values(ready_at=until)
            return connection.execute(held).rowcount > 0

        return await self._write(work)

    async def add_lines(self, lease: BatchLease, lines: Sequence[NewLine]) -> bool:
        def work(connection: sa.Connection) -> bool:
            mine = sa.select(batches.c.id).where(*sql.is_held(lease), batches.c.state == "validating")
            if connection.execute(mine.with_for_update()).scalar() is None:
                return False
            if lines:
                new = sql.NEW_LINE | {"batch": lease.batch}
                connection.execute(self._adding, [new | _of(line) for line in lines])
            return True

        return await self._write(work)

    async def validated(
        self, lease: BatchLease, doc: Mapping[str, Any] | None = None, executor: Executor = "lines"
    ) -> bool:
        def work(connection: sa.Connection) -> bool:
            now = self._time(connection)
            count = sa.select(sa.func.count()).select_from(batch_lines).where(batch_lines.c.batch == lease.batch)
            values = {"state": "in_progress", "in_progress_at": now, "executor": executor, **_doc(doc)}
            mine = sa.update(batches).where(*sql.is_held(lease), batches.c.state == "validating")
            done = mine.values(values | sql.let_go(now) | {"total": count.scalar_subquery()})
            return connection.execute(done).rowcount > 0

        return await self._telling(work)

    async def fill(self, lease: BatchLease, results: Sequence[Result]) -> bool:
        def work(connection: sa.Connection) -> bool:
            now = self._time(connection)
            mine = sa.select(batches.c.id).where(*sql.is_held(lease), sql.IS_RUN)
            if connection.execute(mine.with_for_update()).scalar() is None:
                return False
            there = _there(connection, lease.batch, results)
            latest = {result.lease.number: result for result in results if result.lease.number in there}
            fences = {number: LineLease(lease.batch, number, there[number].fence) for number in latest}
            new = [
                msgspec.structs.replace(latest[number], lease=fence)
                for number, fence in fences.items()
                if there[number].ready_at is not None
            ]
            _put(connection, new, now)
            return True

        return await self._write(work)

    async def close(self, lease: BatchLease, ending: Ending, doc: Mapping[str, Any] | None = None) -> BatchRow | None:
        def work(connection: sa.Connection) -> BatchRow | None:
            values = sql.closed(ending, self._time(connection))
            closed = sa.update(batches).where(*sql.is_held(lease), batches.c.state != "validating")
            return _batch(connection, closed.values(values | _doc(doc)))

        return await self._write(work)

    async def end(
        self, lease: BatchLease, doc: Mapping[str, Any] | None = None, state: Ending | None = None
    ) -> BatchRow | None:
        def work(connection: sa.Connection) -> BatchRow | None:
            column = batches.c
            ending = column.ending if state is None else state
            values = {"state": ending, "ending": ending, "ended_at": self._time(connection), **sql.let_go(None)}
            mine = sa.update(batches).where(*sql.is_held(lease))
            if state is None:
                mine = mine.where(column.ending != "")
            ended = _batch(connection, mine.values(values | _doc(doc)))
            # Perhaps it was not heard that it was done.
            over = sa.select(batches).where(column.id == lease.batch, column.fence == lease.fence, ~sql.IS_OPEN)
            return ended or next(map(_row, connection.execute(over)), None)

        return await self._write(work)

    async def leave(
        self,
        lease: BatchLease,
        seconds: float = 0.0,
        doc: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
    ) -> bool:
        def work(connection: sa.Connection) -> bool:
            values = sql.let_go(self._time(connection) + seconds) | _doc(doc)
            if executor is not None:
                values["executor"] = executor
            return connection.execute(sa.update(batches).where(*sql.is_held(lease)).values(values)).rowcount > 0

        return await self._telling(work)

    # Lines

    async def claim(
        self,
        holder: str,
        limit: int,
        seconds: float = LEASE_SECONDS,
        without: Collection[str] = (),
        only: str = "",
    ) -> list[Claimed]:
        await self._tidy_up(seconds)
        mine: dict[str, Any] = {}

        def work(connection: sa.Connection) -> list[Claimed]:
            times = self._times(connection, seconds)
            chosen = times | {"without": list(without), "only": only}
            batch = connection.execute(sql.NEXT, chosen | {"served": self._served}).scalar()
            if batch is None and self._served:
                batch = connection.execute(sql.NEXT, chosen | {"served": ""}).scalar()
            if batch is None:
                return []
            mine.update(b_batch=batch, b_holder=holder, until=times["now"] + seconds)
            rows: list[Any] = []
            # First a few that somebody had, then those that nobody had, then more of the former if there is room.
            fresh, others = {"since": sql.FRESH, "now": 0.0}, {"since": 0.0}
            for which, most in ((others, limit // sql.AGAIN), (fresh, limit), (others, limit)):
                if most > len(rows):
                    rows += connection.execute(sql.CLAIM, times | mine | which | {"most": most - len(rows)})
            return sorted((_claimed(batch, row) for row in rows), key=lambda line: line.lease)

        try:
            claimed = await self._write(work)
        except StoreDown:
            if mine:
                self._unheard.append(mine)
            raise
        self._served = mine.get("b_batch", self._served)
        return claimed

    async def renew(self, holder: str, leases: Collection[LineLease], seconds: float = LEASE_SECONDS) -> set[LineLease]:
        wanted = _by_batch(leases)

        def work(connection: sa.Connection) -> set[LineLease]:
            until = self._time(connection) + seconds
            kept = set()
            for batch in connection.execute(sql.SHARED, {"ids": list(wanted)}).scalars().all():
                values = {"b_batch": batch, "b_holder": holder, "until": until, **sql.numbered(wanted[batch])}
                kept |= {LineLease(batch, row.number, row.fence) for row in connection.execute(sql.RENEW, values)}
            return set(leases) - kept

        return await self._write(work) if leases else set()

    async def finish(self, results: Sequence[Result]) -> set[LineLease]:
        wanted = defaultdict(list)
        for result in results:
            wanted[result.lease.batch].append(result)

        def work(connection: sa.Connection) -> set[LineLease]:
            now = self._time(connection)
            refused = set()
            are_run = {row.id: row.is_run for row in connection.execute(sql.ALONE, {"ids": list(wanted)})}
            for batch, of_it in sorted(wanted.items()):
                there = _there(connection, batch, of_it)
                new, others = _sorted_out(of_it, there, is_run=are_run.get(batch, False))
                _put(connection, new, now)
                refused |= others
            return refused

        return await self._write(work) if results else set()

    async def give_back(
        self, leases: Collection[LineLease], seconds: float = 0.0, lapses: Mapping[LineLease, int] = {}
    ) -> None:
        wanted = _by_batch(leases)

        def work(connection: sa.Connection) -> None:
            ready_at = self._time(connection) + seconds
            connection.execute(sql.SHARED, {"ids": list(wanted)})
            rows = [_place(lease) | {"at": ready_at, "lapses": lapses.get(lease)} for lease in sorted(leases)]
            connection.execute(sql.GIVE_BACK, rows)

        if leases:
            await self._telling(work)

    async def release(self, holder: str) -> None:
        column = batch_lines.c
        await self._free(batches.c.holder == holder, sa.and_(column.holder == holder, column.ready_at > sql.NOW))

    async def lines(self, batch: str, *, after: int = 0, limit: int = 64) -> list[LineRow]:
        chosen = sql.PAGE.params(b_batch=batch, after=after, most=limit)
        return [_line(row) for row in await self._pages(chosen)]

    # Watching and cleaning

    async def backlog(self) -> Backlog:
        row: Any = (await self._read(sql.BACKLOG))[0]
        return Backlog(row[0], int(row[1] or 0), row[2])

    async def wait(self, patience: float) -> None:
        await self._engine.wait_for_work(patience)

    async def clear(self, batch: str) -> int:
        values, count = {"b_batch": batch, "after": 0, "most": CHUNK}, 0
        while gone := await self._write(lambda connection: connection.execute(sql.CLEAR, values).rowcount):
            count += gone
        return count

    async def sweep(self, ended_before: float) -> int:
        for row in await self._pages(sql.ENDED_WITH_LINES):
            await self.clear(row.id)
        old = sa.delete(batches).where(batches.c.ended_at < ended_before, ~sql.IS_OPEN, ~sql.HAS_LINES)
        return await self._write(lambda connection: connection.execute(old).rowcount)

    def _times(self, connection: sa.Connection, seconds: float) -> dict[str, float]:
        """Now, and when leases must have been over, which have so many seconds, to be taken from who has them."""
        now = self._time(connection)
        return {"now": now, "sure": 0.0 if self._jumps.is_within(seconds) else now}

    async def _tidy_up(self, seconds: float) -> None:
        """Let anybody take what is leased to nobody, before it is said of those who had it that they were lost."""
        if unheard := self._unheard[:]:

            def unclaim(connection: sa.Connection) -> None:
                now = self._time(connection)
                connection.execute(sql.SHARED, {"ids": [one["b_batch"] for one in unheard]})
                connection.execute(sql.UNCLAIM, [one | {"now": now} for one in unheard])

            await self._write(unclaim)
            self._unheard = [one for one in self._unheard if one not in unheard]
        jump = self._jumps.last
        if jump is not None and not self._jumps.is_within(seconds):
            far = sql.NOW + sql.FAR_SECONDS
            await self._free(batches.c.ready_at > far, batch_lines.c.ready_at > far)
            if self._jumps.last == jump:
                self._jumps.last = None

    async def _free(self, which: Any, which_lines: Any) -> None:
        """Let anybody take these batches and these lines."""

        def steps(connection: sa.Connection) -> None:
            connection.execute(sql.FREE.where(which), {"now": self._time(connection)})

        def lines(connection: sa.Connection) -> None:
            now = self._time(connection)
            ids = connection.execute(sql.ALL_SHARED).scalars().all()
            connection.execute(sql.FREE_LINES.where(which_lines), {"now": now, "ids": ids})

        # One after the other, for who has a shared lock cannot wait for one of his own.
        await self._write(steps)
        await self._telling(lines)

    async def _telling(self, work: Callable[[sa.Connection], T]) -> T:
        """Do it, and let everybody know that there may be something to do."""

        def both(connection: sa.Connection) -> T:
            given = work(connection)
            self._engine.announce(connection)
            return given

        given = await self._write(both)
        self._engine.has_work.set()
        return given

    def _at(self, connection: sa.Connection, id: str) -> dict[str, Any]:  # noqa: A002  as the column is called
        return {"b_id": clean(id), "now": self._time(connection)}


def _sorted_out(
    results: Sequence[Result], there: Mapping[int, sa.Row[Any]], *, is_run: bool
) -> tuple[list[Result], set[LineLease]]:
    """Those that are to be written, each once, and the leases of those that are not and never were."""
    new, refused = {}, set()
    for result in results:
        lease, row = result.lease, there.get(result.lease.number)
        if row is None or row.fence != lease.fence:
            refused.add(lease)
        elif row.ready_at is not None:
            if is_run and row.holder:
                new[lease.number] = result
            else:
                refused.add(lease)
    return list(new.values()), refused


def _there(connection: sa.Connection, batch: str, results: Sequence[Result]) -> dict[int, sa.Row[Any]]:
    """How the lines of results are, by their numbers."""
    numbers = sql.numbered(result.lease for result in results)
    rows: Any = connection.execute(sql.THERE, {"b_batch": batch, **numbers})
    return {row.number: row for row in rows}


def _put(connection: sa.Connection, results: Sequence[Result], now: float) -> None:
    """Write results of lines of one batch, which nobody else can change at the moment, and count them."""
    if not results:
        return
    connection.execute(sql.FINISH, [_place(result.lease) | _outcome(result) for result in results])
    failed = sum(result.is_failed for result in results)
    sums = {name: sum(getattr(result, name) for result in results) for name in sql.SUMMED}
    sums |= {"completed": len(results) - failed, "failed": failed}
    values = {f"more_{name}": value for name, value in sums.items()}
    connection.execute(sql.COUNT, {"b_id": results[0].lease.batch, "now": now, "more": len(results), **values})


def _outcome(result: Result) -> dict[str, Any]:
    return {
        "b_status": result.status,
        "b_is_failed": result.is_failed,
        "b_request_id": clean(result.request_id),
        "b_body": result.body,
    }


def _place(lease: LineLease) -> dict[str, Any]:
    return {"b_batch": lease.batch, "b_number": lease.number, "b_fence": lease.fence}


def _by_batch(leases: Collection[LineLease]) -> dict[str, list[LineLease]]:
    found = defaultdict(list)
    for lease in leases:
        found[lease.batch].append(lease)
    return found


def _of(line: NewLine) -> dict[str, Any]:
    return {
        "number": line.number,
        "custom_id": clean(line.custom_id),
        "offset": line.offset,
        "length": line.length,
        "ready_at": sql.FRESH + line.number,
    }


def _doc(doc: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if doc is None else {"doc": json(doc)}


def _batch(connection: sa.Connection, statement: Any) -> BatchRow | None:
    """The row that a statement makes or changes."""
    row = connection.execute(statement.returning(*batches.c)).one_or_none()
    return None if row is None else _row(row)


def _row(row: sa.Row[Any]) -> BatchRow:
    values = dict(row._mapping)  # noqa: SLF001  the only way to a row's names
    del values["holder"], values["ready_at"]
    return BatchRow(**values | {"doc": msgspec.json.decode(row.doc)})


def _claimed(batch: str, row: sa.Row[Any]) -> Claimed:
    return Claimed(LineLease(batch, row.number, row.fence), row.custom_id, row.offset, row.length, row.lapses)


def _line(row: sa.Row[Any]) -> LineRow:
    return LineRow(
        number=row.number,
        custom_id=row.custom_id,
        offset=row.offset,
        length=row.length,
        state="done" if row.ready_at is None else "leased" if row.holder else "queued",
        status=row.status,
        is_failed=row.is_failed,
        request_id=row.request_id,
        body=row.body or b"",
    )
