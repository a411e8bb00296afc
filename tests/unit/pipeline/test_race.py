from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.pipeline.race import Outrun, Race
from pointsman.routing.settings import Hedging

Make = Callable[..., Any]
CHAT: dict[str, Any] = {"model": "house", "messages": [{"role": "user", "content": "x" * 360}]}
STREAM: dict[str, Any] = CHAT | {"stream": True}
ERROR = b'{"error":{"message":"no"}}'
EVENTS = b"text/event-stream"
ROLE = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
AT_ONCE = Hedging(delay=0.0)
NEVER = Hedging(delay=1e6)


async def endless() -> None:
    await asyncio.Event().wait()


async def run_two() -> tuple[Race, asyncio.Task[None], asyncio.Task[None]]:
    race = Race()
    first, second = asyncio.create_task(endless()), asyncio.create_task(endless())
    race.add("first", first)
    race.add("second", second)
    await asyncio.sleep(0)
    return race, first, second


async def cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_attempts_and_their_tasks_are_told_in_the_order_of_their_beginning() -> None:
    race, first, second = await run_two()
    assert race.attempts == ["first", "second"]
    assert race.tasks == [first, second]
    assert race.winner is None
    await cancel(first, second)


@pytest.mark.parametrize("winner", ["first", "second"])
async def test_who_wins_goes_on_and_the_other_is_cancelled(winner: str) -> None:
    race, first, second = await run_two()
    race.win(winner)
    await asyncio.sleep(0)
    assert race.winner == winner
    assert (first.cancelled(), second.cancelled()) == (winner == "second", winner == "first")
    await cancel(first, second)


async def test_nobody_has_lost_before_somebody_has_won() -> None:
    race, first, second = await run_two()
    assert race.losers == []
    race.win("second")
    assert race.losers == ["first"]
    await cancel(first, second)


async def test_a_race_is_won_once() -> None:
    race, first, second = await run_two()
    race.win("first")
    race.win("first")
    with pytest.raises(Outrun):
        race.win("second")
    assert race.winner == "first"
    await cancel(first, second)


# Races of the pipeline: a second attempt beside one that is slow to answer.
