"""What is asked of MCP servers on behalf of a model: which tools there are, and to call them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import GatewayError, InvalidRequest, SignInNeeded, Unseen, UpstreamUnreachable
from pointsman.mcp.auth.links import opened_by
from pointsman.mcp.base import Asking, Scope
from pointsman.mcp.calls import Quiet
from pointsman.mcp.gateway import NONE, Gateway
from pointsman.pipeline.mcp_use.entries import Entry
from pointsman.pipeline.mcp_use.offers import Definition, Done, Offer, Wanted, offer
from pointsman.pipeline.mcp_use.results import text_of
from pointsman.wire.jsonrpc import RpcError, raw

EVERY: Final = Scope(None)
NO_OBJECT: Final = "Error: the arguments are not a JSON object"
TOO_DEEP: Final = "Error: the arguments, or the answer, are nested too deep"
TOO_LATE: Final = "Error: the tool has not answered in time"


class _Listed(msgspec.Struct):
    tools: list[msgspec.Raw] = []


class Servers:
    """The servers that one caller may use, for one request."""

    def __init__(
        self, gateway: Gateway, caller: Caller, request_id: str = "", headers: Mapping[bytes, bytes] = NONE
    ) -> None:
        """``headers`` are those of the request."""
        self._gateway = gateway
        self._caller = caller
        client = gateway.quiet(caller, request_id, headers).client
        self._quiet = Quiet(msgspec.structs.replace(client, has_slot=True))

    async def offers(self, entries: Sequence[Entry]) -> list[Offer]:
        """What a model is offered.

        :raises InvalidRequest: a server is named that the caller cannot use
        :raises SignInNeeded: the caller has to sign in to one that is named
        :raises UpstreamUnreachable: one that is named does not tell its tools
        """
        every = await asyncio.gather(*(self._offers_of(one) for one in entries))
        return [one for found in every for one in found]

    async def call(self, wanted: Wanted, seconds: float) -> Done:
        """Call a tool, as the caller would do it himself; whatever goes wrong is for the model to know."""
        one = wanted.offer
        scope = EVERY if one.server is None else Scope((one.server,), is_single=True)

        def send(params: msgspec.Raw) -> Awaitable[msgspec.Raw]:
            return self._gateway.call(scope, "tools/call", params, self._asking(one))

        return await outcome(wanted, seconds, send)

    async def _offers_of(self, entry: Entry) -> list[Offer]:
        gateway, caller = self._gateway, self._caller
        try:
            scope = gateway.scope(caller, None, entry.path or entry.subset)
        except Unseen as error:
            raise InvalidRequest(error.message, param=f"tools[{entry.place}].server_url") from error
        found: list[tuple[str | None, str, str, Any]]
        if scope.servers is None and gateway.registry.settings.mode == "search":
            # The tools that find and call all others.
            result = await gateway.call(EVERY, "tools/list", raw({}), self._quiet)
            tools = msgspec.json.decode(result, type=_Listed).tools
            names = [msgspec.json.decode(tool, type=Definition).name for tool in tools]
            found = [(None, name, name, tool) for name, tool in zip(names, tools, strict=True)]
        else:
            rows = await gateway.overview(caller, "tools", scope)
            found = [(one.settings.id, one.name, one.public, one.raw) for one in rows]
        await self._check(entry, scope, {server for server, *_ in found})
        offers = (offer(entry, *one) for one in found)
        return [one for one in offers if one is not None]

    async def _check(self, entry: Entry, scope: Scope, found: set[str | None]) -> None:
        """Of what was named by an access group, some may be missing."""
        if not scope.servers or found.issuperset(scope.servers):
            return
        names = [name.strip() for name in (entry.path or entry.subset or "").split(",")]
        failures = await self._gateway.failures(self._caller, scope)
        for server, error in failures.items():
            if server not in names and found:
                continue
            if isinstance(error, SignInNeeded):
                with opened_by(self._gateway.registry.settings.public_url, self._quiet.client.headers):
                    raise error
            raise UpstreamUnreachable(f"The MCP server {server} does not tell its tools: {error.message}") from error

    def _asking(self, one: Offer) -> Asking:
        quiet = self._quiet
        if not one.headers:
            return quiet
        return Quiet(msgspec.structs.replace(quiet.client, headers={**one.headers, **quiet.client.headers}))


async def outcome(wanted: Wanted, seconds: float, send: Callable[[msgspec.Raw], Awaitable[msgspec.Raw]]) -> Done:
    """What has come of a call whose parameters ``send`` sends, within so many seconds."""
    try:
        arguments = msgspec.json.decode(wanted.arguments, type=dict[str, msgspec.Raw])
        async with asyncio.timeout(seconds):
            result = await send(raw({"name": wanted.offer.name, "arguments": arguments}))
    except msgspec.MsgspecError:
        return Done(wanted=wanted, text=NO_OBJECT, is_error=True)
    except RecursionError:
        return Done(wanted=wanted, text=TOO_DEEP, is_error=True)
    except TimeoutError:
        return Done(wanted=wanted, text=TOO_LATE, is_error=True)
    except (RpcError, GatewayError) as error:
        return Done(wanted=wanted, text=f"Error: {error.message}", is_error=True)
    text, is_error = text_of(result)
    return Done(wanted=wanted, text=text, is_error=is_error)
