"""What is passed on to one server: whose it is, whether the caller may, and under which name the server knows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import Refused
from pointsman.mcp.base import Asking, Client, Scope
from pointsman.mcp.calls import CALL, Calls, Line, unknown_tool
from pointsman.mcp.catalog import Listing
from pointsman.mcp.connections import Connections, own
from pointsman.mcp.permissions import may_call, may_read, not_visible, visible
from pointsman.mcp.protocol import listings, tasks
from pointsman.mcp.protocol.headers import check_parameters
from pointsman.mcp.protocol.listings import KINDS, PROMPTS, RESOURCES, TEMPLATES, TOOLS, Item, Kind
from pointsman.mcp.protocol.meta import members_of
from pointsman.mcp.protocol.mirrors import ANNOTATION
from pointsman.mcp.protocol.names import SEPARATOR, Owner, is_taken, joined, owner_of
from pointsman.mcp.protocol.tasks import Seals
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.shelves import Shelves
from pointsman.mcp.views import owner_of_resource, prefix_of
from pointsman.wire.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, raw

RESOURCE_NOT_FOUND: Final = -32002
"""To legacy clients; modern ones are told :data:`INVALID_PARAMS`."""
OURS: Final = frozenset({"initialize", "ping", "server/discover", "subscriptions/listen"})
"""Belong to an era, and so to whoever speaks it."""
LOOK_SECONDS: Final = 60.0
"""So old a list may be to tell whose a name is, although its server wants it to be read each time."""
TASKS: Final = "tasks/"
READ: Final = ("name", "arguments", "uri", "ref", "type", "taskId")
"""Members that are decided by."""
_FOLDED: Final = frozenset(map(str.casefold, READ))
_ANNOTATION: Final = ANNOTATION.encode()
T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request, with who is asked."""

    servers: Sequence[ServerSettings]
    method: str
    params: msgspec.Raw
    asking: Asking
    is_single: bool
    """It is for one server, under its own names."""
    patience: float
    """Seconds in which it has to be known whose it is."""
    is_inner: bool = False
    """It stood in another request, whose headers say nothing of it."""

    @property
    def client(self) -> Client:
        return self.asking.client

    def of(self, server_id: str) -> ServerSettings:
        """One of these servers."""
        return next(one for one in self.servers if one.id == server_id)


class _Tool(msgspec.Struct):
    name: str
    arguments: dict[str, msgspec.Raw] | None = None


class _Named(msgspec.Struct):
    name: str


class _Located(msgspec.Struct):
    uri: str


class _Task(msgspec.Struct):
    taskId: str = ""  # noqa: N815  as it is written


class _Reference(msgspec.Struct):
    type: str
    name: str = ""
    uri: str = ""


class _Completion(msgspec.Struct):
    ref: _Reference


