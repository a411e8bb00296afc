"""Any history of a queue: processes that claim, stall, die and come back, while batches are stopped and time goes on.

The same is asked of a database and of the queue in memory, which have to agree; and what became of each line is kept
here, so that none is lost and none is written twice whatever both of them say.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.databases import new_database, sqlite_url
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from work import MemoryWork

from pointsman.batches.protocol.states import ENDED, TRANSITIONS, ending, step
from pointsman.store.opening import records
from pointsman.store.schema import batch_lines, batches
from pointsman.store.settings import RecordSettings
from pointsman.store.sql import SqlRecords
from pointsman.store.work import BatchQuery, BatchRow, Claimed, LineLease, NewBatch, NewLine, Result, State
from pointsman.wire.secret import Secret

SECONDS: dict[str, Any] = {"read_seconds": 30.0, "write_seconds": 30.0}
HOLDERS = st.sampled_from(["a", "b", "c"])
RUNS = os.environ.get("POINTSMAN_WORK_RUNS")
"""How many histories to try, each another one; by default a few, always the same."""
LEASE = 60.0
WINDOW = 1_000.0


def new_lines(count: int) -> list[NewLine]:
    return [NewLine(number, f"c{number}", number, 1) for number in range(1, count + 1)]


def result(lease: LineLease, *, is_failed: bool = False) -> Result:
    """Which tells who has written it."""
    body = f"{lease.number}:{lease.fence}".encode()
    return Result(lease=lease, status=200, body=body, is_failed=is_failed, input_tokens=1, cost_nano_usd=3)


class Histories(RuleBasedStateMachine):
    runner: asyncio.Runner
    store: SqlRecords

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.run(self.empty())
        self.store.work._time = lambda _connection: self.now
        self.store.work._served = ""
        self.memory = MemoryWork(lambda: self.now)
        self.names: list[str] = []
        self.claimed: list[tuple[str, Claimed]] = []
        """By whom; also what is not theirs any more."""
        self.taken: list[BatchRow] = []
        self.accepted: Counter[tuple[str, int]] = Counter()
        self.states: dict[str, State] = {}

    async def empty(self) -> None:
        for table in (batch_lines, batches):
            await self.store._calls.write(lambda connection, table=table: connection.execute(table.delete()))  # type: ignore[misc]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def ask(self, name: str, *values: Any, **named: Any) -> Any:
        """Both, which have to say the same."""
        said = self.run(getattr(self.store.work, name)(*values, **named))
        assert said == self.run(getattr(self.memory, name)(*values, **named))
        return said

    @rule(count=st.integers(1, 4))
    def create(self, count: int) -> None:
        if len(self.names) < 4:
            name = f"b{len(self.names)}"
            self.now += 0.001
            self.ask("create", NewBatch(id=name, owner="me", seconds=WINDOW, doc={"count": count}))
            self.names.append(name)

    @rule(holder=HOLDERS)
    def take(self, holder: str) -> None:
        row = self.ask("take", holder, LEASE)
        if row is not None:
            self.taken.append(row)

    @precondition(lambda self: self.taken)
    @rule(place=st.integers(0, 100), has_died=st.booleans())
    def go_on_with_a_step(self, place: int, has_died: bool) -> None:
        """Also with one that has become somebody else's."""
        row = self.taken[place % len(self.taken)]
        what = step(row)
        if what == "validate":
            self.ask("add_lines", row.lease, new_lines(row.doc["count"])[: 1 if has_died else None])
            if not has_died:
                self.ask("validated", row.lease)
        elif what == "close":
            self.ask("close", row.lease, ending(row))
            if not has_died:
                self.ask("end", row.lease)
        elif what == "finalize" and not has_died:
            self.ask("end", row.lease)
        if not has_died:
            self.taken.remove(row)

    @precondition(lambda self: self.taken)
    @rule(place=st.integers(0, 100), seconds=st.sampled_from([0.0, 30.0]))
    def leave(self, place: int, seconds: float) -> None:
        self.ask("leave", self.taken.pop(place % len(self.taken)).lease, seconds)

    @precondition(lambda self: self.taken)
    @rule(place=st.integers(0, 100))
    def hold(self, place: int) -> None:
        self.ask("hold", self.taken[place % len(self.taken)].lease, LEASE)

    @rule(holder=HOLDERS, limit=st.integers(1, 4))
    def claim(self, holder: str, limit: int) -> None:
        claimed = self.ask("claim", holder, limit, LEASE)
        assert len(claimed) <= limit
        self.claimed += [(holder, one) for one in claimed]

    @precondition(lambda self: self.claimed)
    @rule(places=st.lists(st.integers(0, 100), min_size=1, max_size=4), is_failed=st.booleans(), forgets=st.booleans())
    def finish(self, places: list[int], is_failed: bool, forgets: bool) -> None:
        chosen = {self.claimed[place % len(self.claimed)] for place in places}
        leases = {one.lease for _, one in chosen}
        before = {lease: self.body(lease) for lease in leases}
        refused = self.ask("finish", [result(lease, is_failed=is_failed) for lease in leases])
        for lease in leases - refused:
            assert self.body(lease) == f"{lease.number}:{lease.fence}".encode()
            self.accepted[lease.batch, lease.number] += before[lease] is None
        if forgets:
            self.claimed = [one for one in self.claimed if one not in chosen]

    @precondition(lambda self: self.claimed)
    @rule(place=st.integers(0, 100), seconds=st.sampled_from([0.0, 20.0]), lapses=st.integers(0, 5))
    def give_back(self, place: int, seconds: float, lapses: int) -> None:
        _, one = self.claimed[place % len(self.claimed)]
        self.ask("give_back", [one.lease], seconds, {one.lease: lapses} if lapses else {})

    @rule(holder=HOLDERS)
    def renew(self, holder: str) -> None:
        self.ask("renew", holder, {one.lease for who, one in self.claimed if who == holder}, LEASE)

    @rule(holder=HOLDERS)
    def stop(self, holder: str) -> None:
        self.ask("release", holder)

    @rule(holder=HOLDERS)
    def die(self, holder: str) -> None:
        self.claimed = [(who, one) for who, one in self.claimed if who != holder]

    @precondition(lambda self: self.names)
    @rule(place=st.integers(0, 3), is_paused=st.booleans())
    def pause(self, place: int, is_paused: bool) -> None:
        self.ask("pause", self.names[place % len(self.names)], is_paused=is_paused)

    @precondition(lambda self: self.names)
    @rule(place=st.integers(0, 3))
    def cancel(self, place: int) -> None:
        self.ask("cancel", self.names[place % len(self.names)])

    @rule(seconds=st.sampled_from([1.0, 20.0, 60.0, 61.0, 400.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    def body(self, lease: LineLease) -> bytes | None:
        rows = self.run(self.store.work.lines(lease.batch, after=lease.number - 1, limit=1))
        return rows[0].body if rows and rows[0].state == "done" else None

    @invariant()
    def counts_are_those_of_the_lines_and_each_was_written_once(self) -> None:
        rows = self.ask("find", BatchQuery())
        for row in rows:
            before = self.states.get(row.id, "validating")
            assert row.state in _reachable(before)
            self.states[row.id] = row.state
            lines = self.ask("lines", row.id)
            done = [line for line in lines if line.state == "done"]
            assert row.completed + row.failed == len(done) == row.input_tokens
            assert row.cost_nano_usd == 3 * len(done)
            assert row.failed == sum(line.is_failed for line in done)
            assert row.state in ("validating", "cancelling", "cancelled") or row.total == len(lines) == row.doc["count"]
        assert set(self.accepted.values()) <= {1}
        self.ask("backlog")

    def teardown(self) -> None:
        """Whatever has happened, one process that lives brings everything to its end, in time where there is time."""
        in_time = {row.id for row in self.ask("find", BatchQuery()) if self.has_time(row)}
        self.run(self.ended())
        for row in self.run(self.store.work.find(BatchQuery())):
            assert row.state in ENDED
            assert row.state == "completed" or row.id not in in_time
            assert row.state != "completed" or row.completed + row.failed == row.total == row.doc["count"]

    def has_time(self, row: BatchRow) -> bool:
        is_going_on = row.state in ("validating", "in_progress") and not row.ending
        return is_going_on and row.expires_at > self.now + 3 * LEASE

    async def ended(self) -> None:
        work = self.store.work
        for name in self.names:
            await work.pause(name, is_paused=False)
        while (await work.backlog()).batches:
            assert self.now < 100_000
            self.now += LEASE
            while row := await work.take("z", LEASE):
                await self.finished(row)
            while claimed := await work.claim("z", 10, LEASE):
                assert not await work.finish([result(one.lease) for one in claimed])

    async def finished(self, row: BatchRow) -> None:
        what = step(row)
        if what == "validate":
            await self.store.work.add_lines(row.lease, new_lines(row.doc["count"]))
            assert await self.store.work.validated(row.lease)
            return
        if what == "close":
            assert await self.store.work.close(row.lease, ending(row))
        assert await self.store.work.end(row.lease)


def _reachable(state: State) -> set[State]:
    found, left = {state}, [state]
    while left:
        following = TRANSITIONS[left.pop()] - found
        found |= following
        left += following
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[type[Histories]]:
    with asyncio.Runner() as runner:
        is_file = request.param == "sqlite"
        address = sqlite_url(tmp_path) if is_file else runner.run(new_database(request.getfixturevalue("postgres")))
        store = records(RecordSettings(url=Secret(address), connections=2, **SECONDS))
        assert isinstance(store, SqlRecords)
        runner.run(store.open())
        yield type("OnADatabase", (Histories,), {"runner": runner, "store": store})
        runner.run(store.close())


def test_no_history_loses_a_line_or_writes_one_twice(machine: type[Histories]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(RUNS or 20),
            stateful_step_count=40,
            deadline=None,
            derandomize=RUNS is None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
