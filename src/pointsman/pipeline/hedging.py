"""A second attempt beside one that is slow; the first that has something to show goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.outgoing import Outgoing
from pointsman.pipeline.race import Race
from pointsman.pipeline.targets import Target
from pointsman.routing.hedging import Hedges
from pointsman.wire.usage import Usage, estimate_tokens

Carry = Callable[[Attempt, Outgoing], Coroutine[Any, Any, None]]


class Hedging:
    """Makes attempts for groups that hedge."""

    def __init__(self, targets: Mapping[str, Target], clock: Callable[[], float]) -> None:
        self._targets = targets
        self._clock = clock

    async def make(self, carry: Carry, attempt: Attempt, outgoing: Outgoing, hedges: Hedges) -> Attempt:
        """Make an attempt, and another one beside it when it takes too long; gives the one that tells.

        ``carry`` makes one and leaves its failure in it.
        """
        began, call = attempt.sent, attempt.call
        delay = hedges.delay(call.operation.name, is_stream=call.is_stream, now=began)
        if delay is None:
            await carry(attempt, outgoing)
        else:
            attempt = await self._race(carry, attempt, outgoing, hedges, delay)
        if attempt.is_answered and attempt.answered is not None:
            first = attempt.answered if attempt.ttft is None else attempt.sent + attempt.ttft
            hedges.observe(call.operation.name, first - began, is_stream=call.is_stream)
        return attempt

    async def _race(self, carry: Carry, attempt: Attempt, outgoing: Outgoing, hedges: Hedges, delay: float) -> Attempt:
        race = attempt.race = Race()
        first = asyncio.create_task(carry(attempt, outgoing))
        race.add(attempt, first)
        try:
            await asyncio.wait((first,), timeout=delay)
            if not first.done() and race.winner is None:
                self._hedge(carry, attempt, race, outgoing, hedges)
            await asyncio.wait(race.tasks)
        finally:
            # If the client has left nobody wants any of them; what they have used is known when they have ended.
            for task in race.tasks:
                task.cancel()
            await asyncio.wait(race.tasks)
            attempt = race.winner or next((one for one in reversed(race.attempts) if one.error is not None), attempt)
            _count_others(race, attempt)
        for task in race.tasks:
            if not task.cancelled():
                task.result()
        return attempt

    def _hedge(self, carry: Carry, attempt: Attempt, race: Race, outgoing: Outgoing, hedges: Hedges) -> None:
        now = self._clock()
        choice = None if attempt.call.is_abandoned else attempt.plan.beside(attempt.member, now)
        if choice is None or not hedges.take(now):
            return
        second = Attempt(attempt.call, attempt.plan, choice, self._targets[choice.member.deployment.id], now)
        second.race = race
        second.priority = attempt.priority
        second.limit_first_byte(attempt.patience)
        given = estimate_tokens(outgoing.text_bytes)
        for one in (attempt, second):
            one.expect(Usage(input_tokens=given, output_tokens=0, total_tokens=given))
        race.add(second, asyncio.create_task(carry(second, outgoing)))


def _count_others(race: Race, told: Attempt) -> None:
    for other in race.attempts:
        if other is not told and other.error is not None:
            other.count_failed()
    for loser in race.losers:
        if loser.error is None:
            loser.meter.hedge(loser.expected_cost)
