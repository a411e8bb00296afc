"""The rest is told by those who are metered: test_tool_metering, test_agent_metering."""

from __future__ import annotations

from typing import cast

from unit.pipeline.paying import NOW, Ledger

from pointsman.access.caller import MASTER
from pointsman.pipeline.spending import Spending
from pointsman.pipeline.till import Till
from pointsman.pipeline.use_metering import Use, UseMetering
from pointsman.store.base import Records


async def test_what_is_used_is_written_down_as_whose_it_is() -> None:
    ledger, till = Ledger(), Till(now=lambda: NOW)
    till.open_ledger(cast("Records", ledger), cast("Spending", ledger))
    metering = UseMetering(till, "them", "do")
    use = Use(model="m", group="g", deployment="d", part="p" * 1000, cost=7)
    (await metering.open(MASTER, use))(False, True)
    [event] = ledger.events
    assert (event.provider, event.operation, event.deployment, event.cost_nano_usd) == ("them", "do", "d", 7)
    assert (event.status, event.failures, len(event.upstream_model)) == ("failure", 1, 200)
    (await metering.open(MASTER, Use(model="m", group="g", deployment="d", is_written=False)))(True, True)
    assert len(ledger.events) == 1
