"""What a provider has done of a batch is booked line by line, and written down as if it had been done here."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from pointsman.batches.lines import MAX_NUMBER
from pointsman.batches.protocol.lines import ENDPOINTS
from pointsman.batches.protocol.objects import BatchDoc
from pointsman.batches.protocol.providers.base import OK, Got, Progress, cost
from pointsman.pipeline.targets import UNKNOWN_PRICE, Target
from pointsman.pipeline.till import Till
from pointsman.store.base import SpendEvent, nano_usd
from pointsman.store.work import BatchRow, LineLease, Result, WorkRecords

PAGE: Final = 256
"""Results that are written at a time."""
PAGE_BYTES: Final = 4 << 20
"""With so much of them no more are written at once."""
log = logging.getLogger(__name__)


class Booking:
    """Books one batch."""

    def __init__(
        self, work: WorkRecords, till: Till, row: BatchRow, doc: BatchDoc, progress: Progress, target: Target
    ) -> None:
        self._work = work
        self._till = till
        self._row = row
        self._doc = doc
        self._progress = progress
        self._target = target
        self._price = target.price(None)
        if self._price == UNKNOWN_PRICE:
            model = target.deployment.upstream_model
            log.warning("batch %s is booked at no cost: no price is known of %r, see base_model", row.id, model)

    async def fill(self, results: AsyncGenerator[Got], is_mine: Callable[[], bool]) -> bool:
        """Book and write all that has come of the lines; whether that is still ours to do."""
        found: list[Got] = []
        size = 0
        async with aclosing(results):
            async for one in results:
                found.append(one)
                size += len(one.body)
                if len(found) >= PAGE or size >= PAGE_BYTES:
                    if not await self._write(found, is_mine):
                        return False
                    found, size = [], 0
        return await self._write(found, is_mine)

    async def _write(self, found: list[Got], is_mine: Callable[[], bool]) -> bool:
        results = [self._booked(one) for one in found]
        # What a line has cost is safe before its result is.
        self._till.note_down()
        return is_mine() and (not results or await self._work.fill(self._row.lease, results))

    def _booked(self, one: Got) -> Result:
        usage, is_failed = one.usage, one.status != OK
        nanos = min(MAX_NUMBER, nano_usd(cost(self._price, usage)))
        if self._till.spending is not None:
            self._till.spending.put(self._event(one, nanos))
        return Result(
            lease=LineLease(self._row.id, one.number, 0),
            status=one.status,
            body=one.body,
            request_id=one.request_id,
            is_failed=is_failed,
            input_tokens=min(MAX_NUMBER, usage.input_tokens),
            cached_tokens=min(MAX_NUMBER, usage.cached_input_tokens),
            output_tokens=min(MAX_NUMBER, usage.output_tokens),
            reasoning_tokens=min(MAX_NUMBER, usage.reasoning_tokens),
            cost_nano_usd=nanos,
        )

    def _event(self, one: Got, nanos: int) -> SpendEvent:
        row, who, deployment = self._row, self._progress.who, self._target.deployment
        is_failed = one.status != OK
        return SpendEvent(
            id=f"{row.id}-{one.number}",
            at=row.created_at,
            request_id=one.request_id,
            operation=ENDPOINTS[self._doc.endpoint].name,
            key_id=who.key_id,
            team_id=who.team_id,
            user_id=who.user_id,
            organization_id=who.organization_id,
            model=self._doc.model or "",
            deployment=self._progress.deployment,
            upstream_model=deployment.upstream_model,
            provider=deployment.vendor.name,
            status="upstream_error" if is_failed else "success",
            failures=int(is_failed),
            input_tokens=one.usage.input_tokens,
            output_tokens=one.usage.output_tokens,
            cached_tokens=one.usage.cached_input_tokens,
            cost_nano_usd=nanos,
            ended_at=self._till.now(),
            tags=who.tags,
        )
