"""Requests whose tools may name MCP servers: this gateway's are called here, and others where that is allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import Access, may_call
from pointsman.errors import Forbidden, InvalidRequest
from pointsman.mcp.settings import McpSettings
from pointsman.pipeline.bill import ID_LINE
from pointsman.pipeline.call import Call
from pointsman.pipeline.mcp_use.chains import Chains
from pointsman.pipeline.mcp_use.entries import Entry, find, servers_of
from pointsman.pipeline.mcp_use.forms import FORMS
from pointsman.pipeline.mcp_use.limits import Allowance
from pointsman.pipeline.mcp_use.offers import NOBODY, Done, Offers, Wanted
from pointsman.pipeline.mcp_use.rounds import Ask, Rounds
from pointsman.wire import operations as op

if TYPE_CHECKING:
    from pointsman.pipeline.mcp_use.guests import Home

FOREIGN: Final = (
    "This MCP server is not one of this gateway, which calls no others, nor does the provider of this model. Have the "
    "operator register it and write gateway/<server_id> as its server_url, or set mcp.allow_foreign_servers"
)
MAX_NAME: Final = 200
ROUTES: Final = ("/mcp", "/mcp/tools/call")
"""Whoever may call one of them may have tools called."""
OTHER_ROUTES: Final = (
    "This key was made for other paths than /mcp, so a model cannot call tools of MCP servers for it either"
)
SERVERS: Final = (b'"mcp"', b'"mcp_servers"')
UNREADABLE: Final = (
    "A request that names MCP servers may hold no number that is out of range, and is not nested so deep"
)
ELSEWHERE: Final = (
    "MCP servers of this gateway can be used through /v1/chat/completions and /v1/responses only, "
    "as tools of the type mcp"
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that may name servers."""

    call: Call
    body: bytes
    ask: Ask
    deadline: float
    """Of ``clock``."""
    clock: Callable[[], float]
    calls_servers: bool
    """Whether a provider may be asked that calls MCP servers itself."""

    @property
    def id(self) -> str:
        """What the reply's ``x-request-id`` says."""
        lines = self.call.identity
        return lines[len(ID_LINE) : lines.find(b"\r\n")].decode("latin-1") if lines.startswith(ID_LINE) else ""

    @property
    def host(self) -> str:
        """What the client has called the gateway."""
        return self.call.headers.get(b"host", b"").decode("latin-1").lower()


async def serve_with_servers(
    request: Request, settings: McpSettings, open_home: Callable[[], Awaitable[Home]], chains: Chains
) -> None:
    """Answer a request, which goes on as it is if nobody here has to call its servers.

    :raises InvalidRequest: a server is named that there is not, or that nobody would call
    :raises Forbidden: the gateway would call one, and the caller's key is not for that
    :raises GatewayError: as long as nothing was sent to the client
    """
    call, members = request.call, _members(request.body)
    if call.operation is op.MESSAGES:
        _refuse_ours(members.get("mcp_servers"), request.host)
    entries: Sequence[Entry] = ()
    if call.operation.name in FORMS and call.caller is not None:
        found = find(members.get("tools"), request.host)
        entries = [*found.ours, *_called_here(found.foreign, settings, calls_servers=request.calls_servers)]
    if not entries:
        await request.ask(call, request.body)
        return
    _check(call.caller)
    if isinstance(previous := members.get("previous_response_id"), str):
        members["previous_response_id"] = chains.end_of(previous)
    await _serve(request, members, entries, settings, await open_home(), chains)


async def _serve(
    request: Request,
    members: dict[str, Any],
    entries: Sequence[Entry],
    settings: McpSettings,
    home: Home,
    chains: Chains,
) -> None:
    # Nothing of MCP is loaded before a request names a server.
    from pointsman.pipeline.mcp_use.asking import Servers  # noqa: PLC0415  as that says
    from pointsman.pipeline.mcp_use.guests import Guests  # noqa: PLC0415  the same

    call, caller = request.call, request.call.caller
    assert caller is not None
    servers = Servers(home.gateway, caller, request.id, call.headers)
    guests = Guests(home, caller, settings.allowed_private, request.id)

    async def call_tool(wanted: Wanted, seconds: float) -> Done:
        if wanted.offer.server == NOBODY:
            return Done(wanted=wanted, text=f"Error: there is no tool {wanted.offer.name[:MAX_NAME]}", is_error=True)
        return await (guests if guests.has(wanted.offer.label) else servers).call(wanted, seconds)

    try:
        ours = await servers.offers([one for one in entries if one.url is None])
        others = await guests.offers([one for one in entries if one.url is not None])
        form = FORMS[call.operation.name](members, Offers(entries, [*ours, *others]))
        allowance = Allowance(settings.use, request.deadline, request.clock)
        await Rounds(call, form, request.ask, call_tool, allowance, request.clock).run()
    finally:
        await guests.close()
    if form.chain is not None:
        chains.note(*form.chain)


def _members(body: bytes) -> dict[str, Any]:
    """Of a request that goes on as it is there are none if only its provider can read it.

    :raises InvalidRequest: it may name servers
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        if any(name in body for name in SERVERS):
            raise InvalidRequest(UNREADABLE) from None
        return {}


def _check(caller: Caller | None) -> None:
    """:raises Forbidden: what the caller's key was made for does not let him speak to MCP servers"""
    if caller is None or not any(may_call(caller, Access.MCP, path) for path in ROUTES):
        raise Forbidden(OTHER_ROUTES)


def _called_here(foreign: Sequence[Entry], settings: McpSettings, *, calls_servers: bool) -> Sequence[Entry]:
    """Which of the servers that are elsewhere the gateway calls; others are left to the provider.

    :raises InvalidRequest: nobody would call them
    """
    if calls_servers or not foreign:
        return ()
    if not settings.allows_foreign:
        raise InvalidRequest(FOREIGN, param=f"tools[{foreign[0].place}].server_url")
    return foreign


def _refuse_ours(servers: Any, host: str) -> None:
    """:raises InvalidRequest: one of Anthropic's ``mcp_servers`` is of this gateway"""
    for place, one in enumerate(servers if isinstance(servers, list) else ()):
        url = one.get("url") if isinstance(one, dict) else None
        param = f"mcp_servers[{place}].url"
        if isinstance(url, str) and servers_of(url, host, param) is not None:
            raise InvalidRequest(ELSEWHERE, param=param)
