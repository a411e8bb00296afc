"""What came of lines, written many at a time; until that is done they are held."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from pointsman.batches.held import Held
from pointsman.batches.lines import failed, summed
from pointsman.store.base import Refused, StoreDown
from pointsman.store.work import Result, WorkRecords
from pointsman.telemetry.batches import LineCounts

CHUNK: Final = 128
"""Results that are written at once."""
MAX_BYTES: Final = 4 << 20
"""Of these, unless there is but one."""
GATHER: Final = 0.01
"""Seconds that a result waits for others to be written with."""
log = logging.getLogger(__name__)


class Outcomes:
    """Of all lines that this process has run."""

    def __init__(
        self,
        work: WorkRecords,
        held: Held,
        counts: LineCounts,
        make_safe: Callable[[], object],
        on_written: Callable[[set[str]], None],
    ) -> None:
        """``make_safe`` has what was spent until now outlive this process; ``on_written`` gets the ids of batches."""
        self._work = work
        self._held = held
        self._counts = counts
        self._make_safe = make_safe
        self._on_written = on_written
        self._waiting: list[Result] = []
        self._has_any = asyncio.Event()
        self._most = CHUNK
        """How many the store takes at once, as far as is known."""

    def __len__(self) -> int:
        """Those that are not written."""
        return len(self._waiting)

    def add(self, results: Iterable[Result]) -> None:
        """Write these soon."""
        self._waiting.extend(results)
        self._has_any.set()

    async def write(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Wait until there are some, and write them, or a part.

        :raises StoreDown: it is away, and they wait
        """
        await self._has_any.wait()
        if len(self._waiting) < CHUNK:
            await sleep(GATHER)
        await self._write()
        if not self._waiting:
            self._has_any.clear()

    async def flush(self) -> None:
        """Write all that there are.

        :raises StoreDown: it is away
        """
        while self._waiting:
            await self._write()

    async def _write(self) -> None:
        chunk = self._waiting[: self._count()]
        # What a line has cost is safe before its result is: else it would be paid for, and not be counted.
        self._make_safe()
        try:
            await self._put([self._summed(result) for result in chunk])
        except StoreDown:
            # It may have been too much for the time that there is.
            self._most = max(1, len(chunk) // 2)
            raise
        self._most = min(CHUNK, 2 * self._most)
        del self._waiting[: len(chunk)]
        self._on_written({result.lease.batch for result in chunk})

    def _count(self) -> int:
        """How many are written at once."""
        size, count = 0, 0
        for result in self._waiting[: self._most]:
            size, count = size + len(result.body), count + 1
            if size > MAX_BYTES:
                return max(1, count - 1)
        return count

    async def _put(self, results: Sequence[Result]) -> None:
        try:
            refused = await self._work.finish(results)
        except Refused:
            await self._put_singly(results)
            return
        for result in results:
            line = self._held.find(result.lease)
            if line is not None:
                self._held.let_go(line)
            if result.lease not in refused:
                self._counts.count(is_failed=result.is_failed)

    def _summed(self, result: Result) -> Result:
        """With all that its line has cost, some of which may be known only by now."""
        line = self._held.find(result.lease)
        return result if line is None else summed(result, line.used)

    async def _put_singly(self, results: Sequence[Result]) -> None:
        """One of them cannot be stored, which is to keep none of the others."""
        if len(results) > 1:
            for result in results:
                await self._put([result])
            return
        [result] = results
        lease, short = result.lease, failed(result.lease)
        log.error("what came of line %d of batch %s cannot be stored", lease.number, lease.batch)
        if result != short:
            await self._put([short])
        elif (line := self._held.find(lease)) is not None:
            self._held.let_go(line)
