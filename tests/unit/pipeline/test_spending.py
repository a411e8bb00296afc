from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.pipeline.spending import BATCH, MAX_CONTENT_BYTES, MAX_QUEUED, Retention, Spending, folded, keep_tidy
from pointsman.store.base import AMOUNTS, GROUPS, Records, Refused, SpendEvent, StoreDown
from pointsman.store.journal import Journal
from pointsman.store.spool import Spool


class FakeRecords:
    """Takes events, unless it is down; where ``is_unsure`` it takes them and does not say so."""

    def __init__(self) -> None:
        self.events: dict[str, SpendEvent] = {}
        self.calls: list[int] = []
        self.is_down = False
        self.is_unsure = False
        self.refused: set[str] = set()
        self.swept: list[tuple[float, float | None]] = []

    async def append_spend(self, events: Sequence[SpendEvent]) -> None:
        self.calls.append(len(events))
        if self.is_down:
            raise StoreDown("gone")
        if self.refused & {event.id for event in events}:
            raise Refused("no")
        for event in events:
            known = self.events.setdefault(event.id, event)
            if known.content is None:
                self.events[event.id] = event
        if self.is_unsure:
            raise StoreDown("slow")

    async def sweep(self, *, events_before: float, content_before: float | None = None) -> int:
        self.swept.append((events_before, content_before))
        if self.is_down:
            raise StoreDown("gone")
        return 1

    @property
    def cost(self) -> int:
        return sum(event.cost_nano_usd for event in self.events.values())


@pytest.fixture
def records() -> FakeRecords:
    return FakeRecords()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", "a")


def writer(records: FakeRecords, spool: Spool, *, max_queued: int = MAX_QUEUED) -> Spending:
    return Spending(cast("Records", records), spool, max_queued=max_queued)


def event(number: int, **values: Any) -> SpendEvent:
    return SpendEvent(**{"id": f"e{number}", "at": 1000.0, "cost_nano_usd": 1, **values})


def full_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object, **__: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(spool, "write", write)


async def test_events_are_appended_many_at_a_time_and_off_the_path(records: FakeRecords, spool: Spool) -> None:
    spending = writer(records, spool)
    for number in range(BATCH + 2):
        spending.put(event(number))
    assert records.calls == []
    await spending.flush()
    assert records.calls == [BATCH, 2]
    assert spending.waiting == 0
    assert not spool.directory.exists()


