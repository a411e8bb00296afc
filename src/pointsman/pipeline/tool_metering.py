"""What calls of tools may use, and what they have used: limits and budgets as of models.

A tool is measured like a model that is called ``mcp:{server}/{tool}``, of the group ``mcp:{server}``: by these names a
key may have limits and budgets of its own, and under the first one its spend is written down. What else is asked of a
server is measured like the group itself; it costs nothing, and no spend is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from pointsman.access.budgets import nanos
from pointsman.access.caller import Caller
from pointsman.access.estimates import FREE
from pointsman.access.limits import Charge, Refusal
from pointsman.access.tariffs import Moneys, Tariff, refused
from pointsman.mcp.settings import ServerSettings
from pointsman.pipeline.bill import MAX_NAME
from pointsman.pipeline.till import Till
from pointsman.store.base import SpendEvent

PROVIDER: Final = "mcp"
OPERATION: Final = "call_mcp_tool"
ALL: Final = "*"
MAX_TARIFFS: Final = 10_000


class ToolMetering:
    """A :class:`~pointsman.mcp.base.Meter` that books at a till."""

    def __init__(self, till: Till, servers: Callable[[], Mapping[str, ServerSettings]]) -> None:
        """``servers`` tells what calls cost, by server."""
        self._till = till
        self._servers = servers
        self._tariffs: dict[tuple[str, str], Tariff] = {}

    async def open(
        self, caller: Caller, server: str, tool: str | None, request_id: str = "", *, has_slot: bool = False
    ) -> Callable[[bool, bool], None]:
        """Reserve a call, or with ``None`` another request; see :class:`~pointsman.mcp.base.Meter`.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        :raises Overloaded: what was spent is not known
        """
        till = self._till
        tariff = self._tariff(caller, server, tool)
        cost = self._cost(server, tool)
        moneys: Moneys = tariff.moneys(till.now()) if tariff.budgets else ()
        own = [one for one in tariff.charges if not (has_slot and one.limit.kind == "slots")]
        charges = [*own, *(Charge(limit, cost or 1) for _, limit in moneys)]
        grant = till.counters.reserve_now(charges)
        if grant is None:
            grant = await till.reserve(charges, {limit.key: budget for budget, limit in moneys})
        if isinstance(grant, Refusal):
            raise refused(grant, charges, moneys, till.now())
        reserved, begun = grant, till.now()

        def close(is_success: bool, is_due: bool) -> None:
            spent = cost if is_due else 0
            till.counters.settle(reserved, {limit.key: spent for _, limit in moneys})
            for budget, limit in moneys:
                if budget.soft is not None:
                    till.warn(budget, limit)
            if till.spending is not None and tool is not None:
                event = self._event(tariff, server, tool, begun, spent, is_success=is_success)
                till.spending.put(replace(event, request_id=request_id))

        return close

    def _cost(self, server: str, tool: str | None) -> int:
        """Nano-dollars of a call."""
        settings = self._servers().get(server)
        if settings is None or tool is None:
            return 0
        prices = settings.cost_usd
        return nanos(Decimal(prices.get(tool, prices.get(ALL, "0"))))

    def _tariff(self, caller: Caller, server: str, tool: str | None) -> Tariff:
        model = f"mcp:{server}" if tool is None else f"mcp:{server}/{tool}"[:MAX_NAME]
        tariff = self._tariffs.get((caller.name, model))
        if tariff is None or tariff.caller is not caller:
            while len(self._tariffs) >= MAX_TARIFFS:
                del self._tariffs[next(iter(self._tariffs))]
            tariff = self._tariffs[caller.name, model] = Tariff(caller, model, f"mcp:{server}", FREE)
        return tariff

    def _event(
        self, tariff: Tariff, server: str, tool: str, begun: float, spent: int, *, is_success: bool
    ) -> SpendEvent:
        return SpendEvent(
            id=next(self._till.ids),
            at=begun,
            operation=OPERATION,
            key_id=tariff.key_id,
            team_id=tariff.team_id,
            user_id=tariff.user_id,
            organization_id=tariff.organization_id,
            model=tariff.model,
            deployment=server,
            upstream_model=tool[:MAX_NAME],
            provider=PROVIDER,
            status="success" if is_success else "failure",
            failures=0 if is_success else 1,
            cost_nano_usd=spent,
            ended_at=self._till.now(),
            tags=tariff.tags,
        )
