from __future__ import annotations

import asyncio
import logging

import pytest

from pointsman.telemetry.tasks import Tasks


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(logging.getLogger("tasks"))


async def test_a_task_runs_under_its_name_and_is_forgotten_when_done(tasks: Tasks) -> None:
    async def work() -> int:
        return 7

    task = tasks.start(work(), "work")
    assert task.get_name() == "work"
    assert len(tasks) == 1
    assert await task == 7
    assert len(tasks) == 0


async def test_an_exception_is_logged_once_and_stops_no_other_task(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    going = asyncio.Event()

    async def fail() -> None:
        raise ValueError("broken")

    async def go_on() -> None:
        await going.wait()

    other = tasks.start(go_on(), "other")
    failed = tasks.start(fail(), "failing")
    await asyncio.wait([failed])
    assert [record.getMessage() for record in caplog.records] == ["task failing failed"]
    assert caplog.records[0].exc_info
    going.set()
    await other


async def test_closing_cancels_and_awaits_all_tasks(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    cleaned = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(name)

    for name in ("a", "b"):
        tasks.start(wait(name), name)
    await asyncio.sleep(0)
    assert await tasks.close(5) == []
    assert sorted(cleaned) == ["a", "b"]
    assert not caplog.records


async def test_a_task_that_will_not_end_is_named(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    release = asyncio.Event()

    async def stay() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = tasks.start(stay(), "stubborn")
    await asyncio.sleep(0)
    assert await tasks.close(0.01) == ["stubborn"]
    assert "stubborn" in caplog.text
    release.set()
    await task


async def test_nothing_is_started_after_closing(tasks: Tasks) -> None:
    await tasks.close(1)

    async def work() -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="late"):
        tasks.start(work(), "late")
