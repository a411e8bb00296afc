from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.mcp.pretending import ANY, CHANGED, Pretending, Rig, caller, legacy, nobody, only, server, tool

from pointsman.errors import Overloaded
from pointsman.mcp import watching as watching_of
from pointsman.mcp.base import Client, Interest, Scope, Watch
from pointsman.mcp.connections import REST_SECONDS
from pointsman.mcp.settings import Limits
from pointsman.wire.jsonrpc import Message, notification

SESSIONS = {"era": "legacy", "revision": "2025-11-25", "has_session": True}
TOOLS = Interest(tools=True)


class Ear:
    """Hears, and waits until it has heard so much."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._come = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.heard.append(message)
        self._come.set()

    async def next(self) -> Message:
        async with asyncio.timeout(5):
            await self._come.wait()
        self._come.clear()
        return self.heard[-1]


def updated(uri: str) -> Message:
    return notification("notifications/resources/updated", {"uri": uri})


def rig_of(said: Any = None, **settings: Any) -> Rig:
    lists = {"tools": [tool("x")], "resources": [{"uri": "x:1", "name": "n"}], "resourceTemplates": []}
    return Rig(*((server(name), Pretending(lists, **(said or {}))) for name in ("a", "b")), **settings)


async def watch(rig: Rig, interest: Interest, *, who: Client | None = None, scope: Scope = ANY) -> tuple[Ear, Watch]:
    ear = Ear()
    watching = rig.gateway.watch(scope, who or rig.someone().client, interest, ear)
    await settled(rig)
    return ear, watching


async def settled(rig: Rig) -> None:
    async with asyncio.timeout(5):
        while len(rig.tasks):
            await asyncio.sleep(0)


async def test_changes_of_all_servers_are_heard() -> None:
    rig = rig_of()
    ear, _ = await watch(rig, TOOLS)
    for far in rig.by_id.values():
        far.say(CHANGED)
        assert (await ear.next()).method == CHANGED.method


async def test_only_what_somebody_is_interested_in() -> None:
    rig = rig_of()
    ear, _ = await watch(rig, Interest(prompts=True))
    far = rig.by_id["a"]
    far.say(CHANGED)
    far.say(notification("notifications/prompts/list_changed"))
    assert (await ear.next()).method == "notifications/prompts/list_changed"
    assert len(ear.heard) == 1


async def test_nobody_hears_of_servers_that_he_may_not_use() -> None:
    rig = rig_of()
    await watch(rig, TOOLS, who=rig.someone(nobody()).client)
    await watch(rig, TOOLS, who=rig.someone(caller(names=frozenset({"a"}))).client)
    assert [len(far.watches) for far in rig.by_id.values()] == [1, 0]


async def test_a_resource_is_heard_of_under_the_name_that_the_client_has_for_it() -> None:
    rig = rig_of()
    ear, _ = await watch(rig, Interest(uris=frozenset({"b+x:1"})))
    rig.by_id["b"].say(updated("x:1"))
    assert (await ear.next()).read() == {"uri": "b+x:1"}
    alone, _ = await watch(rig, Interest(uris=frozenset({"x:1", "x:unknown"})), scope=only("a"))
    rig.by_id["a"].say(updated("x:1"))
    assert (await alone.next()).read() == {"uri": "x:1"}


async def test_a_resource_is_followed_in_the_session_of_the_client() -> None:
    rig = rig_of(SESSIONS)
    ear, _ = await watch(rig, Interest(uris=frozenset({"x:1"})), who=legacy(), scope=only("a"))
    (own,) = rig.others
    own.say(updated("x:1"))
    assert (await ear.next()).read() == {"uri": "x:1"}


@pytest.mark.requirement("mcp.changes")
async def test_what_a_server_tells_in_one_session_of_its_lists_is_for_all() -> None:
    rig = rig_of(SESSIONS)
    ear, _ = await watch(rig, TOOLS, who=legacy(session="1"), scope=only("a"))
    assert await rig.tools(scope=only("a"), asking=rig.someone(era="legacy", session="2")) == ["x"]
    await rig.ask("tools/call", {"name": "x"}, scope=only("a"), asking=rig.someone(era="legacy", session="2"))
    (own,) = rig.others
    rig.by_id["a"].lists["tools"] = [tool("y")]
    own.say(CHANGED)
    assert (await ear.next()).method == CHANGED.method
    assert await rig.tools(scope=only("a"), asking=rig.someone(era="legacy", session="1")) == ["y"]


async def test_it_is_ready_when_all_servers_have_taken_notice() -> None:
    rig = rig_of()
    for far in rig.by_id.values():
        far.hearing = asyncio.Event()
    _, watching = await watch(rig, TOOLS)
    waiting = asyncio.ensure_future(watching.ready())
    for far in rig.by_id.values():
        await asyncio.sleep(0)
        assert not waiting.done()
        assert far.hearing is not None
        far.hearing.set()
    async with asyncio.timeout(5):
        await waiting


async def test_a_server_that_takes_no_notice_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching_of, "READY_SECONDS", 0.001)
    rig = rig_of()
    rig.by_id["b"].hearing = asyncio.Event()
    _, watching = await watch(rig, TOOLS)
    async with asyncio.timeout(5):
        await watching.ready()


async def test_one_that_is_over_is_ready() -> None:
    rig = rig_of()
    watching = rig.gateway.watch(ANY, rig.someone().client, TOOLS, Ear())
    watching.close()
    async with asyncio.timeout(5):
        await watching.ready()


@pytest.mark.parametrize("listens", [True, False])
async def test_a_session_that_rests_is_listened_to_as_long_as_its_client_listens(listens: bool) -> None:
    rig = rig_of(SESSIONS)
    if listens:
        await watch(rig, TOOLS, who=legacy(), scope=only("a"))
    asking = rig.someone(era="legacy", session="s1")
    await rig.ask("tools/call", {"name": "x"}, scope=only("a"), asking=asking)
    (own,) = rig.others
    assert len(own.watches) == 1
    rig.now += REST_SECONDS
    rig.gateway._connections.sweep()
    assert len(own.watches) == (1 if listens else 0)
    await rig.ask("tools/call", {"name": "x"}, scope=only("a"), asking=asking)
    assert len(own.watches) == 1


async def test_when_it_is_over_nothing_is_heard_and_nobody_is_asked() -> None:
    rig = rig_of()
    ear, watching = await watch(rig, Interest(tools=True, uris=frozenset({"b+x:1"})))
    rig.by_id["a"].say(CHANGED)
    watching.close()
    watching.close()
    await settled(rig)
    assert ear.heard == []
    # The catalog goes on listening, for as long as the connection is there.
    assert all(interest.tools for far in rig.by_id.values() for interest, _ in far.watches)


async def test_one_that_is_over_before_it_has_begun_is_over() -> None:
    rig = rig_of()
    rig.gateway.watch(ANY, rig.someone().client, TOOLS, Ear()).close()
    await settled(rig)
    assert [far.watches for far in rig.by_id.values()] == [[], []]


async def test_with_other_servers_all_is_heard_anew() -> None:
    rig = rig_of()
    ear, _ = await watch(rig, TOOLS)
    rig.registry.put(server("a"), server("b", timeout=5.0))
    assert [message.method for message in ear.heard] == [CHANGED.method]
    await settled(rig)
    rig.others[0].say(CHANGED)
    await ear.next()
    rig.by_id["a"].say(CHANGED)
    await ear.next()
    assert rig.by_id["b"].is_closed


async def test_after_an_approval_the_tools_may_be_others() -> None:
    rig = rig_of()
    ear, _ = await watch(rig, TOOLS)
    rig.gateway.recheck()
    assert [message.method for message in ear.heard] == [CHANGED.method]


async def test_there_are_only_so_many() -> None:
    rig = rig_of(limits=Limits(max_streams=1))
    _, watching = await watch(rig, TOOLS)
    with pytest.raises(Overloaded):
        await watch(rig, TOOLS)
    watching.close()
    await watch(rig, TOOLS)


async def test_where_no_more_can_be_heard_that_is_told() -> None:
    rig = rig_of()
    await rig.tasks.close(1)
    with pytest.raises(Overloaded):
        await watch(rig, TOOLS)
    rig.registry.put(server("a"))
