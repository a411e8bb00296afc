"""What calls of tools may use, and what they have used: limits and budgets as of models.

A tool is measured like a model that is called ``mcp:{server}/{tool}``, of the group ``mcp:{server}``: by these names a
key may have limits and budgets of its own, and under the first one its spend is written down. What else is asked of a
server is measured like the group itself; it costs nothing, and no spend is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from pointsman.access.budgets import nanos
from pointsman.access.caller import Caller
from pointsman.mcp.settings import ServerSettings
from pointsman.pipeline.bill import MAX_NAME
from pointsman.pipeline.till import Till
from pointsman.pipeline.use_metering import Use, UseMetering

PROVIDER: Final = "mcp"
OPERATION: Final = "call_mcp_tool"
ALL: Final = "*"


class ToolMetering:
    """A :class:`~pointsman.mcp.base.Meter` that books at a till."""

    def __init__(self, till: Till, servers: Callable[[], Mapping[str, ServerSettings]]) -> None:
        """``servers`` tells what calls cost, by server."""
        self._metering = UseMetering(till, PROVIDER, OPERATION)
        self._servers = servers

    async def open(
        self, caller: Caller, server: str, tool: str | None, request_id: str = "", *, has_slot: bool = False
    ) -> Callable[[bool, bool], None]:
        """Reserve a call, or with ``None`` another request; see :class:`~pointsman.mcp.base.Meter`.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        :raises Overloaded: what was spent is not known
        """
        use = Use(
            model=f"mcp:{server}" if tool is None else f"mcp:{server}/{tool}"[:MAX_NAME],
            group=f"mcp:{server}",
            deployment=server,
            part=tool or "",
            cost=self._cost(server, tool),
            is_written=tool is not None,
            request_id=request_id,
            has_slot=has_slot,
        )
        return await self._metering.open(caller, use)

    def _cost(self, server: str, tool: str | None) -> int:
        """Nano-dollars of a call."""
        settings = self._servers().get(server)
        if settings is None or tool is None:
            return 0
        prices = settings.cost_usd
        return nanos(Decimal(prices.get(tool, prices.get(ALL, "0"))))
