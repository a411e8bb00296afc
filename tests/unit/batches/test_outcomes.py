from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from work import MemoryWork

from pointsman.batches import outcomes as module
from pointsman.batches.held import Held, Line
from pointsman.batches.outcomes import CHUNK, GATHER, Outcomes
from pointsman.pipeline.used import Used
from pointsman.store.base import Refused, StoreDown
from pointsman.store.work import Claimed, LineLease, Result
from pointsman.telemetry.batches import LineCounts
from pointsman.telemetry.tasks import Tasks


class Work(MemoryWork):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[list[Result]] = []
        self.refused: set[int] = set()
        self.most = 1_000

    async def finish(self, results: Sequence[Result]) -> set[LineLease]:
        if len(results) > self.most:
            raise StoreDown("no answer in time")
        if any(result.lease.number in self.refused and result.status == 200 for result in results):
            raise Refused("it is too large")
        self.written.append(list(results))
        return {result.lease for result in results if result.lease.number == 99}


class World:
    """Outcomes, and all that they tell others."""

    def __init__(self) -> None:
        self.work = Work()
        self.held = Held(self.work, "me", Tasks(logging.getLogger("tests"), 10))
        self.counts = LineCounts()
        self.told: list[str] = []
        self.slept: list[float] = []
        self.outcomes = Outcomes(
            self.work,
            self.held,
            self.counts,
            lambda: self.told.append("safe"),
            lambda batches: self.told.extend(sorted(batches)),
        )

    def add(self, *numbers: int, body: bytes = b"{}") -> None:
        for number in numbers:
            lease = LineLease("batch_1", number, 1)
            line = Line(Claimed(lease, "a", 0, 1, 0))
            line.used = Used(output_tokens=number)
            self.held.take(line)
            self.outcomes.add([Result(lease=lease, status=200, body=body)])

    async def write(self) -> None:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        await self.outcomes.write(sleep)

    @property
    def sizes(self) -> list[int]:
        return [len(results) for results in self.work.written]


@pytest.fixture
def world() -> World:
    return World()


async def test_results_are_written_together_after_what_they_cost_is_safe(world: World) -> None:
    world.add(1, 2, 99)
    await world.write()
    assert (world.slept, world.told) == ([GATHER], ["safe", "batch_1"])
    assert [result.output_tokens for result in world.work.written[0]] == [1, 2, 99]
    # One of them was not taken: its line was somebody else's.
    assert (world.counts.completed, len(world.held), len(world.outcomes)) == (2, 0, 0)
    waiting = asyncio.create_task(world.write())
    await asyncio.sleep(0)
    assert not waiting.done()
    world.add(*range(100, 100 + CHUNK))
    await waiting
    assert world.slept == [GATHER]


async def test_what_is_too_much_for_the_store_is_written_in_parts(world: World) -> None:
    world.work.most = 20
    world.add(*range(1, 61))
    for _ in range(2):
        with pytest.raises(StoreDown):
            await world.write()
    assert (len(world.outcomes), len(world.held)) == (60, 60)
    await world.write()
    assert world.sizes == [15]


async def test_at_the_end_all_are_written_however_many_and_large_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    world.add(*range(1, 6), body=b"x" * 40)
    world.add(6, body=b"x" * 400)
    await world.outcomes.flush()
    assert world.sizes == [2, 2, 1, 1]
    assert len(world.outcomes) == 0


async def test_what_cannot_be_stored_is_told_as_a_failure(world: World) -> None:
    world.work.refused = {2}
    world.add(1, 2, 3)
    await world.write()
    assert [result.status for [result] in world.work.written] == [200, 500, 200]
    assert (world.counts.completed, world.counts.failed, len(world.held)) == (2, 1, 0)
