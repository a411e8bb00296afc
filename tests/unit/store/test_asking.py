from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy.exc

from pointsman.store import asking
from pointsman.store.asking import Asking, is_set
from pointsman.store.base import Conflict, Refused, StoreDown
from pointsman.store.breaker import Breaker

LONG = 60.0
CANARY = "value-canary-55"


class DriverFault(Exception):
    pass


class DriverRefusal(Exception):
    pass


@pytest.fixture
async def ask() -> AsyncIterator[Asking]:
    made = Asking(Breaker("the database", slow=LONG), faults=(DriverFault,), refusals=(DriverRefusal,))
    yield made
    await made.close()


def raising(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def work() -> None:
        raise error

    return work


def wrapped(cause: Exception, kind: type[sqlalchemy.exc.DBAPIError] = sqlalchemy.exc.DBAPIError) -> Exception:
    error = kind(f"SELECT '{CANARY}'", {"x": CANARY}, cause)
    error.__cause__ = cause
    return error


async def test_an_answer_is_handed_on(ask: Asking) -> None:
    async def work() -> int:
        return 7

    assert await ask.ask(work, LONG) == 7


@pytest.mark.parametrize(
    "error",
    [
        OSError("refused"),
        TimeoutError(),
        DriverFault("gone"),
        wrapped(OSError("gone"), sqlalchemy.exc.OperationalError),
        wrapped(OSError("gone")),
        wrapped(OSError("no such table"), sqlalchemy.exc.ProgrammingError),
        sqlalchemy.exc.TimeoutError("no connection is free"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_is_of_the_store_and_after_a_few_it_is_not_asked(ask: Asking, error: Exception) -> None:
    for _ in range(3):
        with pytest.raises(StoreDown) as down:
            await ask.ask(raising(error), LONG)
        assert not isinstance(down.value, Refused)
        assert CANARY not in str(down.value)
    asked: list[int] = []

    async def work() -> None:
        asked.append(1)

    with pytest.raises(StoreDown):
        await ask.ask(work, LONG)
    assert asked == []


@pytest.mark.parametrize(
    "error",
    [
        wrapped(OSError("x"), sqlalchemy.exc.DataError),
        wrapped(OSError("x"), sqlalchemy.exc.IntegrityError),
        wrapped(DriverRefusal(f"not a number: {CANARY}")),
        wrapped(ValueError(f"not a number: {CANARY}")),
        UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed"),
        OverflowError("too large"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_was_refused_says_nothing_against_the_store(ask: Asking, error: Exception) -> None:
    for _ in range(5):
        with pytest.raises(Refused) as refused:
            await ask.ask(raising(error), LONG)
        assert CANARY not in str(refused.value)
    assert not ask.breaker.is_open


async def test_a_conflict_is_an_answer(ask: Asking) -> None:
    for _ in range(5):
        with pytest.raises(Conflict):
            await ask.ask(raising(Conflict("keys", "k", "version")), LONG)
    assert not ask.breaker.is_open


async def test_the_deadline_holds_although_the_work_does_not_end(ask: Asking) -> None:
    is_let_go = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await is_let_go.wait()

    for _ in range(3):
        with pytest.raises(StoreDown, match="no answer"):
            await ask.ask(work, 0.001)
    assert ask.breaker.is_open
    is_let_go.set()


async def test_whoever_gives_up_gives_up_the_work(ask: Asking) -> None:
    has_begun, has_ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    caller = asyncio.ensure_future(ask.ask(work, LONG))
    await has_begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    async with asyncio.timeout(LONG):
        await has_ended.wait()
    assert not ask.breaker.is_open


async def test_there_are_never_too_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_CALLS", 2)
    ask = Asking(Breaker("the database", slow=LONG))

    async def work() -> None:
        await asyncio.Event().wait()

    callers = [asyncio.ensure_future(ask.ask(work, LONG)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreDown, match="too many"):
        await ask.ask(work, LONG)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await ask.close()


async def test_whoever_waits_for_an_event_is_told_of_it_once() -> None:
    event = asyncio.Event()
    assert not await is_set(event, 0.0)
    event.set()
    assert await is_set(event, LONG)
    assert not await is_set(event, 0.0)
    waiting = asyncio.create_task(is_set(event, LONG))
    await asyncio.sleep(0)
    event.set()
    assert await waiting
    assert not event.is_set()
