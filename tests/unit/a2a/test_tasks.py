from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

import pytest
from msgspec.structs import replace

from pointsman.a2a import tasks as ledgers
from pointsman.a2a.tasks import DAY, Noted, TaskLedger, after, is_id, owner_of, seconds_of
from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key
from pointsman.errors import Overloaded
from pointsman.store.base import Refused, StoreDown
from pointsman.store.tasks import ContextRow, MemoryTasks, Others, TaskQuery, TaskRecords, TaskRow
from pointsman.telemetry.tasks import Tasks

TASK = TaskRow(agent="a", id="t", owner="me", state="working", changed_at=1.0, first_at=1.0, last_at=1.0)
CONTEXT = ContextRow(agent="a", id="c", owner="me", last_at=1.0)
OURS = Noted()
OVER = replace(TASK, state="completed", is_over=True, changed_at=2.0)


class Rows(MemoryTasks):
    """That can be away, slow, or unwilling."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.writes: list[tuple[list[str], list[str]]] = []
        self.asked = 0

    async def get(self, agent: str, id: str) -> TaskRow | None:  # noqa: A002  the protocol's
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return await super().get(agent, id)

    async def owned(self, agent: str, owner: str, ids: Collection[str]) -> set[str]:
        self.asked += 1
        return await super().owned(agent, owner, ids)

    async def write(self, tasks: Sequence[TaskRow], contexts: Sequence[ContextRow]) -> Others:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.writes.append(([row.id for row in tasks], [row.id for row in contexts]))
        return await super().write(tasks, contexts)


class World:
    """A ledger on them."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.tasks = Tasks(logging.getLogger("test"), 100)
        self.ledger = TaskLedger(self.give, self.tasks)

    async def give(self) -> TaskRecords:
        return self.rows


@pytest.fixture
async def world() -> World:
    return World()


async def test_what_is_new_is_in_the_store_when_it_was_noted(world: World) -> None:
    assert await world.ledger.note(TASK, CONTEXT) == OURS
    assert await world.rows.get("a", "t") == TASK
    assert await world.rows.context("a", "c") == CONTEXT


async def test_what_comes_while_something_is_written_is_written_together(world: World) -> None:
    world.rows.gate.clear()
    notes = [asyncio.ensure_future(world.ledger.note(replace(TASK, id=f"t{number}"), None)) for number in range(5)]
    await asyncio.sleep(0)
    world.rows.gate.set()
    assert await asyncio.gather(*notes) == [OURS] * 5
    assert len(world.rows.writes) <= 2


async def test_what_is_known_does_not_wait_and_only_the_last_of_its_states_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MOMENT", 0.0)
    await world.ledger.note(TASK, None)
    world.rows.gate.clear()
    for state in ("input-required", "working", "completed"):
        assert await world.ledger.note(replace(OVER, state=state), None) == OURS
    world.rows.gate.set()
    await world.ledger.flush()
    assert len(world.rows.writes) <= 3
    assert await world.rows.get("a", "t") == OVER
    assert await world.ledger.find("a", "t") == OVER


async def test_what_was_told_is_written_after_a_moment_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "MOMENT", 0.0)
    world.ledger.tell(TASK)
    async with asyncio.timeout(5):
        while not world.rows.writes:
            await asyncio.sleep(0)
    assert await world.rows.get("a", "t") == TASK


async def test_what_somebody_else_has_is_not_given_away(world: World) -> None:
    await world.rows.write([TASK], [CONTEXT])
    theirs = replace(TASK, owner="you"), replace(CONTEXT, owner="you")
    assert await world.ledger.note(*theirs) == Noted(has_task=False, has_context=False)
    found = await world.ledger.find("a", "t")
    assert found is not None
    assert found.owner == "me"
    assert await world.ledger.context("a", "c") == CONTEXT
    # Now it is known without the store.
    assert await world.ledger.note(*theirs) == Noted(has_task=False)
    assert await world.ledger.note(None, theirs[1]) == Noted(has_context=False)
    assert await world.ledger.note(TASK, CONTEXT) == OURS


