from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from records import MemoryRecords

from pointsman.access.caller import MASTER
from pointsman.access.keys import Key, Pepper, to_doc
from pointsman.batches import callers as module
from pointsman.batches.callers import Callers
from pointsman.errors import Forbidden, Unauthenticated
from pointsman.pipeline.known_keys import KnownKeys
from pointsman.store.base import Change
from pointsman.telemetry.tasks import Tasks

SECRET = b"s" * 32


class World:
    """Keys in a store."""

    def __init__(self, tasks: Tasks) -> None:
        self.records = MemoryRecords()
        self.now = 0.0
        self.pepper = Pepper(b"pepper")
        self.keys = KnownKeys(self.records, self.pepper, tasks, clock=lambda: self.now, now=lambda: 1_800_000_000.0)
        self.callers = Callers(self.keys, lambda: MASTER, SECRET)

    async def put(self, row_id: str, version: int = 0, **members: Any) -> None:
        account = members.pop("account", row_id)
        await self.records.change([Change("keys", row_id, to_doc(Key(account=account, **members)), version)])
        self.keys.forget([("keys", row_id)])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    tasks = Tasks(logging.getLogger("tests"), 100)
    yield World(tasks)
    await tasks.close(1.0)


async def test_no_key_is_the_masters(world: World) -> None:
    assert await world.callers.find("", "", "") is MASTER


async def test_a_caller_is_found_by_the_id_of_his_key_and_known_from_then_on(world: World) -> None:
    await world.put("aa", user_id="u")
    found = await world.callers.find("aa", "aa", "user:u")
    assert (found.id, found.account, found.user_id) == ("aa", "aa", "u")
    assert await world.callers.find("aa", "aa", "user:u") is found
    # Nobody can show what it is known by.
    assert world.keys.known(b"aa") is None


async def test_whoever_is_blocked_meanwhile_is_not_let_in_any_more(world: World) -> None:
    await world.put("aa")
    await world.callers.find("aa", "aa", "key:aa")
    await world.put("aa", 1, blocked=True)
    with pytest.raises(Forbidden, match="blocked"):
        await world.callers.find("aa", "aa", "key:aa")


@pytest.mark.parametrize("owner", ["user:u", "key:aa", ""])
async def test_a_key_that_has_taken_anothers_place_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for number in range(5):
        await world.put(f"b{number}", user_id="u")
    await world.put("cc", account="aa", user_id="u")
    assert (await world.callers.find("aa", "aa", owner)).id == "cc"


async def test_a_key_that_is_gone_lets_nobody_in(world: World) -> None:
    await world.put("bb")
    with pytest.raises(Unauthenticated, match="does not exist any more"):
        await world.callers.find("aa", "aa", "key:aa")
    with pytest.raises(Unauthenticated):
        await world.callers.find("aa", "", "key:aa")
