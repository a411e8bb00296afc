"""What calls of agents may use, and what they have used: limits and budgets as of models.

An agent is measured like a model that is called ``a2a:{agent}``: by this name a key may have limits and budgets of its
own, and under it the spend of messages is written down. What else is asked of an agent costs nothing, and no spend is
written down.

All who show no key share one limit for each agent, if any.

A model that is published as an agent is asked like any other: what is counted then, is not counted here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from pointsman.a2a.settings import AgentSettings
from pointsman.access.budgets import nanos
from pointsman.access.caller import MINUTE, NO_LIMITS, Caller, Limits
from pointsman.access.limits import Limit, name_of
from pointsman.pipeline.till import Till
from pointsman.pipeline.use_metering import Use, UseMetering

PROVIDER: Final = "a2a"
OPERATION: Final = "send_a2a_message"


class AgentMetering:
    """A :class:`~pointsman.a2a.calls.Meter` that books at a till."""

    def __init__(
        self,
        till: Till,
        agents: Callable[[], Mapping[str, AgentSettings]],
        public_rpm: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``agents`` tells what messages cost, by agent; ``public_rpm``: see :class:`~pointsman.a2a.settings`."""
        self._public_rpm = public_rpm
        self._metering = UseMetering(till, PROVIDER, OPERATION)
        self._agents = agents

    async def open(
        self, caller: Caller, agent: str, *, is_message: bool, request_id: str = "", has_slot: bool = False
    ) -> Callable[[bool, bool], None]:
        """Reserve a call; see :class:`~pointsman.a2a.calls.Meter`.

        :raises RateLimited: too many were made
        :raises BudgetExceeded: too much was spent
        :raises Overloaded: what was spent is not known
        """
        name = f"a2a:{agent}"
        settings = self._agents().get(agent)
        cost = nanos(Decimal(settings.cost_usd)) if is_message and settings is not None else 0
        is_model = is_message and settings is not None and settings.model != ""
        if is_model:
            caller = replace(caller, limits=NO_LIMITS)
        most = None if caller.name else self._public_rpm()
        if most is not None:
            limit = Limit(key=name_of("rpm", "public", name), kind="rate", ceiling=most, window=MINUTE)
            caller = replace(caller, limits=Limits(requests=(limit,)))
        use = Use(
            model=name,
            group=name,
            deployment=agent,
            cost=cost,
            is_written=is_message and (cost > 0 or not is_model),
            request_id=request_id,
            has_slot=has_slot,
        )
        return await self._metering.open(caller, use)