async def test_a_task_in_a_context_of_somebody_else_is_ones_own_all_the_same(world: World) -> None:
    await world.ledger.note(None, CONTEXT)
    mine = replace(TASK, owner="you")
    assert await world.ledger.note(mine, replace(CONTEXT, owner="you")) == Noted(has_context=False)
    assert await world.rows.get("a", "t") == mine
    assert await world.rows.context("a", "c") == CONTEXT


async def test_of_two_who_come_at_once_the_first_has_it(world: World) -> None:
    world.rows.gate.clear()
    first = asyncio.ensure_future(world.ledger.note(TASK, CONTEXT))
    await asyncio.sleep(0)
    assert await world.ledger.note(replace(TASK, owner="you"), None) == Noted(has_task=False)
    assert await world.ledger.note(None, replace(CONTEXT, owner="you")) == Noted(has_context=False)
    world.rows.gate.set()
    assert await first == OURS


async def test_what_was_found_once_is_known(world: World) -> None:
    await world.rows.write([TASK], [CONTEXT])
    for _ in range(3):
        assert await world.ledger.find("a", "t") == TASK
        assert await world.ledger.context("a", "c") == CONTEXT
    assert world.rows.asked == 1
    assert await world.ledger.find("a", "other") is None
    assert await world.ledger.find("a", "x" * 1000) is None
    assert world.rows.asked == 2


async def test_so_many_are_known_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "MAX_KNOWN", 2)
    for number in range(4):
        await world.ledger.note(replace(TASK, id=f"t{number}"), None)
    for number in range(4):
        assert await world.ledger.find("a", f"t{number}") is not None
    assert world.rows.asked >= 2


async def test_it_tells_which_tasks_are_somebodys(world: World) -> None:
    await world.ledger.note(TASK, None)
    await world.rows.write([replace(TASK, id="u"), replace(TASK, id="v", owner="you")], [])
    assert await world.ledger.owned("a", "me", ["t", "u", "v", "w"]) == {"t", "u"}
    world.rows.asked = 0
    assert await world.ledger.owned("a", "you", ["t"]) == set()
    assert world.rows.asked == 0


@pytest.mark.requirement("a2a.ledger")
async def test_while_the_store_is_away_new_tasks_wait_in_memory(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledgers, "PAUSE", 0.0)
    world.rows.failure = StoreDown("away")
    assert await world.ledger.note(TASK, None) == OURS
    assert await world.ledger.note(replace(TASK, id="u"), CONTEXT) == OURS
    assert [record.getMessage() for record in caplog.records] == ["tasks of agents wait to be written: away"]
    assert await world.ledger.find("a", "t") == TASK
    with pytest.raises(Overloaded):
        await world.ledger.find("a", "other")
    world.rows.failure = None
    async with asyncio.timeout(5):
        while len(await world.rows.find(TaskQuery(agent="a", owner="me"))) < 2:
            await asyncio.sleep(0)
    assert await world.rows.context("a", "c") == CONTEXT


async def test_when_too_much_waits_nothing_new_is_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "MAX_WAITING", 2)
    world.rows.failure = StoreDown("away")
    for number in range(9):
        await world.ledger.note(replace(TASK, id=f"t{number}"), None)
    with pytest.raises(Overloaded):
        world.ledger.check_room()
    world.rows.failure = None
    await world.ledger.flush()
    world.ledger.check_room()
    assert await world.rows.count(TaskQuery(agent="a", owner="me")) == 4


async def test_what_cannot_be_written_is_left_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(tasks: Sequence[TaskRow]) -> None:
        if any(row.id == "bad" for row in tasks):
            raise Refused("a value")

    write = world.rows.write

    async def writing(tasks: Sequence[TaskRow], contexts: Sequence[ContextRow]) -> Others:
        refuse(tasks)
        return await write(tasks, contexts)

    world.rows.write = writing  # type: ignore[method-assign]
    world.rows.gate.clear()
    notes = [asyncio.ensure_future(world.ledger.note(replace(TASK, id=name), CONTEXT)) for name in ("t", "bad", "u")]
    world.rows.gate.set()
    assert await asyncio.gather(*notes) == [OURS] * 3
    assert await world.rows.get("a", "u") is not None
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_store_that_is_slow_is_waited_for_so_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "PATIENCE", 0.0)
    world.rows.gate.clear()
    assert await world.ledger.note(TASK, None) == OURS
    world.rows.gate.set()
    monkeypatch.undo()
    await world.ledger.flush()
    assert await world.rows.get("a", "t") == TASK


