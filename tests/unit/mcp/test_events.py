from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.mcp.pretending import CHANGED, Pretending, server

from pointsman.mcp.connections import Connection
from pointsman.mcp.events import LISTS, Events
from pointsman.wire.jsonrpc import Message, notification


class Ear:
    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._come = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.heard.append(message)
        self._come.set()

    async def wait(self) -> list[str]:
        async with asyncio.timeout(5):
            await self._come.wait()
        return [message.method for message in self.heard]


@pytest.fixture
def far() -> Pretending:
    return Pretending({})


@pytest.fixture
def connection(far: Pretending) -> Connection:
    return Connection(("a", ""), server("a"), far, is_shared=True)


def updated(uri: str) -> Message:
    return notification("notifications/resources/updated", {"uri": uri})


async def test_however_many_listen_a_server_is_asked_once(connection: Connection, far: Pretending) -> None:
    events, ears = Events(), [Ear(), Ear()]
    for ear in ears:
        events.follow(connection, LISTS, ear)
    assert len(far.watches) == 1
    far.say(CHANGED)
    assert [await ear.wait() for ear in ears] == [[CHANGED.method]] * 2


@pytest.mark.requirement("mcp.changes")
async def test_a_storm_of_changes_is_one_change(connection: Connection, far: Pretending) -> None:
    events, ear = Events(), Ear()
    events.follow(connection, LISTS, ear)
    for _ in range(1000):
        far.say(CHANGED)
    assert await ear.wait() == [CHANGED.method]


async def test_what_is_no_change_is_not_passed_on(connection: Connection, far: Pretending) -> None:
    events, ear = Events(), Ear()
    events.follow(connection, LISTS, ear)
    far.say(notification("notifications/message", {"level": "info"}))
    far.say(CHANGED)
    assert await ear.wait() == [CHANGED.method]


async def test_each_resource_is_followed_for_itself(connection: Connection, far: Pretending) -> None:
    events, one, two = Events(), Ear(), Ear()
    events.follow(connection, "x:1", one)
    events.follow(connection, "x:2", two)
    assert [interest.uris for interest, _ in far.watches] == [{"x:1"}, {"x:2"}]
    events.hear(connection, updated("x:1"))
    await one.wait()
    assert not two.heard


async def test_the_last_who_goes_ends_it(connection: Connection, far: Pretending) -> None:
    events = Events()
    both = [events.follow(connection, LISTS, Ear()) for _ in range(2)]
    assert connection.watches == 2
    both[0].close()
    both[0].close()
    assert (connection.watches, len(far.watches)) == (1, 1)
    both[1].close()
    assert (connection.watches, len(far.watches)) == (0, 0)


async def test_who_only_wants_to_know_does_not_keep_the_connection(connection: Connection) -> None:
    Events().follow(connection, LISTS, Ear(), keeps=False)
    assert connection.is_idle


async def test_nothing_is_heard_over_a_connection_that_was_left(connection: Connection, far: Pretending) -> None:
    events, ear = Events(), Ear()
    following = events.follow(connection, LISTS, ear)
    far.say(CHANGED)
    events.leave(connection)
    following.close()
    assert not far.watches
    assert connection.watches == 0
    events.hear(connection, CHANGED)
    assert not ear.heard


@pytest.mark.parametrize("params", [{}, {"uri": 3}])
async def test_an_update_of_nothing_is_nobody_s(connection: Connection, params: Any) -> None:
    events, ear = Events(), Ear()
    events.follow(connection, "x:1", ear)
    events.hear(connection, notification("notifications/resources/updated", params))
    events.hear(connection, updated("x:1"))
    assert await ear.wait() == ["notifications/resources/updated"]


async def test_one_is_ready_when_the_server_has_taken_notice(connection: Connection, far: Pretending) -> None:
    far.hearing = asyncio.Event()
    following = Events().follow(connection, LISTS, Ear())
    waiting = asyncio.ensure_future(following.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    far.hearing.set()
    await waiting
