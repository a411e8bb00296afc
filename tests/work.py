"""The queue of batches in memory, with the contract of those that last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from pointsman.store.base import Refused
from pointsman.store.work import (
    GRACE_SECONDS,
    LEASE_SECONDS,
    PAGE_BYTES,
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

SUMS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_nano_usd")


class _Leased(Protocol):
    holder: str
    ready_at: float | None


class _Batch:
    def __init__(self, row: BatchRow) -> None:
        self.row = row
        self.holder = ""
        self.ready_at: float | None = row.created_at
        self.lines: dict[int, _Line] = {}

    @property
    def is_run(self) -> bool:
        return not self.row.ending and self.row.state in ("in_progress", "cancelling")

    def change(self, **values: Any) -> BatchRow:
        self.row = replace(self.row, **values)
        return self.row

    def let_go(self, ready_at: float | None) -> None:
        self.holder, self.ready_at = "", ready_at


class _Line:
    def __init__(self, line: NewLine) -> None:
        self.line = line
        self.holder = ""
        self.fence = 0
        self.lapses = 0
        self.ready_at: float | None = line.number - 1e9
        self.result: Result | None = None


class MemoryWork:
    """What was written, as long as the test lasts."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._batches: dict[str, _Batch] = {}
        self._has_work = asyncio.Event()
        self._served = ""

    async def create(self, batch: NewBatch) -> BatchRow:
        if batch.id in self._batches:
            raise Refused("the id is taken")
        now = self._now()
        doc = msgspec.json.decode(msgspec.json.encode(batch.doc))
        row = BatchRow(
            id=batch.id,
            owner=batch.owner,
            key_id=batch.key_id,
            kind=batch.kind,
            executor="lines",
            state="validating",
            ending="",
            is_paused=False,
            total=batch.total,
            completed=0,
            failed=0,
            input_tokens=0,
            cached_tokens=0,
            output_tokens=0,
            reasoning_tokens=0,
            cost_nano_usd=0,
            created_at=now,
            expires_at=now + batch.seconds,
            in_progress_at=None,
            finalizing_at=None,
            cancelling_at=None,
            ended_at=None,
            doc=doc,
            fence=0,
        )
        self._batches[batch.id] = _Batch(row)
        self._has_work.set()
        return row

    async def get(self, id: str) -> BatchRow | None:  # noqa: A002  the protocol's
        found = self._batches.get(id)
        return None if found is None else found.row

    async def find(
        self,
        query: BatchQuery,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 20,
        is_ascending: bool = False,
    ) -> list[BatchRow]:
        rows = sorted((one.row for one in self._batches.values()), key=_place, reverse=not is_ascending)
        wanted = [row for row in rows if query.owner in (None, row.owner) and query.kind in (None, row.kind)]
        if after is not None:
            wanted = [row for row in wanted if (_place(row) > after if is_ascending else _place(row) < after)]
        return wanted[:limit]

    async def count_open(self, owner: str) -> int:
        return sum(one.row.owner == owner and one.ready_at is not None for one in self._batches.values())

    async def count_made(self, owner: str, since: float) -> int:
        return sum(one.row.owner == owner and one.row.created_at > since for one in self._batches.values())

    async def cancel(self, id: str) -> BatchRow | None:  # noqa: A002  the protocol's
        found, now = self._batches.get(id), self._now()
        if found is not None and found.row.state in ("validating", "in_progress"):
            if found.row.state == "validating":
                found.change(fence=found.row.fence + 1)
                found.let_go(now)
            elif not found.holder:
                found.ready_at = now
            found.change(state="cancelling", cancelling_at=now)
            self._has_work.set()
        return None if found is None else found.row

    async def pause(self, id: str, *, is_paused: bool) -> BatchRow | None:  # noqa: A002  the protocol's
        found = self._batches.get(id)
        if found is None or found.ready_at is None:
            return None if found is None else found.row
        self._has_work.set()
        return found.change(is_paused=is_paused)

    async def delete(self, id: str) -> bool:  # noqa: A002  the protocol's
        found = self._batches.get(id)
        if found is None or found.ready_at is not None:
            return False
        del self._batches[id]
        return True

    async def take(self, holder: str, seconds: float = LEASE_SECONDS) -> BatchRow | None:
        now = self._now()
        needy = [one for one in self._batches.values() if _is_ready(one, now) and _needs_a_step(one, now)]
        if not needy:
            return None
        first = min(needy, key=lambda one: (one.row.ending == "", one.ready_at or 0.0, one.row.id))
        first.holder, first.ready_at = holder, now + seconds
        return first.change(fence=first.row.fence + 1)

    async def hold(self, lease: BatchLease, seconds: float = LEASE_SECONDS) -> bool:
        found = self._held(lease)
        if found is not None:
            found.ready_at = self._now() + seconds
        return found is not None

    async def add_lines(self, lease: BatchLease, lines: Sequence[NewLine]) -> bool:
        found = self._held(lease)
        if found is None or found.row.state != "validating":
            return False
        for line in lines:
            found.lines.setdefault(line.number, _Line(line))
        return True

    async def validated(
        self, lease: BatchLease, doc: Mapping[str, Any] | None = None, executor: Executor = "lines"
    ) -> bool:
        found, now = self._held(lease), self._now()
        if found is None or found.row.state != "validating":
            return False
        found.change(state="in_progress", in_progress_at=now, executor=executor, total=len(found.lines))
        found.let_go(now)
        _keep(found, doc)
        self._has_work.set()
        return True

    async def fill(self, lease: BatchLease, results: Sequence[Result]) -> bool:
        found = self._held(lease)
        if found is None or not found.is_run:
            return False
        latest = {result.lease.number: result for result in results}
        new = {number: one for number, one in latest.items() if (line := found.lines.get(number)) and not line.result}
        self._put(found, new)
        return True

    async def close(self, lease: BatchLease, ending: Ending, doc: Mapping[str, Any] | None = None) -> BatchRow | None:
        found = self._held(lease)
        if found is None or found.row.state == "validating":
            return None
        found.change(ending=found.row.ending or ending)
        if found.row.state == "in_progress":
            found.change(state="finalizing", finalizing_at=self._now())
        return _keep(found, doc)

    async def end(
        self, lease: BatchLease, doc: Mapping[str, Any] | None = None, state: Ending | None = None
    ) -> BatchRow | None:
        found = self._held(lease)
        if found is None or not (state or found.row.ending):
            over = self._batches.get(lease.batch)
            is_mine = over is not None and over.row.fence == lease.fence and over.ready_at is None
            return over.row if over is not None and is_mine else None
        ending = state or found.row.ending
        found.change(state=ending, ending=ending, ended_at=self._now())
        found.let_go(None)
        return _keep(found, doc)

    async def leave(
        self,
        lease: BatchLease,
        seconds: float = 0.0,
        doc: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
    ) -> bool:
        found = self._held(lease)
        if found is None:
            return False
        found.let_go(self._now() + seconds)
        found.change(executor=executor or found.row.executor)
        _keep(found, doc)
        self._has_work.set()
        return True

    async def claim(
        self,
        holder: str,
        limit: int,
        seconds: float = LEASE_SECONDS,
        without: Collection[str] = (),
        only: str = "",
    ) -> list[Claimed]:
        now = self._now()
        ready = {
            name: sorted(((line.ready_at or 0.0, number) for number, line in one.lines.items() if _is_ready(line, now)))
            for name, one in self._batches.items()
            if _is_claimable(one, now) and name not in without and only in ("", name)
        }
        waiting = sorted((name <= self._served, name) for name, lines in ready.items() if lines)
        if not waiting:
            return []
        self._served = waiting[0][1]
        fresh = [number for ready_at, number in ready[self._served] if ready_at < 0]
        again = [number for ready_at, number in ready[self._served] if ready_at >= 0]
        chosen = [*again[: limit // 4], *fresh[: limit - len(again[: limit // 4])], *again[limit // 4 :]][:limit]
        return sorted((self._claim(number, holder, now + seconds) for number in chosen), key=lambda line: line.lease)

    async def renew(self, holder: str, leases: Collection[LineLease], seconds: float = LEASE_SECONDS) -> set[LineLease]:
        lost = set()
        for lease in leases:
            found = self._batches.get(lease.batch)
            line = found.lines.get(lease.number) if found is not None and found.is_run else None
            if line is None or line.holder != holder or line.fence != lease.fence:
                lost.add(lease)
            else:
                line.ready_at = self._now() + seconds
        return lost

    async def finish(self, results: Sequence[Result]) -> set[LineLease]:
        refused = set()
        for result in results:
            lease = result.lease
            found = self._batches.get(lease.batch)
            line = None if found is None else found.lines.get(lease.number)
            if found is None or line is None or line.fence != lease.fence:
                refused.add(lease)
            elif line.result is None:
                if found.is_run and line.holder:
                    self._put(found, {lease.number: result})
                else:
                    refused.add(lease)
        return refused

    async def give_back(
        self, leases: Collection[LineLease], seconds: float = 0.0, lapses: Mapping[LineLease, int] = {}
    ) -> None:
        for lease in leases:
            found = self._batches.get(lease.batch)
            line = None if found is None else found.lines.get(lease.number)
            if line is not None and line.fence == lease.fence and line.holder:
                line.holder, line.ready_at = "", self._now() + seconds
                line.lapses = lapses.get(lease, line.lapses)
        self._has_work.set()

    async def release(self, holder: str) -> None:
        now = self._now()
        for one in self._batches.values():
            if one.holder == holder:
                one.let_go(now)
            for line in one.lines.values():
                # A lease that is over has lapsed.
                if line.holder == holder and (line.ready_at or 0.0) > now:
                    line.holder, line.ready_at = "", now
        self._has_work.set()

    async def lines(self, batch: str, *, after: int = 0, limit: int = 64) -> list[LineRow]:
        found = self._batches.get(batch)
        lines = sorted(found.lines.items()) if found is not None else []
        rows = [_row(line) for number, line in lines if number > after][:limit]
        before = accumulate((len(row.body) for row in rows), initial=0)
        return [row for row, size in zip(rows, before, strict=False) if size < PAGE_BYTES]

    async def backlog(self) -> Backlog:
        rows = [one.row for one in self._batches.values() if one.ready_at is not None]
        lines = sum(row.total - row.completed - row.failed for row in rows if not row.ending)
        return Backlog(len(rows), lines, min((row.created_at for row in rows), default=None))

    async def wait(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                await self._has_work.wait()
        except TimeoutError:
            return
        self._has_work.clear()

    async def clear(self, batch: str) -> int:
        found = self._batches.get(batch)
        if found is None or found.ready_at is not None:
            return 0
        count = len(found.lines)
        found.lines.clear()
        return count

    async def sweep(self, ended_before: float) -> int:
        for name in self._batches:
            await self.clear(name)
        old = [one.row.id for one in self._batches.values() if one.row.ended_at and one.row.ended_at < ended_before]
        for name in old:
            del self._batches[name]
        return len(old)

    def _held(self, lease: BatchLease) -> _Batch | None:
        found = self._batches.get(lease.batch)
        is_mine = found is not None and found.row.fence == lease.fence and found.holder and found.ready_at is not None
        return found if is_mine else None

    def _claim(self, number: int, holder: str, until: float) -> Claimed:
        line = self._batches[self._served].lines[number]
        line.lapses += bool(line.holder)
        line.fence += 1
        line.holder, line.ready_at = holder, until
        lease = LineLease(self._served, number, line.fence)
        return Claimed(lease, line.line.custom_id, line.line.offset, line.line.length, line.lapses)

    def _put(self, found: _Batch, results: Mapping[int, Result]) -> None:
        for number, result in results.items():
            line = found.lines[number]
            line.result, line.holder, line.ready_at = result, "", None
            sums = {name: getattr(found.row, name) + getattr(result, name) for name in SUMS}
            found.change(**sums)
            found.change(failed=found.row.failed + result.is_failed)
            found.change(completed=found.row.completed + (not result.is_failed))
        row = found.row
        if results and row.state == "in_progress" and row.completed + row.failed >= row.total:
            found.change(state="finalizing", ending="completed", finalizing_at=self._now())
            if not found.holder:
                found.ready_at = self._now()


def _place(row: BatchRow) -> tuple[float, str]:
    return row.created_at, row.id


def _is_ready(one: _Leased, now: float) -> bool:
    return one.ready_at is not None and one.ready_at <= now


def _needs_a_step(one: _Batch, now: float) -> bool:
    row = one.row
    if row.state == "validating" or row.ending or row.executor == "provider":
        return True
    is_late = min(row.cancelling_at or row.expires_at, row.expires_at) <= now - GRACE_SECONDS
    is_worked_on = any(line.holder and (line.ready_at or 0.0) > now for line in one.lines.values())
    return (row.state == "cancelling" or row.expires_at <= now) and (is_late or not is_worked_on)


def _is_claimable(one: _Batch, now: float) -> bool:
    row = one.row
    is_running = row.state == "in_progress" and not row.ending and row.executor == "lines"
    return is_running and not row.is_paused and row.expires_at > now


def _keep(found: _Batch, doc: Mapping[str, Any] | None) -> BatchRow:
    return found.row if doc is None else found.change(doc=msgspec.json.decode(msgspec.json.encode(doc)))


def _row(line: _Line) -> LineRow:
    result = line.result
    return LineRow(
        number=line.line.number,
        custom_id=line.line.custom_id,
        offset=line.line.offset,
        length=line.line.length,
        state="done" if result is not None else "leased" if line.holder else "queued",
        status=0 if result is None else result.status,
        is_failed=result is not None and result.is_failed,
        request_id="" if result is None else result.request_id,
        body=b"" if result is None else result.body,
    )
