from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.mcp.pretending import CHANGED, Pretending, Rig, Someone, legacy, only, server, tool

from pointsman.mcp.base import Interest
from pointsman.mcp.sharing import MOST, Sharing
from pointsman.wire.jsonrpc import Message, notification

SESSIONS: dict[str, Any] = {"era": "legacy", "revision": "2025-11-25", "has_session": True}


class Others:
    """The other processes, and what they were told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self._come = asyncio.Event()

    def __call__(self, told: list[dict[str, Any]]) -> None:
        self.told += told
        self._come.set()

    async def hear(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(5):
            await self._come.wait()
        return self.told


def updated(uri: object) -> Message:
    return notification("notifications/resources/updated", {"uri": uri})


async def test_what_comes_close_together_is_told_once() -> None:
    sharing, others = Sharing(), Others()
    sharing.tell = others
    for message in (CHANGED, CHANGED, updated("x:1"), updated("x:1"), updated(3)):
        sharing.add("a", "p", message)
    assert await others.hear() == [
        {"server": "a", "party": "p", "method": CHANGED.method, "uri": ""},
        {"server": "a", "party": "p", "method": "notifications/resources/updated", "uri": "x:1"},
        {"server": "a", "party": "p", "method": "notifications/resources/updated", "uri": ""},
    ]


async def test_only_so_many_are_told_at_a_time() -> None:
    sharing, others = Sharing(), Others()
    sharing.tell = others
    for number in range(MOST + 5):
        sharing.add("a", "p", updated(f"x:{number}"))
    assert len(await others.hear()) == MOST


async def test_a_process_that_is_alone_tells_nobody() -> None:
    Sharing().add("a", "p", CHANGED)


def rig_of() -> Rig:
    return Rig((server("a"), Pretending({"tools": [tool("x")]}, **SESSIONS)))


@pytest.mark.requirement("mcp.changes")
async def test_what_one_process_hears_in_a_session_the_listeners_of_another_are_told() -> None:
    here, there, others = rig_of(), rig_of(), Others()
    here.gateway.sharing.tell = others
    heard: asyncio.Queue[Message] = asyncio.Queue()
    uris = frozenset({"x:1"})
    there.gateway.watch(only("a"), legacy(), Interest(tools=True, uris=uris), heard.put_nowait)
    await there.tools(scope=only("a"), asking=Someone(legacy()))

    async def changes(_: object, asking: Any) -> Any:
        asking.tell(CHANGED)
        asking.tell(updated("x:1"))
        return {}

    here.by_id["a"].answers["tools/call"] = changes
    await here.ask("tools/call", {"name": "x"}, scope=only("a"), asking=Someone(legacy()))
    there.by_id["a"].lists["tools"] = [tool("y")]
    there.gateway.hear(await others.hear())
    async with asyncio.timeout(5):
        methods = {(await heard.get()).method for _ in range(2)}
    assert methods == {CHANGED.method, "notifications/resources/updated"}
    assert await there.tools(scope=only("a"), asking=Someone(legacy())) == ["y"]


async def test_an_update_that_one_process_hears_in_a_session_the_others_are_told() -> None:
    here, others = rig_of(), Others()
    here.gateway.sharing.tell = others
    here.gateway.watch(only("a"), legacy(), Interest(uris=frozenset({"x:1"})), lambda _: None)
    async with asyncio.timeout(5):
        while not (here.others and here.others[0].watches):
            await asyncio.sleep(0)
    here.others[0].say(updated("x:1"))
    assert [(one["party"], one["uri"]) for one in await others.hear()] == [("session:s1", "x:1")]


async def test_what_is_told_of_a_server_that_is_no_more_is_passed_over() -> None:
    rig_of().gateway.hear([{"server": "gone", "party": "", "method": CHANGED.method, "uri": ""}])
