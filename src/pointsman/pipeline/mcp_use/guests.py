"""MCP servers that a request names and that are not of this gateway, where the operator allows it.

They are called like those that somebody has registered: through the guard against addresses that only the gateway can
reach, without any of its credentials, and for this one request. Their tools are looked at for hidden characters too.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.places import wrong_header, wrong_url
from pointsman.errors import GatewayError, InvalidRequest, UpstreamUnreachable
from pointsman.mcp.base import Server
from pointsman.mcp.calls import CALL, Line, Quiet
from pointsman.mcp.gateway import Gateway
from pointsman.mcp.protocol.lint import faults
from pointsman.mcp.protocol.names import joined
from pointsman.mcp.settings import ServerSettings
from pointsman.pipeline.mcp_use.asking import outcome
from pointsman.pipeline.mcp_use.entries import Entry
from pointsman.pipeline.mcp_use.offers import Done, Offer, Wanted, offer
from pointsman.upstream.guard import check
from pointsman.wire.jsonrpc import RpcError, raw

MOST_PAGES: Final = 20
MOST_TOOLS: Final = 1000
MAX_BYTES: Final = 10_000_000
LIST_SECONDS: Final = 10.0
GUEST: Final = "~"
"""Begins ids that no registered server can have."""


class Home(Protocol):
    """Where servers are called from."""

    gateway: Gateway

    def visit(self, settings: ServerSettings) -> Server:
        """A server that is called for one request."""

    def leave(self, settings: ServerSettings) -> None:
        """The request is over."""


class _Page(msgspec.Struct):
    tools: list[msgspec.Raw] = []
    nextCursor: str | None = None  # noqa: N815  as it is written


class _Guest(msgspec.Struct, frozen=True):
    settings: ServerSettings
    server: Server


class Guests:
    """The foreign servers of one request."""

    def __init__(self, home: Home, caller: Caller, allowed: Sequence[str], request_id: str = "") -> None:
        """``allowed`` are the networks and hosts that are private and may be called."""
        self._home = home
        self._allowed = allowed
        self._asking: Quiet = home.gateway.quiet(caller, request_id)
        self._guests: dict[str, _Guest] = {}

    async def offers(self, entries: Sequence[Entry]) -> list[Offer]:
        """What a model is offered.

        :raises InvalidRequest: the address of one cannot be called
        :raises UpstreamUnreachable: one does not tell what it has
        """
        for entry in entries:
            settings = _settings(entry, self._allowed)
            self._guests[entry.label] = _Guest(settings, self._home.visit(settings))
        every = await asyncio.gather(*(self._offers_of(entry) for entry in entries))
        return [one for found in every for one in found]

    def has(self, label: str) -> bool:
        """Whether a label is that of one of them."""
        return label in self._guests

    async def call(self, wanted: Wanted, seconds: float) -> Done:
        """Call a tool; whatever goes wrong is for the model to know."""
        guest, begun, how = self._guests[wanted.offer.label], time.monotonic(), "cancelled"
        # Without its query, in which there may be a key.
        line = Line(self._asking.client, guest.settings.url.partition("?")[0], CALL, wanted.offer.name)

        def send(params: msgspec.Raw) -> Awaitable[msgspec.Raw]:
            return self._send(guest, "tools/call", params, seconds)

        try:
            done = await outcome(wanted, seconds, send)
            how = "error" if done.is_error else "success"
            return done
        finally:
            line.write(how, seconds=round(time.monotonic() - begun, 6))

    async def close(self) -> None:
        """The request is over."""
        guests, self._guests = self._guests, {}
        try:
            await asyncio.gather(*(one.server.close() for one in guests.values()), return_exceptions=True)
        finally:
            for one in guests.values():
                self._home.leave(one.settings)

    async def _offers_of(self, entry: Entry) -> list[Offer]:
        guest = self._guests[entry.label]
        tools: list[msgspec.Raw] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(LIST_SECONDS):
                for _ in range(MOST_PAGES):
                    params = raw({} if cursor is None else {"cursor": cursor})
                    page = msgspec.json.decode(await self._send(guest, "tools/list", params, LIST_SECONDS), type=_Page)
                    tools += page.tools
                    cursor = page.nextCursor
                    if cursor is None or len(tools) > MOST_TOOLS:
                        break
        except (RpcError, GatewayError, TimeoutError, msgspec.MsgspecError, RecursionError) as error:
            raise UpstreamUnreachable(f"The MCP server {entry.label[:100]!r} does not tell its tools") from error
        found = []
        for one in tools[:MOST_TOOLS]:
            told = msgspec.json.decode(one)
            if not faults(told):
                found.append(offer(entry, None, told["name"], joined(entry.label, told["name"]), one))
        return [one for one in found if one is not None]

    async def _send(self, guest: _Guest, method: str, params: msgspec.Raw, seconds: float) -> msgspec.Raw:
        deadline = asyncio.get_running_loop().time() + seconds
        return await guest.server.call(method, params, self._asking, deadline)


def _settings(entry: Entry, allowed: Sequence[str]) -> ServerSettings:
    """:raises InvalidRequest: it cannot be called"""
    url, param = entry.url or "", f"tools[{entry.place}]"
    wrong = wrong_url(url)
    if wrong is None:
        try:
            check(url, allowed)
        except ValueError as error:
            wrong = f"cannot be called: {error}"
    if wrong is not None:
        raise InvalidRequest(f"The server_url {wrong}", param=f"{param}.server_url")
    headers = {name.decode(): value.decode() for name, value in entry.headers.items()}
    for name, value in headers.items():
        if (fault := wrong_header(name, value)) is not None:
            raise InvalidRequest(fault, param=f"{param}.headers")
    return ServerSettings(
        id=GUEST + hashlib.sha256(url.encode()).hexdigest()[:16],
        name=entry.label,
        transport="sse" if url.rstrip("/").endswith("/sse") else "streamable_http",
        url=url,
        static_headers=headers,
        max_result_bytes=MAX_BYTES,
        source="request",
    )
