"""What calls of others than models may use, and what they have used: limits and budgets as of models.

What is called is measured like a model of some name, which belongs to a group of some other name: by these names a key
may have limits and budgets of its own, and under the first one its spend is written down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.estimates import FREE
from pointsman.access.limits import Charge, Refusal
from pointsman.access.tariffs import Moneys, Tariff, refused
from pointsman.pipeline.bill import MAX_NAME
from pointsman.pipeline.till import Till
from pointsman.store.base import SpendEvent

MAX_TARIFFS: Final = 10_000


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One call."""

    model: str
    """As what it is measured."""
    group: str
    deployment: str
    """Who is called."""
    part: str = ""
    """What of it."""
    cost: int = 0
    """Nano-dollars, where it has to be paid for."""
    is_written: bool = True
    """Whether its spend is written down."""
    request_id: str = ""
    has_slot: bool = False
    """Whether its request is counted already among those that its caller may have at a time."""


class UseMetering:
    """Books at a till."""

    def __init__(self, till: Till, provider: str, operation: str) -> None:
        """``provider`` and ``operation`` stand in what is written down."""
        self._till = till
        self._provider = provider
        self._operation = operation
        self._tariffs: dict[tuple[str, str], Tariff] = {}

    async def open(self, caller: Caller, use: Use) -> Callable[[bool, bool], None]:
        """Reserve a call; what is given is told of its end: whether it succeeded, and whether it has to be paid for.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        :raises Overloaded: what was spent is not known
        """
        till = self._till
        tariff = self._tariff(caller, use)
        moneys: Moneys = tariff.moneys(till.now()) if tariff.budgets else ()
        own = [one for one in tariff.charges if not (use.has_slot and one.limit.kind == "slots")]
        charges = [*own, *(Charge(limit, use.cost or 1) for _, limit in moneys)]
        grant = till.counters.reserve_now(charges)
        if grant is None:
            grant = await till.reserve(charges, {limit.key: budget for budget, limit in moneys})
        if isinstance(grant, Refusal):
            raise refused(grant, charges, moneys, till.now())
        reserved, begun = grant, till.now()

        def close(is_success: bool, is_due: bool) -> None:
            spent = use.cost if is_due else 0
            till.counters.settle(reserved, {limit.key: spent for _, limit in moneys})
            for budget, limit in moneys:
                if budget.soft is not None:
                    till.warn(budget, limit)
            if till.spending is not None and use.is_written:
                till.spending.put(self._event(tariff, use, begun, spent, is_success=is_success))

        return close

    def _tariff(self, caller: Caller, use: Use) -> Tariff:
        key = (caller.name, use.model)
        tariff = self._tariffs.get(key)
        if tariff is None or tariff.caller is not caller:
            while len(self._tariffs) >= MAX_TARIFFS:
                del self._tariffs[next(iter(self._tariffs))]
            tariff = self._tariffs[key] = Tariff(caller, use.model, use.group, FREE)
        return tariff

    def _event(self, tariff: Tariff, use: Use, begun: float, spent: int, *, is_success: bool) -> SpendEvent:
        return SpendEvent(
            id=next(self._till.ids),
            at=begun,
            request_id=use.request_id,
            operation=self._operation,
            key_id=tariff.key_id,
            team_id=tariff.team_id,
            user_id=tariff.user_id,
            organization_id=tariff.organization_id,
            model=tariff.model,
            deployment=use.deployment,
            upstream_model=use.part[:MAX_NAME],
            provider=self._provider,
            status="success" if is_success else "failure",
            failures=0 if is_success else 1,
            cost_nano_usd=spent,
            ended_at=self._till.now(),
            tags=tariff.tags,
        )
