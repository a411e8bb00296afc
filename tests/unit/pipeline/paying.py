"""A pipeline whose callers pay for what they use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from pointsman.access.caller import Caller, Family, caller_of
from pointsman.access.keys import Key
from pointsman.pipeline.spending import Spending
from pointsman.pipeline.till import Till
from pointsman.store.base import AMOUNTS, Records, Spend, SpendEvent, StoreDown
from pointsman.store.memory import MemoryCounters

NOW = 1_800_000_000.0
ANSWER = (
    b'{"choices":[{"index":0,"message":{"content":"Hi"}}],'
    b' "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}'
)
CHAT = {"model": "house", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
EVENTS = b"text/event-stream"
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"Hi there"}}]}\n\n'
COST = Decimal("0.020")
"""Of the usual answer: 10 tokens at 0.001 and 5 at 0.002."""


class Ledger:
    """What would be written, and what was spent before."""

    def __init__(self) -> None:
        self.events: list[SpendEvent] = []
        self.spent: Decimal | StoreDown = Decimal(0)
        self.asked: list[tuple[Mapping[str, str], float]] = []

    def put(self, event: SpendEvent) -> None:
        self.events.append(event)

    def note(self) -> None:
        """All is written."""

    async def flush(self) -> None:
        """The same."""

    async def spent_since(self, scope: Mapping[str, str], since: float) -> Decimal:
        self.asked.append((scope, since))
        if isinstance(self.spent, StoreDown):
            raise self.spent
        return self.spent

    async def spend_by(
        self, group_by: Sequence[str], start: float, end: float, where: Mapping[str, str], limit: int
    ) -> list[Spend]:
        """Of each model, by what was put there."""
        assert (tuple(group_by), start < NOW < end, limit > 0) == (("model",), True, True)
        self.asked.append((where, start))
        costs: dict[str, int] = {}
        for event in self.events:
            costs[event.model] = costs.get(event.model, 0) + event.cost_nano_usd
        others = dict.fromkeys(set(AMOUNTS) - {"cost_nano_usd"}, 0)
        return [Spend(group={"model": name}, cost_nano_usd=cost, **others) for name, cost in costs.items()]

    @property
    def total(self) -> int:
        return sum(event.cost_nano_usd for event in self.events)


class World:
    """A rig whose callers pay."""

    def __init__(self, make: Callable[..., Any], *deployments: Any, **settings: Any) -> None:
        self.ledger = Ledger()
        self.till = Till(now=lambda: NOW)
        self.till.open_ledger(cast("Records", self.ledger), cast("Spending", self.ledger))
        self.rig = make(*deployments, till=self.till, **settings)
        self.till.leads_to = self.rig.pipeline.leads_to

    def forget(self) -> None:
        """All that was counted: the ledger is what is left."""
        self.till.counters = MemoryCounters(self.till.rebuild)

    async def ask(self, caller: Caller, body: Any = CHAT, **call: Any) -> Any:
        made = self.rig.call(**call)
        made.caller = caller
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        try:
            await self.rig.pipeline.serve(made, raw)
        finally:
            # Before anybody is told, as the outbox has it.
            self.till.note_down()
        return self.rig.downstream

    def left(self, caller: Caller, kind: str) -> int | None:
        """What is left of the caller's one limit of a kind."""
        limits = [*caller.limits.requests, *caller.limits.tokens, *caller.limits.slots]
        limits += [limit for one in caller.budgets if (limit := one.limit(NOW)) is not None]
        (found,) = (limit for limit in limits if limit.key.startswith(kind))
        return self.till.counters.remaining(found)


def key(**terms: Any) -> Caller:
    return caller_of(Family(id="row", key=Key(account="k1", **terms)), NOW)
