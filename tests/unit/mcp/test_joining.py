from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from msgspec import Raw
from unit.mcp.peers import Talker, Wire, until

from pointsman.errors import SessionLost, UpstreamRejected
from pointsman.mcp import joining
from pointsman.mcp.base import Interest, Sink
from pointsman.mcp.joining import STRAY, Joint, Lender, Wanted, hear
from pointsman.mcp.servers import legacy as legacy_of
from pointsman.mcp.servers.legacy import LegacyServer
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.watchers import UPDATED
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message, notification, request

pytestmark = pytest.mark.requirement("mcp.workers")
INTRODUCED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"resources": {"subscribe": True}},
    "serverInfo": {"name": "old"},
}
HERE = {"server": "a", "client": "c"}


class Shared:
    """A server with sessions that several processes speak with."""

    def __init__(self) -> None:
        self.begun = 0
        self.alive: set[str] = set()
        self.listeners = 0
        self.is_silent = False
        """Whether calls are not answered."""

    def react(self, wire: SessionWire, message: Message, _tell: Sink) -> Any:
        if message.method == "initialize":
            self.begun += 1
            wire.session = f"s{self.begun}"
            self.alive.add(wire.session)
            return INTRODUCED
        if self.is_silent:
            return None
        return {"in": wire.session} if wire.session in self.alive else SessionLost()


class SessionWire(Wire):
    """The way of one process to it."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(partial(shared.react, self))
        self.shared = shared
        self.session: str | None = None
        self.has_session = True

    def resume(self, session: str | None) -> None:
        self.session = session

    async def listen(self, on_message: Sink, **more: Any) -> None:
        if self.shared.listeners:
            raise UpstreamRejected(status=409, kind="upstream_error")
        self.shared.listeners += 1
        try:
            await super().listen(on_message, **more)
        finally:
            self.shared.listeners -= 1


class Processes:
    """Each with its own session, or part in one."""

    def __init__(self, tasks: Tasks, names: str = "ab") -> None:
        self.shared = Shared()
        self.wires = [SessionWire(self.shared) for _ in names]
        self.servers: list[LegacyServer] = []
        for number, (name, wire) in enumerate(zip(names, self.wires, strict=True)):
            joint = Joint(partial(self.ask, number), name, number * 1000, "a", "c", wire)
            profile = Profile(name="a", info={}, is_own=True, joint=joint)
            self.servers.append(LegacyServer(wire, profile, tasks))

    async def ask(self, asker: int, told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        def find(lender: Lender, server: str, client: str) -> Lender | None:
            assert (server, client) == ("a", "c")
            return lender

        others = [one for number, one in enumerate(self.servers) if number != asker]
        return await asyncio.gather(*(hear(told, partial(find, one)) for one in others))

    async def call(self, number: int, asking: Talker | None = None) -> bytes:
        return bytes(await self.servers[number].call("tools/call", Raw(b""), asking or Talker(), 1e9))

    async def close(self) -> None:
        for one in self.servers:
            await one.close()


@pytest.fixture
async def tasks(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tasks]:
    monkeypatch.setattr(legacy_of, "TAKEN_SECONDS", 0.0)
    found = Tasks(logging.getLogger("test"), 100)
    yield found
    assert await found.close(5) == []


@pytest.fixture
async def both(tasks: Tasks) -> AsyncIterator[Processes]:
    found = Processes(tasks)
    yield found
    await found.close()


async def test_a_session_that_another_process_has_is_gone_on_with(both: Processes) -> None:
    assert await both.call(0) == await both.call(1) == b'{"in":"s1"}'
    assert both.wires[1].methods == ["tools/call"]
    assert both.wires[1].headers[-1] == {"mcp-protocol-version": "2025-06-18"}
    assert both.servers[1].introduction == both.servers[0].introduction


async def test_no_two_requests_in_a_session_have_one_number(both: Processes) -> None:
    await asyncio.gather(*(both.call(number % 2) for number in range(10)))
    ids = [message.id for wire in both.wires for message in wire.requests]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_that_begin_at_once_only_one_does(first: int, both: Processes) -> None:
    said = await asyncio.gather(both.call(first), both.call(1 - first))
    assert set(said) == {b'{"in":"s1"}'}
    assert both.shared.begun == 1


async def test_a_session_that_the_server_has_forgotten_is_begun_again_by_one(both: Processes) -> None:
    await both.call(0)
    await both.call(1)
    both.shared.alive.clear()
    assert await both.call(1) == await both.call(0) == b'{"in":"s2"}'
    assert both.shared.begun == 2


async def test_only_who_has_begun_a_session_ends_it(both: Processes) -> None:
    await both.call(0)
    await both.call(1)
    await both.servers[1].close()
    assert both.wires[1].session is None
    await both.servers[0].close()
    assert both.wires[0].session == "s1"


async def test_a_question_goes_to_the_process_whose_call_it_may_be_for(both: Processes) -> None:
    await both.call(0)
    await both.call(1)
    await until(lambda: both.shared.listeners == 1)
    both.shared.is_silent = True
    asking = Talker(answers={"roots/list": {"roots": []}})
    calling = asyncio.create_task(both.call(1, asking))
    await until(lambda: len(both.wires[1].requests) == 2)
    both.wires[0].hearers[0](request("q", "roots/list"))
    await until(lambda: [message.id for message in both.wires[1].posts] == ["q"])
    assert [method for method, _ in asking.asked] == ["roots/list"]
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)


async def test_a_change_goes_to_the_process_that_watches(both: Processes) -> None:
    await both.call(0)
    await both.call(1)
    await until(lambda: both.shared.listeners == 1)
    heard: list[Message] = []
    watch = both.servers[1].watch(Interest(uris=frozenset({"a://x"})), heard.append)
    await until(lambda: "resources/subscribe" in both.wires[1].methods)
    update = notification(UPDATED, {"uri": "a://x"})
    both.wires[0].hearers[0](update)
    await until(lambda: heard == [update])
    watch.close()


async def test_a_question_that_nobody_can_be_asked_is_refused(both: Processes) -> None:
    await both.call(0)
    await until(lambda: both.shared.listeners == 1)
    both.wires[0].hearers[0](request("q", "roots/list"))
    await until(lambda: any(message.id == "q" and message.error for message in both.wires[0].posts))


async def test_another_process_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "BORROW_SECONDS", 0.0)

    async def ask(_: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        await asyncio.Event().wait()
        return ()

    assert await Joint(ask, "a", 0, "a", "c", SessionWire(Shared())).borrow("") is None


async def test_who_has_no_such_session_lends_none_and_takes_nothing() -> None:
    assert await hear({joining.LEND: {**HERE, "rival": "b"}}, lambda *_: None) == {}
    assert await hear({STRAY: {**HERE, "message": "{}"}}, lambda *_: None) == {}


async def test_what_is_no_message_is_taken_by_nobody(both: Processes) -> None:
    assert await hear({STRAY: {**HERE, "message": "{"}}, lambda *_: both.servers[0]) == {}


async def test_a_session_that_is_none_is_not_lent(both: Processes) -> None:
    wanted = Wanted("a", "c", "b")
    assert await both.servers[0].lend(wanted) is None
    await both.call(0)
    assert await both.servers[0].lend(wanted) is not None
    assert await both.servers[0].lend(Wanted("a", "c", "b", lost="s1")) is None
    both.wires[0].session = None
    assert await both.servers[0].lend(wanted) is None
