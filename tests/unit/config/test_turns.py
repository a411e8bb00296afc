from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pointsman.config.outcomes import Outcome
from pointsman.config.turns import Turns


class Step:
    """Goes on until the test lets it end."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_tidied = False

    async def run(self) -> Outcome:
        self.has_begun.set()
        try:
            await self.may_end.wait()
        finally:
            self.was_tidied = True
        return Outcome(notes=["done"])


async def take(turns: Turns, step: Step, *, is_exit: bool = False) -> Outcome | None:
    async with turns.turn(step.run(), is_exit=is_exit) as outcome:
        return outcome


@asynccontextmanager
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(5):
        yield


async def test_one_step_is_taken_at_a_time() -> None:
    turns, first, second = Turns(), Step(), Step()
    tasks = [asyncio.create_task(take(turns, one)) for one in (first, second)]
    async with patience():
        await first.has_begun.wait()
        assert not second.has_begun.is_set()
        first.may_end.set()
        second.may_end.set()
        assert await asyncio.gather(*tasks) == [Outcome(notes=["done"])] * 2


@pytest.mark.requirement("config.reload.exit")
async def test_an_exit_gives_up_what_is_tried_and_what_waits() -> None:
    turns, tried, waiting, back, later = Turns(), Step(), Step(), Step(), Step()
    tasks = [asyncio.create_task(take(turns, one)) for one in (tried, waiting)]
    async with patience():
        await tried.has_begun.wait()
        back.may_end.set()
        assert await take(turns, back, is_exit=True) == Outcome(notes=["done"])
        assert await asyncio.gather(*tasks) == [None, None]
        assert tried.was_tidied
        assert not waiting.has_begun.is_set()
        later.may_end.set()
        assert await take(turns, later) == Outcome(notes=["done"])


@pytest.mark.requirement("config.reload.exit")
async def test_what_is_in_force_is_not_given_up() -> None:
    turns, tried, back = Turns(), Step(), Step()
    task = asyncio.create_task(take(turns, tried))
    async with patience():
        await tried.has_begun.wait()
        turns.commit()
        back.may_end.set()
        going = asyncio.create_task(take(turns, back, is_exit=True))
        await asyncio.sleep(0)
        assert not back.has_begun.is_set()
        tried.may_end.set()
        assert list(await asyncio.gather(task, going)) == [Outcome(notes=["done"])] * 2


async def test_one_exit_does_not_give_up_another() -> None:
    turns, first, second = Turns(), Step(), Step()
    tasks = [asyncio.create_task(take(turns, one, is_exit=True)) for one in (first, second)]
    async with patience():
        await first.has_begun.wait()
        first.may_end.set()
        second.may_end.set()
        assert await asyncio.gather(*tasks) == [Outcome(notes=["done"])] * 2


async def test_who_is_cancelled_is_not_told_that_it_was_given_up() -> None:
    turns, tried = Turns(), Step()
    task = asyncio.create_task(take(turns, tried))
    async with patience():
        await tried.has_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert tried.was_tidied
    turns.commit()
