from __future__ import annotations

import asyncio
import logging

import pytest

from pointsman.errors import Overloaded
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger("test.tasks")


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(log, limit=2)


async def test_a_task_runs_and_is_forgotten(tasks: Tasks) -> None:
    async def three() -> int:
        return 3

    task = tasks.start(three(), "three")
    assert len(tasks) == 1
    assert await task == 3
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_a_failure_is_logged_by_the_tasks_name_and_stops_no_other(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    waiting = tasks.start(asyncio.Event().wait(), "waiting")
    failing = tasks.start(fail(), "failing")
    await asyncio.wait([failing])
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == ["task failing failed"]
    assert not waiting.done()
    await tasks.close(1.0)


async def test_one_more_than_the_limit_is_refused_until_another_has_ended(tasks: Tasks) -> None:
    event = asyncio.Event()
    running = [tasks.start(event.wait(), "waiting") for _ in range(2)]
    with pytest.raises(Overloaded) as raised:
        tasks.start(event.wait(), "one more")
    assert raised.value.retry_after == 1.0
    event.set()
    await asyncio.gather(*running)
    await asyncio.sleep(0)
    assert await tasks.start(event.wait(), "one more")


async def test_close_cancels_all_and_lets_none_begin(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    running = [tasks.start(asyncio.Event().wait(), "waiting") for _ in range(2)]
    assert await tasks.close(1.0) == []
    assert all(task.cancelled() for task in running)
    assert caplog.records == []
    with pytest.raises(Overloaded):
        tasks.start(asyncio.Event().wait(), "too late")


async def test_close_names_those_that_would_not_end(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    released = asyncio.Event()

    async def insist() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await released.wait()

    task = tasks.start(insist(), "stubborn")
    await asyncio.sleep(0)
    assert await tasks.close(0.0) == ["stubborn"]
    assert "stubborn" in caplog.text
    released.set()
    await task


async def test_who_cleans_up_already_is_not_cancelled_again(tasks: Tasks) -> None:
    cleaned = asyncio.Event()

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    task = tasks.start(clean_up(), "cleans up")
    await asyncio.sleep(0)
    task.cancel()
    assert await tasks.close(1.0) == []
    assert cleaned.is_set()


async def test_closing_what_is_empty_is_nothing(tasks: Tasks) -> None:
    assert await tasks.close(1.0) == []


async def test_those_that_run_can_end_by_themselves_and_none_begins_meanwhile(tasks: Tasks) -> None:
    go = asyncio.Event()
    task = tasks.start(go.wait(), "waits")
    settling = asyncio.create_task(tasks.settle(60.0))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        tasks.start(go.wait(), "too late")
    go.set()
    await settling
    assert task.done()
    assert not task.cancelled()
