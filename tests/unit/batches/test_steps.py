from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from queued import Queue

from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key
from pointsman.batches import steps as module
from pointsman.batches.callers import Callers
from pointsman.batches.protocol.objects import doc_of
from pointsman.batches.settings import BatchSettings
from pointsman.batches.steps import Poll, Steps
from pointsman.errors import Forbidden, ModelNotFound, Overloaded, StorageFull
from pointsman.pipeline.serve import Pipeline
from pointsman.store.base import StoreDown
from pointsman.store.work import BatchLease, BatchRow, Result
from pointsman.wire.operations import Operation

TURNS = 200


class Checked:
    """A pipeline that is only asked who may do what."""

    def check_model(self, _caller: Caller, _operation: Operation, model: str | None) -> None:
        if model != "house":
            raise ModelNotFound


class Known(Callers):
    """One caller."""

    def __init__(self) -> None:
        self.caller: Callable[[], Caller] = lambda: MASTER

    async def find(self, key_id: str, account: str, owner: str) -> Caller:
        assert key_id == "k1"
        return self.caller()


class World(Queue):
    """Steps that are done by hand, or by themselves."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.callers = Known()
        self.steps = self.made()

    def made(self, poll: Poll | None = None) -> Steps:
        settings = BatchSettings(lease_seconds=45.0)
        return Steps(
            self.work,
            self.files,
            self.callers,
            lambda: cast("Pipeline", Checked()),
            lambda: settings,
            "me",
            now=lambda: self.now,
            poll=poll,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        if seconds > 100.0:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def do(self) -> BatchRow:
        """One step, and how the batch is then."""
        row = await self.work.take("me")
        assert row is not None
        await self.steps.do(row)
        return await self.row()

    async def taken_at(self) -> float:
        """When somebody can take it next."""
        began = self.now
        while await self.work.take("somebody") is None:
            self.now += 1.0
        return self.now - began


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.steps.close(1.0)


async def test_a_batch_is_looked_at_then_its_lines_are_run_then_its_files_are_written(world: World) -> None:
    await world.add("a", "b", is_validated=False)
    assert (await world.do()).state == "in_progress"
    results = [Result(lease=line.lease, status=200, body=b"{}") for line in await world.work.claim("me", 9)]
    await world.work.finish(results)
    ended = await world.do()
    assert (ended.state, ended.completed) == ("completed", 2)


@pytest.mark.requirement("batches.caller")
async def test_a_batch_whose_caller_is_gone_has_failed_before_it_costs_anything(world: World) -> None:
    def blocked() -> Caller:
        raise Forbidden("This API key is blocked")

    world.callers.caller = blocked
    await world.add("a", is_validated=False)
    row = await world.do()
    assert row.state == "failed"
    assert doc_of(row).errors[0].message == "This API key is blocked"


async def test_a_key_for_other_paths_makes_no_batch_of_these(world: World) -> None:
    only = Key(account="k", allowed_routes=("/v1/embeddings", "/v1/batches"))
    world.callers.caller = lambda: Caller(name="key:k", role="key", key=only)
    await world.add("a", is_validated=False)
    row = await world.do()
    assert row.state == "failed"
    assert "may not call" in doc_of(row).errors[0].message


@pytest.mark.requirement("batches.expiry")
async def test_what_is_not_run_in_time_is_told_of_and_the_rest_is_kept(world: World) -> None:
    await world.add("a", "b")
    [line] = await world.work.claim("me", 1)
    await world.work.finish([Result(lease=line.lease, status=200, body=b"{}")])
    world.now += 86_401.0
    row = await world.do()
    doc = doc_of(row)
    assert (row.state, row.completed, row.failed) == ("expired", 1, 0)
    assert doc.output_file_id is not None
    assert doc.error_file_id is not None


@pytest.mark.requirement("batches.cancel")
async def test_a_batch_that_is_cancelled_while_it_waits_is_ended_at_once(world: World) -> None:
    await world.add("a", is_validated=False)
    await world.work.cancel("batch_1")
    row = await world.do()
    assert (row.state, doc_of(row).output_file_id) == ("cancelled", None)


@pytest.mark.requirement("batches.disk-full")
@pytest.mark.parametrize(
    ("error", "seconds"),
    [(StorageFull(), module.FULL_PAUSE), (Overloaded(), module.PAUSE), (StoreDown("x"), module.PAUSE)],
)
async def test_a_step_that_cannot_be_done_now_is_done_later_and_the_batch_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, seconds: float
) -> None:
    async def finalize(*_: Any) -> None:
        raise error

    await world.add("a")
    [line] = await world.work.claim("me", 1)
    await world.work.finish([Result(lease=line.lease, status=200, body=b"{}")])
    with monkeypatch.context() as patched:
        patched.setattr(module, "finalize", finalize)
        assert (await world.do()).state == "finalizing"
    assert await world.taken_at() == seconds
    world.now += 100.0
    assert (await world.do()).state == "completed"


async def test_a_batch_of_a_provider_is_left_alone_where_nobody_can_ask_it(world: World) -> None:
    await world.add("a")
    found = await world.work.get("batch_1")
    assert found is not None
    asked: list[str] = []

    async def poll(row: BatchRow, is_mine: Callable[[], bool]) -> None:
        assert is_mine()
        asked.append(row.id)

    row = replace(found, executor="provider")
    await world.made(poll).do(row)
    await world.steps.do(row)
    assert asked == ["batch_1"]


async def test_a_lease_is_renewed_while_a_step_goes_on_and_the_step_hears_when_it_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[bool | StoreDown] = [True, StoreDown("away"), True, False]

    async def hold(*_: Any) -> bool:
        found = answers.pop(0)
        if isinstance(found, StoreDown):
            raise found
        return found

    monkeypatch.setattr(world.work, "hold", hold)
    await world.add("a")
    row = await world.row()
    async with world.steps._holding(row) as is_mine:
        assert is_mine()
        while is_mine():
            await asyncio.sleep(0)
    assert not answers


async def test_whoever_writes_files_holds_the_batch_as_long_as_the_operator_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    hold = world.work.hold

    async def told(lease: BatchLease, seconds: float = 0.0) -> bool:
        asked.append(seconds)
        return await hold(lease, seconds)

    await world.add("a")
    [line] = await world.work.claim("me", 1)
    await world.work.finish([Result(lease=line.lease, status=200, body=b"{}")])
    monkeypatch.setattr(world.work, "hold", told)
    assert (await world.do()).state == "completed"
    assert set(asked) == {45.0}


async def test_steps_are_taken_by_themselves_as_long_as_nobody_drains(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.steps.start()
    await world.add("a", is_validated=False)
    world.steps.wake()
    async with asyncio.timeout(10):
        while (await world.row()).state == "validating" or world.steps.is_busy:
            await asyncio.sleep(0)
    assert (await world.row()).state == "in_progress"
    world.steps.is_draining = True
    await world.add("b", batch_id="batch_2", is_validated=False)
    world.steps.wake()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert (await world.row("batch_2")).state == "validating"
    assert not caplog.records


async def test_nobodys_batch_waits_for_the_provider_of_another_one(world: World) -> None:
    hanging: list[str] = []

    async def poll(row: BatchRow, is_mine: Callable[[], bool]) -> None:
        assert is_mine()
        hanging.append(row.id)
        await asyncio.Event().wait()

    await world.steps.close(1.0)
    world.steps = world.made(poll)
    for number in range(module.MAX_POLLS + 2):
        await world.add("a", batch_id=f"batch_{number}", is_validated=False)
    for row in [await world.work.take("somebody") for _ in range(module.MAX_POLLS + 2)]:
        assert row is not None
        assert await world.work.add_lines(row.lease, world.lines(["a"]))
        assert await world.work.validated(row.lease, None, "provider")
    world.steps.start()
    await world.add("a", batch_id="batch_new", is_validated=False)
    world.steps.wake()
    async with asyncio.timeout(10):
        while (await world.row("batch_new")).state == "validating" or len(hanging) < module.MAX_POLLS:
            world.steps.wake()
            await asyncio.sleep(0)
    assert len(hanging) == module.MAX_POLLS


async def test_a_fault_in_a_step_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def validate(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(module, "validate", validate)
    world.steps.start()
    await world.add("a", is_validated=False)
    world.steps.wake()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert "a step of batch batch_1 failed" in caplog.text
    assert await world.taken_at() == module.FULL_PAUSE


async def test_a_step_that_always_fails_is_not_tried_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def close(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(world.steps, "_close", close)
    await world.add("a")
    world.now += 86_400.0 + 1.0
    row = await world.work.take("me")
    assert row is not None
    await world.steps._done(row)
    assert (await world.row()).state == "in_progress"
    world.now += module.HOPELESS_SECONDS
    row = await world.work.take("me")
    assert row is not None
    await world.steps._done(row)
    assert (await world.row()).state == "failed"
