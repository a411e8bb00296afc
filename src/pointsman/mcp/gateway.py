"""What is asked of MCP servers, by clients of any era: who may, who answers, and under which names.

A request is for one server, whose names are left as they are, or for several together, in which case names tell the
server (:mod:`pointsman.mcp.protocol.names`). Lists come from the catalog; everything else is passed on over the
connection of the client's party, without a change to anything but the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import Overloaded, SignInNeeded, Unseen
from pointsman.mcp.auth.links import is_signed_in, opened_by
from pointsman.mcp.base import Asking, Client, Interest, Introduction, Meter, Scope, Sink, Watch
from pointsman.mcp.calls import Calls, Counting, Quiet, logs, write_unseen
from pointsman.mcp.catalog import Catalog, Inspect
from pointsman.mcp.connections import Connect, Connection, Connections, session_of
from pointsman.mcp.events import CHANGES, LISTS, Events, Following
from pointsman.mcp.introducing import INFO, together
from pointsman.mcp.lists import Lists
from pointsman.mcp.permissions import visible
from pointsman.mcp.protocol.listings import KINDS, TOOLS
from pointsman.mcp.protocol.revisions import LEGACY, RESUMABLE
from pointsman.mcp.protocol.tasks import Seals
from pointsman.mcp.requests import Ask, Requests, read
from pointsman.mcp.searching import Searching
from pointsman.mcp.settings import Limits, McpSettings, ServerSettings
from pointsman.mcp.sharing import Sharing, Told
from pointsman.mcp.shelves import Failure, Shelves
from pointsman.mcp.views import Views
from pointsman.mcp.watching import Watching
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import METHOD_NOT_FOUND, Message, RpcError, raw

BY_WORD: Final = {
    kind.capability if kind.member != "resourceTemplates" else "templates": kind for kind in KINDS.values()
}
"""Kinds by the word for them."""
EMPTY: Final = raw({})
NONE: Final[Mapping[bytes, bytes]] = {}
PLACE: Final = (b"host", b"x-forwarded-proto")


class Registry(Protocol):
    """The servers that there are."""

    on_change: list[Callable[[], None]]
    settings: McpSettings

    @property
    def entries(self) -> Mapping[str, ServerSettings]: ...
    async def ready(self) -> None: ...


class Found(msgspec.Struct, frozen=True):
    """One thing that a server has."""

    settings: ServerSettings
    name: str
    """As its server has it."""
    public: str
    """As it is called where several servers stand together."""
    raw: msgspec.Raw


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is."""

    state: str
    """``starting`` until it was reached; ``ready``; ``degraded``: only what was known before is there; ``down``."""
    revision: str | None = None
    era: str | None = None
    error: str | None = None


