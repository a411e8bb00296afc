from __future__ import annotations

import asyncio

import pytest
from msgspec import Raw

from pointsman.mcp.base import Interest
from pointsman.mcp.servers import watchers as watchers_of
from pointsman.mcp.servers.watchers import PROMPTS, RESOURCES, TOOLS, UPDATED, Watchers, Watching, covers
from pointsman.wire.jsonrpc import Message, notification

TOOL, PROMPT, RESOURCE = notification(TOOLS), notification(PROMPTS), notification(RESOURCES)
A = notification(UPDATED, {"uri": "a", "x": 1})
EVERYTHING = Interest(tools=True, prompts=True, resources=True, uris=frozenset({"a", "b"}))


def watching(watchers: Watchers, interest: Interest) -> tuple[Watching, list[Message]]:
    heard: list[Message] = []
    found = Watching(interest, heard.append, watchers.discard)
    watchers.add(found)
    return found, heard


def test_everybody_hears_what_he_wants() -> None:
    watchers = Watchers()
    _, tools = watching(watchers, Interest(tools=True))
    _, lists = watching(watchers, Interest(prompts=True, resources=True))
    _, uris = watching(watchers, Interest(uris=frozenset({"a"})))
    assert all(watchers.tell(one) for one in (TOOL, PROMPT, RESOURCE, A))
    assert not watchers.tell(notification(UPDATED, {"uri": "c"}))
    assert not watchers.tell(notification("notifications/message"))
    assert (tools, lists, uris) == ([TOOL], [PROMPT, RESOURCE], [A])
    watchers.tell_all(notification("other"))
    assert uris[-1].method == lists[-1].method == tools[-1].method == "other"


def test_who_has_closed_hears_nothing() -> None:
    watchers = Watchers()
    one, heard = watching(watchers, EVERYTHING)
    one.close()
    one.close()
    assert not watchers.tell(TOOL)
    assert heard == []
    assert len(watchers) == 0


def test_what_may_have_been_missed_is_told_once_to_each() -> None:
    watchers = Watchers()
    _, all_of_it = watching(watchers, EVERYTHING)
    _, tools = watching(watchers, Interest(tools=True))
    watchers.tell_stale()
    assert [one.method for one in all_of_it] == [TOOLS, PROMPTS, RESOURCES, UPDATED, UPDATED]
    assert [one.method for one in tools] == [TOOLS]


def test_interests_are_joined_and_compared() -> None:
    watchers = Watchers()
    assert watchers.interest == Interest()
    watching(watchers, Interest(tools=True, uris=frozenset({"a"})))
    watching(watchers, Interest(prompts=True, uris=frozenset({"b"})))
    assert watchers.interest == Interest(tools=True, prompts=True, uris=frozenset({"a", "b"}))
    assert covers(EVERYTHING, watchers.interest)
    assert not covers(watchers.interest, EVERYTHING)
    assert not covers(Interest(tools=True), Interest(uris=frozenset({"a"})))


@pytest.mark.parametrize("params", [b"", b"[]", b'{"uri":1}'])
def test_an_update_of_nothing_is_for_nobody(params: bytes) -> None:
    watchers = Watchers()
    watching(watchers, EVERYTHING)
    assert not watchers.tell(Message(jsonrpc="2.0", method=UPDATED, params=Raw(params)))


async def test_who_is_heard_of_is_ready() -> None:
    watchers = Watchers()
    (tools, _), (uri, _) = watching(watchers, Interest(tools=True)), watching(watchers, Interest(uris=frozenset({"a"})))
    watchers.arrive(Interest(tools=True))
    async with asyncio.timeout(5):
        await tools.ready()
    waiting = asyncio.ensure_future(uri.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    watchers.arrive(None)
    await asyncio.wait_for(waiting, 5)


async def test_who_has_closed_is_not_waited_for() -> None:
    found, _ = watching(Watchers(), EVERYTHING)
    found.close()
    await asyncio.wait_for(found.ready(), 5)


async def test_a_server_that_takes_no_notice_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers_of, "READY_SECONDS", 0.001)
    found, _ = watching(Watchers(), EVERYTHING)
    await asyncio.wait_for(found.ready(), 5)
