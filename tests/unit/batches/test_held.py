from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

import pytest
from work import MemoryWork

from pointsman.batches import held as module
from pointsman.batches.held import Held, Line
from pointsman.batches.lines import MAX_LAPSES, SUSPECTED
from pointsman.store.base import StoreDown
from pointsman.store.work import Claimed, LineLease
from pointsman.telemetry.tasks import Tasks


class Work(MemoryWork):
    """Notes what is given back, and who has lost what."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.given: list[tuple[list[int], float]] = []
        self.lapses: list[int] = []
        self.renewed: list[int] = []
        self.lost: set[LineLease] = set()

    async def give_back(
        self, leases: Collection[LineLease], seconds: float = 0.0, lapses: Mapping[LineLease, int] = {}
    ) -> None:
        if self.is_away:
            raise StoreDown("it is away")
        self.given.append(([lease.number for lease in leases], seconds))
        self.lapses += [lapses[lease] for lease in leases]

    async def renew(self, holder: str, leases: Collection[LineLease], seconds: float = 60.0) -> set[LineLease]:
        self.renewed.append(len(leases))
        return self.lost & set(leases)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def held(work: Work) -> Held:
    return Held(work, "me", Tasks(logging.getLogger("tests"), 10))


def line(number: int = 1, length: int = 10, lapses: int = 0) -> Line:
    return Line(Claimed(LineLease("batch_1", number, 1), f"line-{number}", 0, length, lapses))


def test_a_line_is_held_until_it_is_let_go(held: Held) -> None:
    one = line()
    held.take(one)
    assert (len(held), held.find(one.claimed.lease), held.room) == (1, one, module.MAX_BYTES - 10)
    held.let_go(one)
    held.let_go(one)
    assert (len(held), held.find(one.claimed.lease), held.room) == (0, None, module.MAX_BYTES)


def test_there_is_an_end_to_what_is_held_in_lines_and_in_bytes(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 4)
    for number in range(4):
        assert (held.is_crowded, held.is_full) == (number >= 2, False)
        held.take(line(number))
    assert held.is_full
    monkeypatch.setattr(module, "MAX_HELD", 100)
    monkeypatch.setattr(module, "MAX_BYTES", 80)
    assert (held.is_crowded, held.is_full) == (True, False)
    held.take(line(5, 40))
    assert held.is_full


def test_a_line_is_suspected_after_a_few_lapses_and_not_run_any_more_after_some_more() -> None:
    found = [line(lapses=lapses).is_suspected for lapses in (SUSPECTED - 1, SUSPECTED, MAX_LAPSES - 1, MAX_LAPSES)]
    assert found == [False, True, True, False]


async def test_all_leases_are_renewed_and_what_is_somebody_elses_is_given_up(
    held: Held, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    lines = [line(number) for number in range(3)]
    for one in lines:
        held.take(one)
    lines[0].task = asyncio.create_task(asyncio.sleep(60))
    work.lost = {lines[0].claimed.lease}
    await held.renew(45.0)
    assert work.renewed == [2, 1]
    assert ([one.is_lost for one in lines], len(held)) == ([True, False, False], 2)
    await asyncio.wait([lines[0].task])
    assert lines[0].task.cancelled()


@pytest.mark.requirement("batches.taken-over")
async def test_what_cannot_be_given_back_is_the_next_time_and_nothing_that_was_lost(held: Held, work: Work) -> None:
    first, lost, second = line(1), line(2), line(3)
    for one in (first, lost, second):
        held.take(one)
    lost.is_lost = True
    work.is_away = True
    with pytest.raises(StoreDown):
        await held.give_back([first, lost], 5.0)
    assert len(held) == 1
    held.give_back_soon([second])
    await asyncio.sleep(0)
    assert len(held) == 0
    work.is_away = False
    await held.give_back()
    await held.give_back()
    assert work.given == [([1, 3], 0.0)]


@pytest.mark.requirement("batches.poison")
async def test_lines_that_came_to_an_end_here_go_back_as_suspected_no_more(held: Held, work: Work) -> None:
    failed, refused, new, once = [line(number, 10, lapses) for number, lapses in enumerate((4, 3, 4, 1))]
    failed.tries = refused.refusals = once.tries = 1
    work.is_away = True
    with pytest.raises(StoreDown):
        await held.give_back([failed, new])
    work.is_away = False
    await held.give_back([refused])
    await held.give_back([once])
    assert (work.given, work.lapses) == ([([0, 2, 1], 0.0), ([3], 0.0)], [SUSPECTED - 1, 4, SUSPECTED - 1, 1])