@pytest.mark.requirement("spend.spool")
async def test_what_comes_while_others_are_written_waits_until_there_is_more_of_it(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending = writer(records, spool)
    append = records.append_spend

    async def append_and_serve(events: Sequence[SpendEvent]) -> None:
        spending.put(event(1_000_000 + len(records.calls)))
        await append(events)

    monkeypatch.setattr(records, "append_spend", append_and_serve)
    for number in range(BATCH):
        spending.put(event(number))
    assert await spending.flush()
    assert (records.calls, spending.waiting) == ([BATCH], 1)


async def test_while_the_database_is_away_events_wait_on_disk_and_are_written_when_it_is_back(
    records: FakeRecords, spool: Spool
) -> None:
    spending = writer(records, spool)
    records.is_down = True
    for number in range(1_500):
        spending.put(event(number))
    assert not await spending.flush()
    assert spending.waiting == 0
    assert records.events == {}
    assert not await spending.flush()
    records.is_down = False
    spending.put(event(1_500))
    assert await spending.flush()
    assert len(records.events) == 1_501
    assert list(spool.directory.iterdir()) == []


async def test_an_event_whose_fate_is_unknown_is_written_again_with_its_id(records: FakeRecords, spool: Spool) -> None:
    spending = writer(records, spool)
    records.is_unsure = True
    for number in range(10):
        spending.put(event(number))
    await spending.flush()
    records.is_unsure = False
    await spending.flush()
    assert records.cost == 10
    assert records.calls == [10, 10]


async def test_what_another_process_left_is_written(records: FakeRecords, spool: Spool) -> None:
    spool.write([event(1)])
    spool.close()
    await writer(records, Spool(spool.directory, "b")).flush()
    assert set(records.events) == {"e1"}


async def test_a_database_that_goes_away_again_leaves_the_rest_on_disk(records: FakeRecords, spool: Spool) -> None:
    records.is_down = True
    spending = writer(records, spool)
    for number in range(BATCH + 200):
        spending.put(event(number))
    await spending.flush()
    records.is_down = False
    append = records.append_spend

    async def append_once(events: Sequence[SpendEvent]) -> None:
        await append(events)
        records.is_down = True

    records.append_spend = append_once  # type: ignore[method-assign]
    await spending.flush()
    assert len(records.events) == BATCH
    records.is_down, records.append_spend = False, append  # type: ignore[method-assign]
    await spending.flush()
    assert records.cost == BATCH + 200


async def test_contents_are_written_after_an_outage_too(records: FakeRecords, spool: Spool) -> None:
    spending = writer(records, spool)
    records.is_down = True
    spending.put(event(1, content={"text": "hi"}))
    await spending.flush()
    records.is_down = False
    await spending.flush()
    assert records.events["e1"].content == {"text": "hi"}


async def test_contents_in_memory_are_bounded_and_costs_stay(records: FakeRecords, spool: Spool) -> None:
    spending = writer(records, spool)
    for number in range(4):
        spending.put(event(number, content={"text": "x" * (MAX_CONTENT_BYTES // 3)}))
    assert spending.contents_dropped == 2
    await spending.flush()
    assert records.cost == 4
    spending.put(event(4, content={"text": "x" * (MAX_CONTENT_BYTES // 3)}))
    assert spending.contents_dropped == 2


@pytest.mark.requirement("spend.bounded")
async def test_when_the_disk_is_full_too_events_are_added_up_and_nothing_that_was_spent_is_forgotten(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records.is_down = True
    full_disk(spool, monkeypatch)
    spending = writer(records, spool, max_queued=2_000)
    for number in range(50_000):
        spending.put(event(number, key_id=f"k{number % 7}", model=f"m{number % 3}"))
        if number % 5_000 == 0:
            await spending.flush()
    assert spending.waiting <= 2_000 + BATCH
    assert spending.lost == 0
    assert len([r for r in caplog.records if "kept in memory" in r.getMessage()]) == 1
    monkeypatch.undo()
    records.is_down = False
    await spending.flush()
    assert records.cost == 50_000
    assert sum(e.requests for e in records.events.values()) == 50_000


async def test_events_that_may_be_written_already_are_never_added_up(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(spool, monkeypatch)
    records.is_unsure = True
    spending = writer(records, spool, max_queued=100)
    for number in range(1_000):
        spending.put(event(number))
        if number % 50 == 10:
            await spending.flush()
    records.is_unsure = False
    await spending.flush()
    assert records.cost == 1_000


async def test_what_cannot_be_added_up_is_lost_and_counted(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full_disk(spool, monkeypatch)
    records.is_down = True
    spending = writer(records, spool, max_queued=100)
    for number in range(100):
        spending.put(event(number, key_id=f"k{number}"))
    await spending.flush()
    assert spending.waiting == 50
    assert spending.lost == 50
    assert "50 spend events are lost" in caplog.text


class SlowRecords(FakeRecords):
    """Takes events, but not before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def append_spend(self, events: Sequence[SpendEvent]) -> None:
        self.is_asked.set()
        await self.may_go_on.wait()
        await super().append_spend(events)


@pytest.mark.requirement("spend.bounded")
@pytest.mark.parametrize("has_journal", [False, True])
async def test_while_the_database_is_slow_what_is_too_much_waits_on_disk_one_by_one(
    spool: Spool, has_journal: bool
) -> None:
    records = SlowRecords()
    journal = Journal(spool.directory, "a") if has_journal else None
    spending = Spending(cast("Records", records), spool, journal, max_queued=100)
    spending.put(event(0))
    flushing = asyncio.create_task(spending.flush())
    await records.is_asked.wait()
    for number in range(1, 151):
        spending.put(event(number))
    assert spending.waiting == 151
    while spending.waiting > 51:
        await asyncio.sleep(0)
    records.may_go_on.set()
    assert await flushing
    assert await spending.flush()
    assert (len(records.events), records.cost, spending.folded, spending.waiting) == (151, 151, 0, 0)
    await spending.close()
    assert list(spool.directory.iterdir()) == []


async def test_what_is_on_its_way_to_the_disk_stays_in_the_journal_until_it_is_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, write, is_well = SlowRecords(), spool.write, Event()

    def write_slowly(events: Sequence[SpendEvent], *, is_last: bool = False) -> None:
        is_well.wait()
        write(events, is_last=is_last)

    monkeypatch.setattr(spool, "write", write_slowly)
    journal = Journal(spool.directory, "a")
    spending = Spending(cast("Records", records), spool, journal, max_queued=10)
    for number in range(10):
        spending.put(event(number))
    await asyncio.sleep(0)
    flushing = asyncio.create_task(spending.flush())
    for _ in range(20):
        await asyncio.sleep(0)
    records.may_go_on.set()
    killed(journal)
    await writer(records, Spool(spool.directory, "b")).flush()
    assert records.cost == 10
    is_well.set()
    await flushing


async def test_an_event_that_the_database_refuses_takes_no_other_one_with_it(
    records: FakeRecords, spool: Spool
) -> None:
    records.refused = {"e3"}
    spending = writer(records, spool)
    for number in range(10):
        spending.put(event(number))
    await spending.flush()
    assert set(records.events) == {f"e{number}" for number in range(10)} - {"e3"}
    assert spending.lost == 1
    assert spending.waiting == 0


async def test_closing_writes_what_waits(records: FakeRecords, spool: Spool) -> None:
    spending = writer(records, spool)
    spending.put(event(1))
    await spending.close()
    assert set(records.events) == {"e1"}


async def test_closing_without_a_database_leaves_it_on_disk_even_if_that_is_full(
    records: FakeRecords, tmp_path: Path
) -> None:
    records.is_down = True
    spending = writer(records, Spool(tmp_path, "a", max_bytes=1))
    spending.put(event(1))
    await spending.close()
    records.is_down = False
    await writer(records, Spool(tmp_path, "b")).flush()
    assert set(records.events) == {"e1"}


async def test_closing_without_database_and_disk_says_what_is_lost(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records.is_down = True
    full_disk(spool, monkeypatch)
    spending = writer(records, spool)
    spending.put(event(1, requests=5))
    await spending.close()
    assert spending.lost == 5
    assert "are lost" in caplog.text


async def test_a_spool_that_cannot_be_read_is_said_once_and_does_not_end_the_writing(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def take() -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(spool, "take", take)
    spending = writer(records, spool)
    for number in range(3):
        spending.put(event(number))
        await spending.flush()
    assert records.cost == 3
    assert [record.getMessage() for record in caplog.records] == [
        "spend events on disk cannot be read: input/output error"
    ]


async def test_it_runs_until_it_is_cancelled(records: FakeRecords, spool: Spool) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    spending = writer(records, spool)
    spending.put(event(1))
    with pytest.raises(asyncio.CancelledError):
        await spending.run(sleep)
    assert set(records.events) == {"e1"}


async def test_what_is_too_old_is_swept_away_once_in_an_hour_whatever_happened_before(records: FakeRecords) -> None:
    times = iter([1_000_000.0, 1_003_600.0])

    async def sleep(seconds: float) -> None:
        assert seconds == 3_600.0
        if len(records.swept) == 2:
            raise asyncio.CancelledError
        records.is_down = True

    with pytest.raises(asyncio.CancelledError):
        await keep_tidy(
            cast("Records", records),
            lambda: Retention(events=1_000.0, contents=100.0),
            now=lambda: next(times),
            sleep=sleep,
        )
    assert records.swept == [(999_000.0, 999_900.0), (1_002_600.0, 1_003_500.0)]


EVENTS = st.lists(
    st.builds(
        SpendEvent,
        id=st.uuids().map(str),
        at=st.floats(0, 20_000),
        key_id=st.sampled_from("ab"),
        model=st.sampled_from("mn"),
        status=st.sampled_from(["success", "timeout"]),
        requests=st.integers(1, 5),
        cost_nano_usd=st.integers(0, 10**12),
        input_tokens=st.integers(0, 1000),
    ),
    max_size=30,
)


@given(EVENTS)
def test_folding_keeps_every_sum_that_the_ledger_can_be_asked_for(events: list[SpendEvent]) -> None:
    def sums(of: Sequence[SpendEvent]) -> dict[tuple[Any, ...], list[int]]:
        found: dict[tuple[Any, ...], list[int]] = {}
        for one in of:
            group = (one.at // 3_600, *(getattr(one, name) for name in GROUPS), one.status)
            amounts = found.setdefault(group, [0] * len(AMOUNTS))
            found[group] = [a + getattr(one, name) for a, name in zip(amounts, AMOUNTS, strict=True)]
        return found

    once = folded(events)
    assert sums(once) == sums(events)
    assert len(once) == len(sums(events))
    assert folded(once) == once


def killed(journal: Journal) -> None:
    """Its locks end with the process."""
    journal.close()


@pytest.mark.requirement("spend.spool")
async def test_what_waits_outlives_a_process_that_is_killed_and_counts_once(records: FakeRecords, spool: Spool) -> None:
    journal = Journal(spool.directory, "a")
    spending = Spending(cast("Records", records), spool, journal)
    spending.put(event(1))
    spending.put(event(2, content={"text": "hi"}))
    await asyncio.sleep(0)
    records.is_unsure = True
    assert records.events == {}
    killed(journal)
    other = writer(records, Spool(spool.directory, "b"))
    await other.flush()
    records.is_unsure = False
    await other.flush()
    assert records.cost == 2
    assert list(spool.directory.iterdir()) == []


async def test_each_turn_of_the_event_loop_is_written_at_once(records: FakeRecords, spool: Spool) -> None:
    written: list[list[str]] = []

    class Noting(Journal):
        def write(self, events: Sequence[SpendEvent]) -> None:
            written.append([one.id for one in events])

    spending = Spending(cast("Records", records), spool, Noting(spool.directory, "a"))
    for number in range(3):
        spending.put(event(number))
    await asyncio.sleep(0)
    spending.put(event(3))
    await asyncio.sleep(0)
    assert written == [["e0", "e1", "e2"], ["e3"]]


@pytest.mark.parametrize("is_down", [False, True])
async def test_what_is_in_the_database_or_the_spool_leaves_the_journal(
    records: FakeRecords, spool: Spool, is_down: bool
) -> None:
    journal = Journal(spool.directory, "a")
    spending = Spending(cast("Records", records), spool, journal)
    records.is_down = is_down
    spending.put(event(1))
    await asyncio.sleep(0)
    await spending.flush()
    # This one has come since.
    spending.put(event(2))
    await asyncio.sleep(0)
    killed(journal)
    spool.close()
    records.is_down = False
    await writer(records, Spool(spool.directory, "b")).flush()
    assert records.calls == ([1, 1, 1] if is_down else [1, 1])
    assert set(records.events) == {"e1", "e2"}


async def test_what_is_nowhere_else_stays_in_the_journal(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(spool.directory, "a")
    spending = Spending(cast("Records", records), spool, journal)
    records.is_down = True
    full_disk(spool, monkeypatch)
    for number in range(3):
        spending.put(event(number))
        await asyncio.sleep(0)
        await spending.flush()
    killed(journal)
    records.is_down = False
    await writer(records, Spool(spool.directory, "b")).flush()
    assert records.cost == 3


async def test_what_is_added_up_is_not_counted_again_one_by_one(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(spool.directory, "a")
    spending = Spending(cast("Records", records), spool, journal, max_queued=10)
    for number in range(10):
        spending.put(event(number))
    await asyncio.sleep(0)
    await spending.flush()
    killed(journal)
    await writer(records, Spool(spool.directory, "b")).flush()
    assert records.cost == 10


async def test_closing_takes_the_journal_along(records: FakeRecords, spool: Spool) -> None:
    spending = Spending(cast("Records", records), spool, Journal(spool.directory, "a"))
    spending.put(event(1))
    await asyncio.sleep(0)
    await spending.close()
    assert records.cost == 1
    assert list(spool.directory.iterdir()) == []


async def test_without_room_for_a_journal_all_goes_on_and_it_is_said_once(
    records: FakeRecords, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(spool.directory, "a")

    def write(_: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(journal, "write", write)
    spending = Spending(cast("Records", records), spool, journal)
    for number in range(3):
        spending.put(event(number))
        await asyncio.sleep(0)
    await spending.flush()
    assert records.cost == 3
    assert caplog.text.count("no space left") == 1


@pytest.mark.requirement("spend.spool")
async def test_what_a_damaged_file_has_lost_is_counted(records: FakeRecords, spool: Spool) -> None:
    for number in range(3):
        spool.write([event(number)])
    spool.close()
    [path] = spool.directory.iterdir()
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(data)
    spending = writer(records, spool)
    # It is not all in the database, and never will be.
    assert not await spending.flush()
    assert not await spending.flush()
    assert (set(records.events), spending.lost) == ({"e1", "e2"}, 1)
