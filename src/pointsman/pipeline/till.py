"""Counters and ledger of a process, as those see them who serve requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from pointsman.access.budgets import Budget
from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.errors import Overloaded
from pointsman.store.base import Records, StoreDown, nano_usd
from pointsman.store.counting import Counters
from pointsman.store.memory import MemoryCounters
from pointsman.telemetry.tasks import Tasks

if TYPE_CHECKING:
    from pointsman.pipeline.attempt import Attempt
    from pointsman.pipeline.bill import Bill
    from pointsman.pipeline.spending import Spending

MAX_REBUILT: Final = 10_000
"""Budgets whose counters may be asked for again."""
MAX_NAMES: Final = 10_000
"""Of models that one holder has called, the dearest first."""
MAX_ASKING: Final = 256
"""Budgets that the ledger is asked for at a time."""
log = logging.getLogger(__name__)


class Till:
    """Counters and ledger of a process."""

    def __init__(self, *, now: Callable[[], float], counters: Counters | None = None) -> None:
        """``now`` is seconds since 1970."""
        self.now = now
        self.counters = counters or MemoryCounters(self.rebuild)
        self.records: Records | None = None
        self.spending: Spending | None = None
        self.has_ledger = False
        """Whether there is to be one, even if it was not reached yet."""
        self.keeps_content = False
        """Whether prompts and answers are written down as well."""
        self.leads_to: Callable[[str, str], bool] = str.__eq__
        """Whether a call to a model of the first name is one to the second: it is an alias, or a pattern fits."""
        self._began = now()
        self.ids = map(f"{token_hex(8)}%x".__mod__, count(1))
        """Ids that no other event has."""
        self._budgets: dict[str, Budget] = {}
        self._tasks = Tasks(log, MAX_ASKING)
        self._rebuilding: dict[str, asyncio.Task[int | StoreDown]] = {}
        """By counter: those who want to know the same ask together."""
        self._warned: set[str] = set()
        self.ended: list[tuple[Bill, Attempt | None, float, float]] = []
        """What has ended in this turn of the event loop: calls, and attempts, when by both clocks.

        All is counted and written down at its end, before anybody is told: one after the other that takes half of what
        it takes amidst all else that is done for a call.
        """

    def open_ledger(self, records: Records, spending: Spending) -> None:
        """From now on, what is spent is written there."""
        self.records, self.spending, self.has_ledger = records, spending, True

    async def rebuild(self, limit: Limit) -> int:
        """Nano-dollars that the ledger knows to be spent of a budget; for the counters.

        Where it is away, nothing was spent of money that is new since this process is there, or that is only told of.

        :raises StoreDown: it cannot be asked
        """
        if not self.has_ledger:
            return 0
        budget = self._budgets.get(limit.key)
        if budget is None:
            raise StoreDown("nobody has asked for this budget")
        begins = budget.window(self.now()).begins
        asking = self._rebuilding.get(limit.key)
        if asking is None:
            # Whoever asks first may leave, and the others wait on.
            asking = self._tasks.start(self._spent(budget, begins), "ask the ledger")
            self._rebuilding[limit.key] = asking
            asking.add_done_callback(lambda _: self._rebuilding.pop(limit.key))
        spent = await asyncio.shield(asking)
        if not isinstance(spent, StoreDown):
            return spent
        if begins < self._began and budget.hard is not None:
            raise StoreDown(str(spent)) from spent
        return 0

    async def _spent(self, budget: Budget, since: float) -> int | StoreDown:
        """As a value, for there may be nobody left who waits for it."""
        if self.records is None or self.spending is None:
            return StoreDown("the ledger is not open")
        self._book()
        await self.spending.flush()
        try:
            return await self.spent(self.records, budget, since)
        except StoreDown as error:
            return error

    async def spent(self, records: Records, budget: Budget, since: float) -> int:
        """Nano-dollars of a budget that are spent since then, by what is in the ledger.

        :raises StoreDown: it cannot be asked
        """
        model = budget.model
        if model is None:
            return nano_usd(await records.spent_since(budget.booked, since))
        # There calls stand under the names that were asked for.
        sums = await records.spend_by(("model",), since, inf, budget.booked, MAX_NAMES)
        return sum(one.cost_nano_usd for one in sums if self.leads_to(one.group["model"], model))

    def note_down_soon(self) -> None:
        """At the end of this turn, even if nobody is told anything."""
        asyncio.get_running_loop().call_soon(self.note_down)

    def note_down(self) -> bool:
        """Have what was used until now be counted, and outlive this process; never raises.

        Gives whether that was anything.
        """
        has_ended = bool(self.ended)
        self._book()
        if self.spending is not None:
            self.spending.note()
        return has_ended

    def _book(self) -> None:
        ended, self.ended = self.ended, []
        for bill, attempt, now, ended_at in ended:
            try:
                if attempt is None:
                    bill.settle()
                else:
                    bill.write(attempt, now, ended_at)
            except Exception:
                log.exception("what a call has used was not booked")

    async def write_down(self) -> bool:
        """Write into the ledger what this process has spent; whether all of it is there."""
        self._book()
        return self.spending is None or await self.spending.flush()

    async def gather(self) -> bool:
        """Have all who share the counters do so; whether all who are known have."""
        is_whole = await self.write_down()
        return await self.counters.gather() and is_whole

    async def reserve(self, charges: Sequence[Charge], budgets: Mapping[str, Budget]) -> Grant | Refusal:
        """Ask others than this process.

        :raises Overloaded: what was spent is not known, and the ledger is away
        """
        for key, budget in budgets.items():
            self._budgets.pop(key, None)
            self._budgets[key] = budget
        while len(self._budgets) > MAX_REBUILT:
            del self._budgets[next(iter(self._budgets))]
        try:
            return await self.counters.reserve(charges)
        except StoreDown as error:
            raise Overloaded(
                "What this key has spent is not known at the moment; try again",
                code="store_unavailable",
                retry_after=1,
                operator_detail=str(error),
            ) from error

    def warn(self, budget: Budget, limit: Limit) -> None:
        """Say once that a soft budget is passed, if it is."""
        left = self.counters.remaining(limit)
        if left is None or limit.key in self._warned or not budget.is_soft_passed(limit.ceiling - left):
            return
        if len(self._warned) >= MAX_REBUILT:
            self._warned.clear()
        self._warned.add(limit.key)
        log.warning("the soft budget of the %s %s is passed: %s dollars", budget.kind, budget.id, budget.soft)
