"""Servers that exist only here, and a gateway in front of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.grants import NO_GRANTS, Grants, Layer
from pointsman.mcp.base import Asking, Client, Era, Interest, Introduction, Scope, Sink
from pointsman.mcp.gateway import Gateway
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import METHOD_NOT_FOUND, Message, RpcError, notification, raw

ALL = {
    "tools": {"listChanged": True},
    "prompts": {},
    "resources": {"subscribe": True},
    "logging": {},
    "completions": {},
}
ANY = Scope(None)
CHANGED = notification("notifications/tools/list_changed")


def tool(name: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **members}


def caller(name: str = "key:a", **grants: Any) -> Caller:
    """One who may use all servers, or those of a layer."""
    layer = Layer(**grants) if grants else Layer(has_all=True)
    return Caller(name=name, role="key", grants=Grants((layer,)))


def nobody() -> Caller:
    """One who has no grants."""
    return Caller(name="key:none", role="key", grants=NO_GRANTS)


def server(id: str, **settings: Any) -> ServerSettings:  # noqa: A002  as the member is called
    return ServerSettings(id=id, name=id, url=f"http://{id}.example/mcp", **settings)


class Pretending:
    """A server: what it has, what it was asked, and what it is to do."""

    def __init__(self, lists: Mapping[str, list[Any]], **said: Any) -> None:
        self.lists = dict(lists)
        self.answers: dict[str, Any] = {}
        """Results by method: values, errors, or what is to be awaited with parameters and asking."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.told: list[str] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        """While it is not set, lists do not come."""
        self.page: dict[str, Any] = {}
        """More members of lists."""
        self.pages: dict[str | None, tuple[list[Any], str | None]] | None = None
        """Tools by cursor, and the next one."""
        self.watches: list[tuple[Interest, Sink]] = []
        self.hearing: asyncio.Event | None = None
        """While it is not set, changes may be missed."""
        self.is_closed = False
        self.said = Introduction(
            **{
                "era": "modern",
                "revision": "2026-07-28",
                "capabilities": ALL,
                "info": {"name": "pretending"},
                "raw": raw({"capabilities": ALL}),
                **said,
            }
        )
        self.introduction: Introduction | None = None

    async def introduce(self) -> Introduction:
        if self.failure is not None:
            raise self.failure
        self.introduction = self.said
        return self.said

    async def call(self, method: str, params: msgspec.Raw, asking: Asking, deadline: float) -> msgspec.Raw:
        given = msgspec.json.decode(params) if params else {}
        self.asked.append((method, given))
        await self.introduce()
        if method.endswith("/list") and method not in self.answers:
            return await self._list(method, given)
        answer = self.answers.get(method, {"said": self.asked[-1]})
        if isinstance(answer, Exception):
            raise answer
        return raw(await answer(given, asking) if callable(answer) else answer)

    async def _list(self, method: str, given: dict[str, Any]) -> msgspec.Raw:
        if self.gate is not None:
            await self.gate.wait()
        member = "resourceTemplates" if "templates" in method else method.partition("/")[0]
        if self.pages is not None and member == "tools":
            items, after = self.pages[given.get("cursor")]
            return raw({member: items, **({} if after is None else {"nextCursor": after}), **self.page})
        if member not in self.lists:
            raise RpcError(METHOD_NOT_FOUND, "no such method")
        return raw({member: self.lists[member], **self.page})

    async def notify(self, method: str, params: msgspec.Raw) -> None:
        self.told.append(method)

    def watch(self, interest: Interest, sink: Sink) -> Stop:
        place = (interest, sink)
        self.watches.append(place)
        return Stop(lambda: self.watches.remove(place), self.hearing)

    async def close(self) -> None:
        self.is_closed = True

    def say(self, message: Message) -> None:
        """Tell all who watch for it."""
        uri = message.read().get("uri")
        for interest, sink in tuple(self.watches):
            if uri is None or uri in interest.uris:
                sink(message)

    def count(self, method: str) -> int:
        return sum(one == method for one, _ in self.asked)


class Stop:
    def __init__(self, stop: Callable[[], None], gate: asyncio.Event | None) -> None:
        self._stop = stop
        self.gate = gate

    def close(self) -> None:
        self._stop()

    async def ready(self) -> None:
        if self.gate is not None:
            await self.gate.wait()


class Someone:
    """A request of a client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[Message] = []
        self.reply: Any = {}

    def tell(self, message: Message) -> None:
        self.heard.append(message)

    async def ask(self, method: str, params: msgspec.Raw) -> msgspec.Raw:
        return raw(await self.reply() if callable(self.reply) else self.reply)