class Gateway:
    """All servers, for all clients. Its methods belong to the event loop."""

    def __init__(
        self,
        registry: Registry,
        connect: Connect,
        tasks: Tasks,
        now: Callable[[], float],
        *,
        meter: Meter,
        counting: Callable[[str, str], Counting],
        secret: bytes,
        inspect: Inspect | None = None,
        count: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        """``now`` is a clock that does not go back; ``inspect`` tells which tools must not be shown.

        ``secret`` is the same for all processes that serve the same clients.

        ``counting`` counts calls of a tool, ``count`` lists that were read from a server.
        """
        self.registry = registry
        self.sharing = Sharing()
        self._tasks = tasks
        self._events = Events(lambda connection, message: self.sharing.add(*connection.key, message))
        self._connections = Connections(connect, tasks, now, listen=self._listen, rest=self._rest, left=self._left)
        self._catalog = Catalog(self._events, tasks, now, self.quiet(Caller(name="")), inspect=inspect, count=count)
        self._shelves = Shelves(self._connections, self._catalog, Views())
        self._calls = Calls(self._connections, self._heard, meter, counting)
        self._lists = Lists(self._shelves, self._calls, now)
        self._requests = Requests(
            self._shelves, self._calls, self._connections, Seals(secret), lambda: self.registry.entries
        )
        self._searching = Searching(self._shelves, self._requests)
        self._watches: set[Watching] = set()
        self._listening: dict[Connection, Following] = {}
        """Connections of one party that are listened to."""
        registry.on_change.append(self._changed)

    @property
    def limits(self) -> Limits:
        """Bounds of what is waited for."""
        return self.registry.settings.limits

    def recheck(self) -> None:
        """Other tools may be shown now, although their servers have not changed."""
        self._catalog.recheck()
        for watch in tuple(self._watches):
            watch.changed()

    def let_in(self, server_id: str, caller: str) -> None:
        """A caller has signed in to a server, or out of it: what failed, or was seen, may not be so any more."""
        for connection in self._connections.borne_by(server_id, caller):
            for method in CHANGES:
                self._catalog.dirty(connection, method)
        for watch in tuple(self._watches):
            watch.changed()

    def renew(self) -> None:
        """Make all connections anew, each when somebody needs it."""
        self._connections.keep_only({})
        self._attach(tuple(self._watches))

    def start(self) -> None:
        """Close what nobody uses, from now on."""
        self._tasks.start(self._connections.run(), "close idle connections to MCP servers")

    async def warm(self) -> None:
        """Begin to read the lists of servers that are programs: many take seconds to start, and nobody has to wait."""
        servers = [one for one in self.registry.entries.values() if one.transport == "stdio"]
        await self._shelves.all(servers[: self.limits.max_stdio], TOOLS, self.quiet(Caller(name="")).client, 0.0)

    async def close(self) -> None:
        """End everything; what is in progress fails."""
        for watch in tuple(self._watches):
            watch.close()
        await self._connections.close()

    # -- what fronts call -----------------------------------------------------------------------------------------

    def scope(self, caller: Caller, path_id: str | None, header: str | None) -> Scope:
        """Which servers a request is for: those that its path names, or its ``x-mcp-servers``, or all.

        :raises Unseen: there is none of a name, or the caller may not use it
        """
        text = header if path_id is None else path_id
        if text is None:
            return Scope(None)
        names = [name for one in text.split(",") if (name := one.strip())]
        if path_id is not None and len(names) == 1:
            return Scope((self._visible(caller, names[0]).id,), is_single=True)
        found = {one.id: None for name in names for one in self._named(caller, name)}
        return Scope(tuple(found))

    async def introduce(self, scope: Scope, client: Client) -> Introduction:
        """What a client is told that begins.

        :raises RpcError: a single server refuses
        :raises GatewayError: it cannot be reached
        """
        servers = self.servers(scope, client.caller)
        if scope.is_single:
            with opened_by(self.registry.settings.public_url, client.headers):
                return await self._connections.first(servers[0], client).introduction()
        # A list brings an introduction with it, and is what the client asks for next.
        await self._shelves.all(servers, TOOLS, client, self.limits.list_seconds)
        known = [(one, self._connections.first(one, client).server.introduction) for one in servers]
        return together(client, known)

    async def call(self, scope: Scope, method: str, params: msgspec.Raw, asking: Asking) -> msgspec.Raw:
        """Answer a request; gives the raw result.

        :raises RpcError: it is refused, or the server's error
        :raises GatewayError: the server cannot be reached, a limit is reached
        """
        try:
            return await self._call(scope, method, params, asking)
        except SignInNeeded as error:
            if method not in RESUMABLE or not await is_signed_in(error, asking):
                raise
        return await self._call(scope, method, params, asking)

    async def _call(self, scope: Scope, method: str, params: msgspec.Raw, asking: Asking) -> msgspec.Raw:
        with opened_by(self.registry.settings.public_url, asking.client.headers):
            return await self._answer(scope, method, params, asking)

    async def _answer(self, scope: Scope, method: str, params: msgspec.Raw, asking: Asking) -> msgspec.Raw:
        servers = self.servers(scope, asking.client.caller)
        is_search = self.registry.settings.mode == "search" and not scope.is_single
        kind = KINDS.get(method)
        if kind is not None:
            if kind is TOOLS and is_search:
                return self._searching.tools(asking)
            cursor = read(params, _Paged).cursor
            if scope.is_single:
                return await self._lists.of_one(servers[0], kind, cursor, asking)
            return await self._lists.of_several(servers, kind, cursor, asking, self.limits.list_seconds)
        if method == "logging/setLevel":
            return await self._set_level(scope, asking.client)
        ask = Ask(
            servers=servers,
            method=method,
            params=params,
            asking=asking,
            is_single=scope.is_single,
            patience=servers[0].timeout if scope.is_single else self.limits.list_seconds,
        )
        if is_search and method == "tools/call":
            return await self._searching.call(ask)
        return await self._requests.answer(ask)

    async def notify(self, scope: Scope, client: Client, method: str, params: msgspec.Raw) -> None:
        """Pass on what a client announces to the servers that know it."""
        ids = {one.id for one in self.servers(scope, client.caller)}
        for connection in self._connections.existing(client):
            if connection.settings.id in ids:
                with connection.calling() as server:
                    await server.notify(method, params)

    def watch(self, scope: Scope, client: Client, interest: Interest, sink: Sink) -> Watch:
        """Have ``sink`` told of changes, from soon on.

        :raises Overloaded: as many as may be are told of changes already
        """
        if len(self._watches) >= self.limits.max_streams:
            raise Overloaded("As many as may be hear of changes already; try again later", retry_after=10)

        def servers() -> dict[str, ServerSettings]:
            return {one.id: one for one in self._there(scope, client.caller)}

        async def find(uri: str) -> Any:
            return await self._requests.owner_of(
                tuple(servers().values()), uri, client, scope, self.limits.list_seconds
            )

        watching = Watching(client, interest, sink, servers, find, self._watches.discard)
        self._watches.add(watching)
        try:
            self._attach([watching])
        except Overloaded:
            watching.close()
            raise
        return watching

    async def end(self, client: Client) -> None:
        """The session of a client is over: what belongs to it alone is closed."""
        self._connections.end(client)

    # -- what the registry's endpoints call -----------------------------------------------------------------------

    async def overview(self, caller: Caller, what: str, scope: Scope = Scope(None)) -> list[Found]:  # noqa: B008  frozen
        """All ``tools``, ``prompts``, ``resources`` or ``templates`` that a caller may use, of some servers."""
        kind, client = BY_WORD[what], self.quiet(caller).client
        shelves = await self._shelves.all(self.servers(scope, caller), kind, client, self.limits.list_seconds)
        rows = self._shelves.view(kind, shelves).rows_for(caller)
        return [Found(row.settings, row.item.key, row.public, row.item.raw) for row in rows]

    async def failures(self, caller: Caller, scope: Scope) -> dict[str, Failure]:
        """Why the tools of some servers are missing in what :meth:`overview` has told just now, by server."""
        shelves = await self._shelves.all(self.servers(scope, caller), TOOLS, self.quiet(caller).client, 0.0)
        return {one.settings.id: one.failure for one in shelves if one.listing is None and one.failure is not None}

    def status(self, server_id: str) -> Status:
        """How a server is, without asking it."""
        every = self._shared(server_id)
        said = next((one.server.introduction for one in every if one.server.introduction is not None), None)
        failure = next((found for one in every if (found := self._catalog.failure(one)) is not None), None)
        error = None if failure is None else failure.message
        if said is None:
            return Status(state="starting" if failure is None else "down", error=error)
        state = "ready" if failure is None else "degraded"
        return Status(state=state, revision=said.revision, era=said.era, error=error)

    def faults(self, server_id: str) -> Mapping[str, str]:
        """Which tools of a server are not shown, and why."""
        return {name: why for one in self._shared(server_id) for name, why in self._catalog.faults(one, TOOLS).items()}

    def _shared(self, server_id: str) -> list[Connection]:
        settings = self.registry.entries.get(server_id)
        return [] if settings is None else self._connections.shared(settings)

    def quiet(self, caller: Caller, request_id: str = "", headers: Mapping[bytes, bytes] = NONE) -> Quiet:
        """An asking for whoever cannot be asked; of ``headers`` only those count that say where the gateway is."""
        return Quiet(
            Client(
                caller=caller,
                era="legacy",
                revision=LEGACY[0],
                info=INFO,
                headers={name: headers[name] for name in PLACE if name in headers},
                request_id=request_id,
            )
        )

    # -- servers --------------------------------------------------------------------------------------------------

    def servers(self, scope: Scope, caller: Caller) -> list[ServerSettings]:
        """Those of a scope that a caller may use now.

        :raises Unseen: it was a single one, and he may not
        """
        found = self._there(scope, caller)
        if scope.is_single and not found:
            raise Unseen(f"Server {(scope.servers or ('',))[0]} not found")
        return found

    def _there(self, scope: Scope, caller: Caller) -> list[ServerSettings]:
        every = self.registry.entries
        ids: Iterable[str] = every if scope.servers is None else scope.servers
        return [one for id_ in ids if (one := every.get(id_)) is not None and visible(caller, one)]

    def _visible(self, caller: Caller, name: str) -> ServerSettings:
        found = self.registry.entries.get(name)
        if found is None or not visible(caller, found):
            write_unseen(caller, name, is_there=found is not None)
            raise Unseen(f"Server {name[:100]} not found")
        return found

    def _named(self, caller: Caller, name: str) -> list[ServerSettings]:
        """A server, or those of an access group."""
        if name in self.registry.entries:
            return [self._visible(caller, name)]
        found = [one for one in self._there(Scope(None), caller) if name in one.access_groups]
        if not found:
            is_there = any(name in one.access_groups for one in self.registry.entries.values())
            write_unseen(caller, name, is_there=is_there)
            raise Unseen(f"Server {name[:100]} not found")
        return found

    async def _set_level(self, scope: Scope, client: Client) -> msgspec.Raw:
        said = await self.introduce(scope, client)
        if not logs(said):
            raise RpcError(METHOD_NOT_FOUND, "Nobody here logs")
        return EMPTY

    # -- changes --------------------------------------------------------------------------------------------------

    def _listen(self, connection: Connection) -> None:
        """Many a server tells of its lists only in the session in which they were changed."""
        hear = partial(self._heard, connection)
        self._listening[connection] = self._events.follow(connection, LISTS, hear, keeps=False)
        connection.is_listened_to = True

    def _rest(self, connections: list[Connection]) -> None:
        """While nothing is called they can tell of little, and that only to those who listen."""
        listening = {session_of(watch.client) for watch in self._watches}
        for one in connections:
            if one.key[1] not in listening:
                self._listening.pop(one).close()
                one.is_listened_to = False

    def _heard(self, connection: Connection, message: Message) -> None:
        """A server has told of a change within a call, or in the session of a client."""
        self.sharing.add(*connection.key, message)
        if message.method in CHANGES:
            self._lists_changed({connection.first, *self._connections.shared(connection.settings)}, message)
        else:
            self._events.hear(connection, message)

    def _lists_changed(self, connections: Iterable[Connection], message: Message) -> None:
        """Wherever that was told, they are the same for all."""
        for one in connections:
            self._catalog.dirty(one, message.method)
            self._events.hear(one, message)

    def hear(self, told: Iterable[Mapping[str, Any]]) -> None:
        """What another process, which serves the same clients, has heard of."""
        for one in msgspec.convert(told, list[Told]):
            settings = self.registry.entries.get(one.server)
            if settings is None:
                continue
            if one.method in CHANGES:
                self._lists_changed(self._connections.shared(settings), one.message)
            elif (connection := self._connections.get((one.server, one.party))) is not None:
                self._events.hear(connection, one.message)

    def _left(self, connection: Connection) -> None:
        self._listening.pop(connection, None)
        self._catalog.forget(connection)
        self._events.leave(connection)

    def _changed(self) -> None:
        """The registry has other servers now."""
        self._connections.keep_only(self.registry.entries)
        watches = tuple(self._watches)
        with suppress(Overloaded):
            self._attach(watches)
        for watch in watches:
            watch.changed()

    def _attach(self, watches: Sequence[Watching]) -> None:
        if watches:
            self._tasks.start(self._attaching(watches), "hear of changes of MCP servers")

    async def _attaching(self, watches: Sequence[Watching]) -> None:
        for watch in watches:
            if not watch.is_closed:
                await watch.attach(self._connections, self._events)


class _Paged(msgspec.Struct):
    cursor: Any = None