class Requests:
    """Answers what is no list."""

    def __init__(
        self,
        shelves: Shelves,
        calls: Calls,
        connections: Connections,
        seals: Seals,
        every: Callable[[], Mapping[str, ServerSettings]],
    ) -> None:
        """``every`` gives all servers, to tell in the log what was kept from whom."""
        self._shelves = shelves
        self._calls = calls
        self._connections = connections
        self._seals = seals
        self._every = every
        self._ways: Mapping[str, Callable[[Ask], Awaitable[msgspec.Raw]]] = {
            CALL: self._call_tool,
            "prompts/get": self._get_prompt,
            "resources/read": self._read,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._subscribe,
            "completion/complete": self._complete,
        }
        self._spoken = {name.casefold() for name in (*self._ways, *OURS, *KINDS)}

    async def answer(self, ask: Ask) -> msgspec.Raw:
        """The result of a request.

        :raises RpcError: nobody has what it names, or the server's error
        :raises GatewayError: the server cannot be reached, a limit is reached
        """
        way = self._ways.get(ask.method)
        if way is None and ask.method.startswith(TASKS):
            way = self._task
        if way is not None:
            return await way(msgspec.structs.replace(ask, params=tidy(ask.params)))
        if ask.is_single and not self._is_kept(ask):
            return await self._calls.forward(ask.servers[0], ask.method, ask.params, ask.asking)
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {ask.method[:200]}")

    def _is_kept(self, ask: Ask) -> bool:
        """Whether a method that nobody here knows could be a way around what is decided here."""
        method, settings = ask.method.casefold(), ask.servers[0]
        if method in self._spoken or method.startswith(TASKS):
            return True
        named = settings.tools or settings.resources or settings.allowed_params or settings.cost_usd
        is_limited = bool(named) or settings.pinning == "block" or _limits_tools(ask.client.caller, settings)
        if is_limited:
            self._write(ask, "", "it is not known here, and something of the server is kept from the caller")
        return is_limited

    # -- tools ----------------------------------------------------------------------------------------------------

    async def _call_tool(self, ask: Ask) -> msgspec.Raw:
        wanted = read(ask.params, _Tool)
        caller = ask.client.caller
        owner = await self._named(ask, TOOLS, wanted.name)
        if owner is None:
            self._write(ask, wanted.name)
            raise unknown_tool(wanted.name)
        settings = ask.of(owner.server)
        refused = may_call(caller, settings, owner.name, wanted.arguments)
        listing = None if refused is not None else await self._known(settings, TOOLS, ask)
        why = _why_hidden(caller, settings, owner.name, listing) if refused is None else refused.reason
        if why is not None:
            # To the caller the same as one that is not there.
            self._write(ask, owner.name, why, settings.id)
            raise unknown_tool(wanted.name)
        item = self._checked(ask, settings, owner.name, wanted, listing)
        params = ask.params if owner.name == wanted.name else _with(ask.params, name=owner.name)
        result = await self._calls.tool(settings, owner.name, params, ask.asking, is_known=item is not None)
        return await self._with_task(result, settings, ask)

    def _checked(
        self, ask: Ask, settings: ServerSettings, tool: str, wanted: _Tool, listing: Listing | None
    ) -> Item | None:
        """What is known of a tool that is called as its definition wants it.

        :raises RpcError: it is called in another way, or nobody can tell
        """
        if listing is None and settings.pinning == "block":
            raise RpcError(listings.BROKEN, f"What {wanted.name[:200]} is cannot be checked at the moment")
        item = None if listing is None else listing.items.get(tool)
        if item is not None and ask.client.era == "modern" and not ask.is_inner and _ANNOTATION in bytes(item.raw):
            schema = msgspec.json.decode(item.raw, type=dict[str, Any])["inputSchema"]
            arguments = {name: msgspec.json.decode(value) for name, value in (wanted.arguments or {}).items()}
            check_parameters(schema, arguments, ask.client.headers)
        return item

    # -- prompts and resources ------------------------------------------------------------------------------------

    async def _get_prompt(self, ask: Ask) -> msgspec.Raw:
        name = read(ask.params, _Named).name
        owner = await self._named(ask, PROMPTS, name)
        if owner is None:
            self._write(ask, name)
            raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:200]}")
        params = ask.params if owner.name == name else _with(ask.params, name=owner.name)
        return await self._calls.forward(ask.of(owner.server), ask.method, params, ask.asking, owner.name)

    async def _read(self, ask: Ask) -> msgspec.Raw:
        uri = read(ask.params, _Located).uri
        settings, owner = await self._located(ask, uri)
        params = ask.params if owner.name == uri else _with(ask.params, uri=owner.name)
        return await self._calls.forward(settings, ask.method, params, ask.asking, owner.name)

    async def _subscribe(self, ask: Ask) -> msgspec.Raw:
        """Whoever speaks to the client keeps what it hears of."""
        await self._located(ask, read(ask.params, _Located).uri)
        return raw({})

    async def _located(self, ask: Ask, uri: str) -> tuple[ServerSettings, Owner]:
        """:raises RpcError: nobody has it, or the caller may not read it"""
        scope = Scope(tuple(one.id for one in ask.servers), ask.is_single)
        owner = await self.owner_of(ask.servers, uri, ask.client, scope, ask.patience)
        settings = None if owner is None else ask.of(owner.server)
        refused = None if owner is None or settings is None else await self._may_read(ask, settings, owner.name)
        if owner is None or settings is None or refused is not None:
            self._write(ask, uri, "" if refused is None else refused.reason, "" if settings is None else settings.id)
            code = RESOURCE_NOT_FOUND if ask.client.era == "legacy" else INVALID_PARAMS
            raise RpcError(code, f"Resource not found: {uri[:200]}", {"uri": uri[: listings.MAX_KEY]})
        return settings, owner

    async def _may_read(self, ask: Ask, settings: ServerSettings, uri: str) -> Refused | None:
        name = ""
        if settings.resources:
            # They may be declared by their names.
            for kind in (RESOURCES, TEMPLATES):
                listing = await self._known(settings, kind, ask)
                item = None if listing is None else listing.items.get(uri)
                name = name if item is None else item.name
        return may_read(ask.client.caller, settings, uri, name)

    async def owner_of(
        self, servers: Sequence[ServerSettings], uri: str, client: Client, scope: Scope, patience: float
    ) -> Owner | None:
        """Whose a URI is."""
        if scope.is_single:
            return Owner(servers[0].id, uri) if servers else None
        ids = [one.id for one in servers]
        if is_taken(uri, ids):
            return owner_of(uri, ids)
        known = ((one, self._shelves.known(one, RESOURCES, client)) for one in servers)
        lists_it = next((one for one, listing in known if listing is not None and uri in listing.items), None)
        if lists_it is not None:
            return Owner(lists_it.id, uri)
        resources = await self._shelves.all(servers, RESOURCES, client, patience, at_least=LOOK_SECONDS)
        templates = await self._shelves.all(servers, TEMPLATES, client, patience, at_least=LOOK_SECONDS)
        return owner_of_resource(
            uri,
            [(shelf.settings, shelf.listing) for shelf in resources],
            [(shelf.settings, shelf.listing) for shelf in templates],
        )

    async def _complete(self, ask: Ask) -> msgspec.Raw:
        members = members_of(ask.params)
        members["ref"] = tidy(members.get("ref", raw({})))
        ref = read(raw(members), _Completion).ref
        member, there = ("name", ref.name) if ref.type == "ref/prompt" else ("uri", ref.uri)
        if member == "name":
            owner = await self._named(ask, PROMPTS, there)
        else:
            owner = (await self._located(ask, there))[1]
        if owner is None:
            self._write(ask, there)
            raise RpcError(INVALID_PARAMS, "There is no such prompt or resource")
        members["ref"] = _with(members["ref"], **{member: owner.name})
        return await self._calls.forward(ask.of(owner.server), ask.method, raw(members), ask.asking, owner.name)

    # -- tasks ----------------------------------------------------------------------------------------------------

    async def _task(self, ask: Ask) -> msgspec.Raw:
        """What goes on at a server."""
        told = read(ask.params, _Task).taskId
        settings, task = ask.servers[0] if ask.is_single else None, told
        if not ask.is_single:
            server_id, task = tasks.parted(told)
            settings = next((one for one in ask.servers if one.id == server_id), None)
        if settings is not None and not await self._is_private(settings, ask.client):
            if ask.method == TASKS + "list":
                # All who share the connection have theirs in it.
                raise RpcError(METHOD_NOT_FOUND, f"Method not found: {ask.method}")
            known = self._seals.opened(task, settings.id, ask.client.caller.name)
            settings, task = None if known is None else settings, known or ""
        if settings is None:
            self._write(ask, told)
            raise RpcError(INVALID_PARAMS, "There is no such task")
        params = ask.params if task == told else _with(ask.params, taskId=task)
        result = await self._calls.forward(settings, ask.method, params, ask.asking, task)
        return await self._with_task(result, settings, ask)

    async def _is_private(self, settings: ServerSettings, client: Client) -> bool:
        """Whether nobody else is behind the connection that a client has."""
        connection = await self._connections.of(settings, client)
        return bool(client.session or client.caller.name) and connection.key[1] == own(settings, client)

    async def _with_task(self, result: msgspec.Raw, settings: ServerSettings, ask: Ask) -> msgspec.Raw:
        """The result with ids of tasks as clients have them."""
        if b'"taskId"' not in bytes(result):
            return result
        is_private, caller = await self._is_private(settings, ask.client), ask.client.caller.name

        def marked(holder: msgspec.Raw) -> msgspec.Raw:
            try:
                task = msgspec.json.decode(holder, type=_Task).taskId
            except msgspec.MsgspecError:
                return holder
            told = task if is_private else self._seals.sealed(task, settings.id, caller)
            return _with(holder, taskId=told if ask.is_single else tasks.placed(told, settings.id)) if task else holder

        whole = msgspec.json.decode(marked(result), type=dict[str, msgspec.Raw])
        if "task" in whole:
            whole["task"] = marked(whole["task"])
        return raw(whole)

    # -- whose it is ----------------------------------------------------------------------------------------------

    async def _named(self, ask: Ask, kind: Kind, name: str) -> Owner | None:
        if ask.is_single:
            return Owner(ask.servers[0].id, name)
        named = _by_prefix(ask.servers, name)
        if named is not None:
            # It alone is waited for: another one may hang.
            listing = await self._known(ask.of(named.server), kind, ask)
            if listing is None or named.name in listing.items:
                return named
        shelves = await self._shelves.all(ask.servers, kind, ask.client, ask.patience, at_least=LOOK_SECONDS)
        return self._shelves.view(kind, shelves).find(name, ask.client.caller)

    async def _known(self, settings: ServerSettings, kind: Kind, ask: Ask) -> Listing | None:
        return (await self._shelves.all([settings], kind, ask.client, ask.patience, at_least=LOOK_SECONDS))[0].listing

    def _write(self, ask: Ask, name: str, why: str = "", server: str = "") -> None:
        """Have the log tell apart what the caller is not to tell apart."""
        if not why:
            hidden = [one for one in self._every().values() if not visible(ask.client.caller, one)]
            owner = _by_prefix(hidden, name) or owner_of(name, [one.id for one in hidden])
            server, name = ("", name) if owner is None else (owner.server, owner.name)
            why = not_visible(server) if owner is not None else "nobody has it"
        Line(ask.client, server, ask.method, name).write(f"denied: {why}")


