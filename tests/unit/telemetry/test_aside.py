from __future__ import annotations

import asyncio
import threading

import pytest

from pointsman.telemetry.aside import aside


async def test_what_a_call_gives_or_raises_is_handed_on() -> None:
    def fail() -> None:
        raise KeyError("a")

    assert await aside(lambda: 7, "test") == 7
    with pytest.raises(KeyError):
        await aside(fail, "test")


async def test_a_call_that_never_comes_back_keeps_no_process_from_ending() -> None:
    assert await aside(lambda: threading.current_thread().daemon, "test")


@pytest.mark.parametrize("error", [None, ValueError("late")])
async def test_what_comes_after_nobody_waits_any_more_is_let_go(error: Exception | None) -> None:
    may = threading.Event()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def call() -> None:
        may.wait(30)
        if error is not None:
            raise error

    given = aside(call, "late")
    given.cancel()
    may.set()
    for thread in threading.enumerate():
        if thread.name == "late":
            thread.join()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == []


def test_what_comes_after_the_loop_has_ended_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    may = threading.Event()
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)

    async def begin() -> None:
        aside(lambda: may.wait(30), "late")

    asyncio.run(begin())
    may.set()
    for thread in threading.enumerate():
        if thread.name == "late":
            thread.join()
    assert failures == []