class Servers:
    """A registry that anybody can change."""

    def __init__(self, servers: list[ServerSettings], settings: McpSettings) -> None:
        self.entries: Mapping[str, ServerSettings] = {one.id: one for one in servers}
        self.settings = settings
        self.on_change: list[Callable[[], None]] = []

    async def ready(self) -> None:
        """They always are."""

    def put(self, *servers: ServerSettings) -> None:
        self.entries = {one.id: one for one in servers}
        for hear in self.on_change:
            hear()


class Counted:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def __call__(self, server_id: str, name: str) -> _Counting:
        return _Counting(self, server_id, name)


class _Counting:
    def __init__(self, counted: Counted, server_id: str, name: str) -> None:
        self._counted = counted
        self._names = (server_id, name)

    def observe(self, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self._counted.seen.append((*self._names, outcome))


class Meter:
    """Lets pass what it is not told to refuse."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str, str | None]] = []
        self.have_slots: list[bool] = []
        self.closed: list[tuple[bool, bool]] = []
        """Whether each has succeeded, and whether it is to be paid for."""
        self.refusal: Exception | None = None

    async def open(
        self, who: Caller, server_id: str, name: str | None, request_id: str = "", *, has_slot: bool = False
    ) -> Callable[[bool, bool], None]:
        if self.refusal is not None:
            raise self.refusal
        self.opened.append((who.name, server_id, name))
        self.have_slots.append(has_slot)
        return lambda is_success, is_due: self.closed.append((is_success, is_due))


class Rig:
    """A gateway in front of pretending servers; its clock stands still."""

    def __init__(self, *servers: tuple[ServerSettings, Pretending], **settings: Any) -> None:
        self.now = 1000.0
        self.by_id = {one.id: pretending for one, pretending in servers}
        self.made: list[tuple[str, Client | None, Era]] = []
        self.others: list[Pretending] = []
        """Those that parties of their own were given, with what the first one has."""
        self.registry = Servers([one for one, _ in servers], McpSettings(**settings))
        self.tasks = Tasks(logging.getLogger("tests"), 1000)
        self.meter = Meter()
        self.counted = Counted()
        self.faults: dict[str, str] = {}
        self.gateway = Gateway(
            self.registry,
            self.connect,
            self.tasks,
            lambda: self.now,
            meter=self.meter,
            counting=self.counted,
            secret=b"rig",
            inspect=self.inspect,
        )

    def connect(self, settings: ServerSettings, client: Client | None, era: Era) -> Pretending:
        self.made.append((settings.id, client, era))
        first = self.by_id[settings.id]
        if sum(one == settings.id for one, _, _ in self.made) == 1:
            return first
        other = Pretending(first.lists)
        other.said, other.failure, other.answers = first.said, first.failure, first.answers
        self.others.append(other)
        return other

    async def inspect(self, settings: ServerSettings, items: object) -> Mapping[str, str]:
        return self.faults

    def someone(self, who: Caller | None = None, **members: Any) -> Someone:
        return Someone(client(who, **members))

    async def ask(
        self,
        method: str,
        params: Any = None,
        *,
        scope: Scope = ANY,
        asking: Asking | None = None,
    ) -> Any:
        given = raw(params or {})
        return msgspec.json.decode(await self.gateway.call(scope, method, given, asking or self.someone()))

    async def tools(self, **more: Any) -> list[str]:
        return [one["name"] for one in (await self.ask("tools/list", **more))["tools"]]


def client(who: Caller | None = None, **members: Any) -> Client:
    given = {"caller": who or caller(), "era": "modern", "revision": "2026-07-28", **members}
    return Client(**given)


def legacy(who: Caller | None = None, session: str = "s1", **members: Any) -> Client:
    return client(who, era="legacy", revision="2025-11-25", session=session, **members)


def only(server_id: str) -> Scope:
    return Scope((server_id,), is_single=True)
