from __future__ import annotations

import asyncio
import time

import pytest

from pointsman.store.patience import Deadline, patient

SECONDS = 0.05


async def test_who_does_not_answer_is_late() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with patient(SECONDS):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= SECONDS


async def test_nobody_is_late_because_this_process_does_not_listen() -> None:
    answer = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2 * SECONDS, answer.set_result, "answer")
    async with patient(SECONDS):
        for _ in range(3):
            time.sleep(SECONDS)  # noqa: ASYNC251 - that is what it is about
            await asyncio.sleep(0)
        assert await answer == "answer"


async def test_it_is_over_some_time_even_so() -> None:
    is_late = asyncio.Event()
    Deadline(asyncio.get_running_loop(), SECONDS, is_late.set)
    began = time.monotonic()
    while not is_late.is_set():
        time.sleep(SECONDS)  # noqa: ASYNC251
        await asyncio.sleep(0)
        assert time.monotonic() - began < 60


async def test_who_has_answered_is_not_late() -> None:
    is_late = asyncio.Event()
    Deadline(asyncio.get_running_loop(), SECONDS, is_late.set).cancel()
    async with patient(SECONDS):
        pass
    await asyncio.sleep(2 * SECONDS)
    assert not is_late.is_set()