@pytest.mark.requirement("a2a.ledger")
async def test_what_was_not_written_in_time_may_turn_out_to_be_somebody_elses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rows.write([TASK], [CONTEXT])
    monkeypatch.setattr(ledgers, "PATIENCE", 0.0)
    world.rows.gate.clear()
    assert await world.ledger.note(replace(TASK, owner="you"), replace(CONTEXT, owner="you")) == OURS
    monkeypatch.undo()
    for _ in ("while it waits", "when it was written"):
        assert await world.ledger.find("a", "t") == TASK
        assert await world.ledger.context("a", "c") == CONTEXT
        world.rows.gate.set()
        await world.ledger.flush()


async def test_what_waits_to_be_written_is_its_owners_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "PATIENCE", 0.0)
    world.rows.gate.clear()
    await world.ledger.note(TASK, CONTEXT)
    assert await world.ledger.find("a", "t") == TASK
    world.rows.failure = StoreDown("away")
    assert await world.ledger.find("a", "t") == TASK
    assert await world.ledger.context("a", "c") == CONTEXT
    world.rows.failure = None
    world.rows.gate.set()


async def test_a_page_holds_all_that_was_told_before(world: World) -> None:
    await world.ledger.note(TASK, None)
    world.ledger.tell(OVER)
    query = TaskQuery(agent="a", owner="me", state="completed")
    assert await world.ledger.page(query, None, 10) == [OVER]
    assert await world.ledger.count(query) == 1


async def test_webhooks_of_a_task_are_kept_with_it(world: World) -> None:
    await world.ledger.note(TASK, None)
    await world.ledger.set_push("a", "t", "p", "doc")
    assert await world.ledger.push("a", "t") == {"p": "doc"}
    await world.ledger.set_push("a", "t", "p", None)
    assert await world.ledger.push("a", "t") == {}


async def test_where_the_process_ends_nobody_waits(world: World) -> None:
    await world.tasks.close(1.0)
    assert await world.ledger.note(TASK, None) == OURS


@pytest.mark.requirement("a2a.ledger")
async def test_old_tasks_are_forgotten(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.rows.write([OVER, replace(TASK, id="u")], [])
    await world.ledger.tidy(2, 3 * DAY + 2.0)
    assert await world.rows.get("a", "t") is None
    assert await world.rows.get("a", "u") is not None
    await world.ledger.tidy(2, 20 * DAY + 2.0)
    assert await world.rows.get("a", "u") is None

    async def away(**_: float) -> int:
        raise StoreDown("away")

    world.rows.sweep_tasks = away  # type: ignore[method-assign]
    await world.ledger.tidy(2, 0.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T00:00:01", 1.0),
        ("soon", None),
        ("", None),
    ],
)
def test_timestamps_are_read(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_a_state_is_never_older_than_the_one_before() -> None:
    assert after(TASK, "failed", "", 5.0, is_over=True) == replace(
        TASK, state="failed", is_over=True, changed_at=5.0, last_at=5.0
    )
    assert after(replace(TASK, changed_at=9.0), "failed", "1970-01-01T00:00:03Z", 5.0, is_over=True).changed_at == 9.0
    assert after(TASK, "failed", "1970-01-01T00:00:03Z", 5.0, is_over=True).changed_at == 3.0


def test_owners_are_told_apart_as_the_operator_says() -> None:
    both = Caller(name="key:1", key=Key(user_id="u", team_id="t"))
    assert [owner_of(both, rule) for rule in ("key", "user", "team")] == ["key:1", "user:u", "team:t"]
    assert [owner_of(MASTER, rule) for rule in ("key", "user", "team")] == ["master"] * 3


@pytest.mark.parametrize(("text", "is_one"), [("t", True), ("x" * 512, True), ("x" * 513, False), ("", False)])
def test_ids_are_bounded(text: str, is_one: bool) -> None:
    assert is_id(text) is is_one
    assert not is_id("a\0")
