"""Records in memory, with the contract of those that last."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from files import MemoryFiles
from work import MemoryWork

from pointsman.store.base import (
    COLUMNS,
    UNIQUE,
    Audit,
    Audited,
    AuditFault,
    Change,
    Changes,
    Conflict,
    Row,
    Spend,
    SpendEvent,
    StoreDown,
    Where,
    usd,
)
from pointsman.store.tasks import MemoryTasks

DAY = 86_400


class MemoryRecords:
    """What was written, as long as the test lasts."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in COLUMNS}
        self.log: list[Audited] = []
        self.events: list[SpendEvent] = []
        self.changes: list[tuple[str, str]] = []
        self.is_down = False
        self.asked = 0
        """Rows that were asked for."""
        self.gate = asyncio.Event()
        """Rows are given when it is set."""
        self.gate.set()
        self.tasks = MemoryTasks()
        self.work = MemoryWork()
        self.files = MemoryFiles()

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def others(self) -> int:
        return 0

    async def get(self, table: str, id: str) -> Row | None:  # noqa: A002  the protocol's
        self.asked += 1
        found = self.tables[table].get(id)
        await self.gate.wait()
        self._check()
        return found

    async def find(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: str = "id",
        after: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        self._check()
        column = order.removeprefix("-")
        rows = [row for row in self.tables[table].values() if _fits(row.doc, where)]
        rows.sort(key=lambda row: _place(row, column), reverse=order.startswith("-"))
        if after is not None:
            last = tuple(after)
            is_last_first = order.startswith("-")
            rows = [
                row
                for row in rows
                if (_place(row, column)[-len(last) :] < last if is_last_first else _place(row, column) > last)
            ]
        return rows[:limit]

    async def count(self, table: str, where: Where | None = None) -> int:
        self._check()
        return len([row for row in self.tables[table].values() if _fits(row.doc, where)])

    async def change(self, changes: Sequence[Change], audit: Audit | None = None) -> None:
        self._check()
        after = {name: dict(rows) for name, rows in self.tables.items()}
        for one in changes:
            there = after[one.table].pop(one.id, None)
            version = 0 if there is None else there.version
            if one.version is not None and one.version != version:
                raise Conflict(one.table, one.id, "version")
            if one.doc is not None:
                doc = msgspec.json.decode(msgspec.json.encode(one.doc))
                after[one.table][one.id] = Row(one.id, doc, version + 1)
        for table, column in UNIQUE.items():
            values = [row.doc[column] for row in after[table].values() if row.doc.get(column) is not None]
            if len(values) != len(set(values)):
                raise Conflict(table, "", column)
        self.tables = after
        self.changes += [(one.table, one.id) for one in changes]
        if audit is not None:
            plain = msgspec.json.decode(msgspec.json.encode(audit))
            self.log.append(Audited(seq=len(self.log) + 1, at=0.0, previous="", hash="", **plain))

    async def changed_since(self, number: int) -> Changes | None:
        self._check()
        if number >= len(self.changes):
            return None
        return Changes(len(self.changes), frozenset(self.changes[number:]))

    async def wait_for_change(self, patience: float) -> None:
        self._check()
        await asyncio.get_running_loop().create_future()

    async def append_spend(self, events: Sequence[SpendEvent]) -> None:
        self._check()
        self.events += events

    async def spend_by(
        self, group_by: Sequence[str], start: float, end: float, where: Where | None = None, limit: int = 100
    ) -> list[Spend]:
        self._check()
        groups: dict[tuple[Any, ...], list[SpendEvent]] = defaultdict(list)
        for event in self._within(start, end, where):
            of = msgspec.structs.asdict(event) | {"day": int(event.at // DAY) * DAY}
            groups[tuple(of[name] for name in group_by)].append(event)
        sums = [
            Spend(
                group=dict(zip(group_by, group, strict=True)),
                requests=sum(one.requests for one in events),
                failures=sum(one.failures for one in events),
                input_tokens=sum(one.input_tokens for one in events),
                output_tokens=sum(one.output_tokens for one in events),
                cached_tokens=sum(one.cached_tokens for one in events),
                cost_nano_usd=sum(one.cost_nano_usd for one in events),
            )
            for group, events in groups.items()
        ]
        return sorted(sums, key=lambda one: -one.cost_nano_usd)[:limit]

    async def spend_events(
        self,
        start: float,
        end: float,
        where: Where | None = None,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[SpendEvent]:
        self._check()
        found = sorted(self._within(start, end, where), key=lambda one: (one.at, one.id), reverse=True)
        return [one for one in found if after is None or (one.at, one.id) < after][:limit]

    async def spend_content(self, at: float, id: str) -> Mapping[str, Any] | None:  # noqa: A002  the protocol's
        return None

    async def audits(self, where: Where | None = None, *, before: int | None = None, limit: int = 100) -> list[Audited]:
        self._check()
        found = [one for one in reversed(self.log) if _fits(msgspec.structs.asdict(one), where)]
        return [one for one in found if before is None or one.seq < before][:limit]

    async def spent_since(self, scope: Mapping[str, str], since: float) -> Decimal:
        self._check()
        return usd(sum(one.cost_nano_usd for one in self._within(since, float("inf"), scope)))

    async def sweep(self, *, events_before: float, content_before: float | None = None) -> int:
        return 0

    async def verify_audit(self) -> AuditFault | None:
        self._check()
        return None

    def _within(self, start: float, end: float, where: Where | None) -> list[SpendEvent]:
        return [one for one in self.events if start <= one.at < end and _fits(msgspec.structs.asdict(one), where)]

    def _check(self) -> None:
        if self.is_down:
            raise StoreDown("memory")


def _fits(doc: Mapping[str, Any], where: Where | None) -> bool:
    for name, wanted in (where or {}).items():
        value = doc.get(name)
        if not (value == wanted if wanted is None or isinstance(wanted, str) else value in wanted):
            return False
    return True


def _place(row: Row, column: str) -> tuple[str, ...]:
    return (row.id,) if column == "id" else (str(row.doc[column]), row.id)