def _by_prefix(servers: Sequence[ServerSettings], name: str) -> Owner | None:
    """What a whole name says, unless an operator has given it to something else."""
    prefix, separator, rest = name.partition(SEPARATOR)
    if not separator or any(name in one.renamed.values() for one in servers):
        return None
    for one in servers:
        if prefix_of(one) == prefix:
            return Owner(one.id, rest) if joined(prefix, rest) == name and rest not in one.renamed else None
    return None


def _limits_tools(caller: Caller, settings: ServerSettings) -> bool:
    """Whether some tools may be kept from a caller: what is not there has to look like them then."""
    grants = caller.grants
    is_limited = settings.denied_tools or grants.blocked or any(settings.id in one.parts for one in grants.layers)
    return bool(is_limited)


def _why_hidden(caller: Caller, settings: ServerSettings, tool: str, listing: Listing | None) -> str | None:
    """Why a tool that may be called is not there, from what its server has shown; ``None``: it is."""
    if listing is None:
        return None
    if tool in listing.page.faults:
        return listing.page.faults[tool]
    has_to_be_known = settings.pinning == "block" or _limits_tools(caller, settings)
    return f"{settings.id} has no {tool}" if has_to_be_known and tool not in listing.items else None


def read(params: msgspec.Raw, shape: type[T]) -> T:
    """Parameters of this shape.

    :raises RpcError: they are of another shape
    """
    try:
        return msgspec.json.decode(params or b"{}", type=shape)
    except msgspec.MsgspecError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {error}"[:500]) from error


def tidy(params: msgspec.Raw) -> msgspec.Raw:
    """The same members, each once, so that a server can read nothing else in them than was checked here.

    :raises RpcError: they are no object, or one is called like another one but for its case
    """
    members = members_of(params)
    for name in members:
        if name not in READ and name.casefold() in _FOLDED:
            raise RpcError(INVALID_PARAMS, f"Invalid params: a member is called {name[:100]!r}")
    return raw(members)


def _with(params: msgspec.Raw, **values: str) -> msgspec.Raw:
    """The same with other values of some members."""
    return raw(msgspec.json.decode(params, type=dict[str, msgspec.Raw]) | values)
