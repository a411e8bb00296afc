"""Somebody hears of changes of several servers, until he does not want to any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from pointsman.errors import GatewayError
from pointsman.mcp.base import Client, Interest, Sink
from pointsman.mcp.connections import Connections
from pointsman.mcp.events import LISTS, UPDATED, Events, Following
from pointsman.mcp.protocol.listings import PROMPTS, RESOURCES, TOOLS
from pointsman.mcp.protocol.names import Owner
from pointsman.mcp.settings import ServerSettings
from pointsman.wire.jsonrpc import Message, RpcError, notification

READY_SECONDS: Final = 3.0
"""That a client waits for servers to take notice of it."""
MAX_URIS: Final = 1_000
"""Resources that one client hears of."""
Servers = Callable[[], dict[str, ServerSettings]]
"""Those that he may use at the moment, by id."""
Find = Callable[[str], Awaitable[Owner | None]]
"""Whose a URI is."""


class Watching:
    """What one client hears of. It is begun by :meth:`attach`, and again when the servers are others."""

    def __init__(
        self,
        client: Client,
        interest: Interest,
        sink: Sink,
        servers: Servers,
        find: Find,
        closed: Callable[[Watching], None],
    ) -> None:
        """``closed`` is told of its end."""
        self.client = client
        self._interest = interest
        self._sink = sink
        self._servers = servers
        self._find = find
        self._closed = closed
        self._methods = frozenset(
            kind.changed
            for kind, is_wanted in (
                (TOOLS, interest.tools),
                (PROMPTS, interest.prompts),
                (RESOURCES, interest.resources),
            )
            if is_wanted
        )
        self._following: list[Following] = []
        self._attached = asyncio.Event()
        self.is_closed = False

    async def attach(self, connections: Connections, events: Events) -> None:
        """Hear of what the servers tell from now on."""
        servers = self._servers()
        following: list[Following] = []
        if self._methods:
            for settings in servers.values():
                first = connections.first(settings, self.client)
                following.append(events.follow(first, LISTS, self._hear_list))
        for uri in sorted(self._interest.uris)[:MAX_URIS]:
            owner = await self._find(uri)
            if owner is None or owner.server not in servers:
                continue
            owning = servers[owner.server]
            try:
                connection = await connections.of(owning, self.client)
            except (GatewayError, RpcError):
                # It hears of it as soon as the server is there again, as all do together.
                connection = connections.first(owning, self.client)
            following.append(events.follow(connection, owner.name, self._as(uri, owner.name)))
        before, self._following = self._following, following
        for one in before:
            one.close()
        self._attached.set()
        if self.is_closed:
            self.close()

    async def ready(self) -> None:
        """Wait until nothing that changes from then on is missed, or for some seconds; never fails."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self._attached.wait()
                await asyncio.gather(*(one.ready() for one in self._following))

    def changed(self) -> None:
        """All lists may be others now."""
        for method in sorted(self._methods):
            self._sink(notification(method))

    def close(self) -> None:
        """Hear nothing any more."""
        self.is_closed = True
        self._closed(self)
        self._attached.set()
        following, self._following = self._following, []
        for one in following:
            one.close()

    def _hear_list(self, message: Message) -> None:
        if message.method in self._methods and not self.is_closed:
            self._sink(message)

    def _as(self, uri: str, known: str) -> Sink:
        """Tells of a resource, which the server has as ``known``, under the URI that the client has for it."""

        def hear(message: Message) -> None:
            if message.method == UPDATED and not self.is_closed:
                # It may be a part of the resource, which has a URI of its own.
                is_it = uri != known and message.read().get("uri") == known
                self._sink(notification(UPDATED, message.read() | {"uri": uri}) if is_it else message)

        return hear
