from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pointsman.edge.accounts import PAUSE, Accounts
from pointsman.errors import Overloaded, ResourceNotFound


class Opener:
    """Opens a store when it is let."""

    def __init__(self) -> None:
        self.opened = 0
        self.gate = asyncio.Event()
        self.admin: Any = type("Admin", (), {"keys": object()})()

    async def __call__(self) -> Any:
        self.opened += 1
        await self.gate.wait()
        return self.admin


async def test_where_there_can_be_no_store_that_is_said_and_there_are_no_keys() -> None:
    accounts = Accounts()
    assert await accounts.look() is None
    with pytest.raises(ResourceNotFound):
        await accounts.opened()


async def test_the_store_is_opened_once_by_those_who_need_it_first() -> None:
    opener = Opener()
    accounts = Accounts(opener)
    assert await accounts.look() is None
    waiting = asyncio.gather(accounts.opened(), accounts.opened())
    await asyncio.sleep(0)
    opener.gate.set()
    assert set(await waiting) == {opener.admin}
    assert opener.opened == 1
    assert accounts.keys is opener.admin.keys


async def test_a_store_that_somebody_else_has_made_is_found_when_a_key_is_shown() -> None:
    opener = Opener()
    opener.gate.set()
    is_there = False
    accounts = Accounts(opener, lambda: is_there)
    assert await accounts.look() is None
    is_there = True
    assert await accounts.look() is opener.admin.keys


async def test_a_store_that_could_not_be_opened_is_tried_again() -> None:
    opener = Opener()
    opener.gate.set()
    failures = [OSError("no disk")]

    async def fail_once() -> Any:
        if failures:
            raise failures.pop()
        return await opener()

    accounts = Accounts(fail_once)
    with pytest.raises(OSError, match="no disk"):
        await accounts.opened()
    assert await accounts.opened() is opener.admin


async def test_in_the_end_the_store_is_let_go() -> None:
    closed = []

    async def close() -> None:
        closed.append(1)

    opener = Opener()
    opener.gate.set()
    opener.admin.close = close
    await Accounts(opener).close()
    accounts = Accounts(opener)
    await accounts.opened()
    for _ in range(2):
        await accounts.close()
    assert closed == [1]
    assert accounts.keys is None


async def test_a_store_that_is_away_is_opened_when_it_is_there_and_nobody_waits_for_it_meanwhile() -> None:
    opener, pauses = Opener(), []
    opener.gate.set()
    failures = [Overloaded(), Overloaded()]

    async def fail_twice() -> Any:
        if failures:
            raise failures.pop()
        return await opener()

    async def sleep(seconds: float) -> None:
        pauses.append((seconds, accounts.state))

    accounts = Accounts(fail_twice, lambda: True)
    await accounts.begin(5.0, sleep)
    assert accounts.admin is opener.admin
    assert pauses == [(PAUSE, "disconnected")] * 2


async def test_a_store_that_does_not_answer_is_taken_to_be_away_and_one_attempt_goes_on() -> None:
    opener = Opener()
    accounts = Accounts(opener, lambda: True)
    beginning = asyncio.ensure_future(accounts.begin(0.0))
    for _ in range(3):
        with pytest.raises(Overloaded):
            await accounts.look()
    assert opener.opened == 1
    opener.gate.set()
    assert await accounts.opened() is opener.admin
    beginning.cancel()


async def test_the_state_is_told_as_litellm_has_it() -> None:
    opener = Opener()
    opener.gate.set()
    opener.admin.records = SimpleNamespace(is_down=False)
    accounts = Accounts(opener, lambda: True)
    states = [Accounts(opener).state, accounts.state]
    await accounts.opened()
    states.append(accounts.state)
    opener.admin.records.is_down = True
    states.append(accounts.state)
    assert states == ["Not connected", "disconnected", "connected", "disconnected"]
