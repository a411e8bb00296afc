from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from records import MemoryRecords

from pointsman.errors import Overloaded
from pointsman.mcp.pinning import TABLE, Pins
from pointsman.mcp.protocol.pins import Pin
from pointsman.mcp.settings import Pinning, ServerSettings
from pointsman.store.base import Change

NOW = 1_800_000_000.0


class News:
    def __init__(self) -> None:
        self.listeners: list[Any] = []


class Store:
    sealer = None

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.keys = News()
        self.is_away = False

    async def open(self) -> Any:
        if self.is_away:
            raise Overloaded
        return self


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def pins(store: Store) -> Pins:
    return Pins(store.open, now=lambda: NOW)


def server(pinning: Pinning = "block") -> ServerSettings:
    return ServerSettings(id="s", name="s", pinning=pinning)


def tool(name: str, description: str = "does it") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


@pytest.mark.requirement("mcp.pinning")
async def test_what_is_seen_first_is_approved_and_what_has_changed_since_is_blocked(store: Store, pins: Pins) -> None:
    assert await pins.check(server(), [tool("a"), tool("b")]) == set()
    assert await pins.check(server(), [tool("a"), tool("b", "steals it")]) == {"b"}
    later = Pins(store.open, now=lambda: NOW)
    assert await later.check(server(), [tool("a"), tool("b", "steals it"), tool("c")]) == {"b", "c"}
    assert await later.check(server(), [tool("a"), tool("b")]) == set()


async def test_a_tool_that_is_gone_blocks_nothing_and_is_told(pins: Pins) -> None:
    await pins.check(server(), [tool("a"), tool("b")])
    assert await pins.check(server(), [tool("a")]) == set()
    assert [(one.tool, one.kind) for one in await pins.differences("s")] == [("b", "removed")]


async def test_a_warning_is_written_once_and_blocks_nothing(pins: Pins, caplog: pytest.LogCaptureFixture) -> None:
    await pins.check(server("warn"), [tool("a")])
    for _ in range(3):
        assert await pins.check(server("warn"), [tool("a", "other")]) == set()
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert "s" in caplog.text


async def test_what_is_not_pinned_is_not_looked_at(store: Store, pins: Pins) -> None:
    await pins.check(server("off"), [tool("a")])
    assert store.records.tables[TABLE] == {}
    assert await pins.differences("s") == []


@pytest.mark.requirement("mcp.pinning")
async def test_an_admin_approves_what_is_there_now_all_or_some(store: Store, pins: Pins) -> None:
    told: list[int] = []
    pins.on_change.append(lambda: told.append(1))
    await pins.check(server(), [tool("a"), tool("b"), tool("gone")])
    changed = [tool("a", "new"), tool("b", "new")]
    await pins.check(server(), changed)
    assert await pins.approve("s", "admin", ["a", "nothing"]) == ["a"]
    assert await pins.check(server(), changed) == {"b"}
    assert await pins.approve("s", "admin") == ["b", "gone"]
    assert await pins.check(server(), changed) == set()
    assert await pins.approve("s", "admin") == []
    assert await pins.differences("s") == []
    assert len(told) == 2
    said = [(one.who, one.what, one.target) for one in store.records.log]
    assert said == [("gateway", "mcp_pins.new", "s"), *[("admin", "mcp_pins.approve", "s")] * 2]
    assert "description" not in str([one.after for one in store.records.log])


async def test_what_another_replica_has_approved_is_heard(store: Store, pins: Pins) -> None:
    told: list[int] = []
    other = Pins(store.open, now=lambda: NOW)
    pins.on_change.append(lambda: told.append(1))
    await pins.check(server(), [tool("a")])
    await other.check(server(), [tool("a", "new")])
    assert await pins.check(server(), [tool("a", "new")]) == {"a"}
    await other.approve("s", "admin")
    for listener in store.keys.listeners:
        listener([("keys", "s"), (TABLE, "s")])
    assert await pins.check(server(), [tool("a", "new")]) == set()
    await asyncio.sleep(0)
    assert told == [1]


async def test_of_two_that_see_a_server_first_one_is_believed(store: Store, pins: Pins) -> None:
    get = store.records.get

    async def beaten(table: str, row_id: str) -> Any:
        found = await get(table, row_id)
        if found is None:
            pin = Pin("another")
            doc = {"created_at": "x", "tools": {"a": {"digest": pin.digest}}}
            await store.records.change([Change(table, row_id, doc, 0)])
        return found

    store.records.get = beaten  # type: ignore[method-assign, assignment]
    assert await pins.check(server(), [tool("a")]) == set()
    assert await pins.check(server(), [tool("a")]) == {"a"}


@pytest.mark.parametrize("pinning", ["warn", "block"])
async def test_while_nobody_knows_what_is_approved_blocked_ones_stay_blocked(
    store: Store, pins: Pins, pinning: Pinning
) -> None:
    store.is_away = True
    assert await pins.check(server(pinning), [tool("a")]) == ({"a"} if pinning == "block" else set())
    store.is_away = False
    assert await pins.check(server(pinning), [tool("a")]) == set()
    store.is_away = True
    assert await pins.check(server(pinning), [tool("a")]) == set()


async def test_a_row_that_cannot_be_read_approves_nothing(store: Store, pins: Pins) -> None:
    await store.records.change([Change(TABLE, "s", {"created_at": 5})])
    assert await pins.check(server(), [tool("a")]) == {"a"}
