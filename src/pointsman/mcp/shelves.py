"""The lists of all servers that a caller may use, gathered in a time that one of them cannot stretch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from pointsman.errors import GatewayError
from pointsman.mcp.base import Asking, Client
from pointsman.mcp.calls import Quiet
from pointsman.mcp.catalog import OK, Catalog, Listing, outcome_of
from pointsman.mcp.connections import Connection, Connections
from pointsman.mcp.protocol.listings import Kind
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.views import View, Views
from pointsman.wire.jsonrpc import RpcError

Failure = GatewayError | RpcError


class Shelf(msgspec.Struct, frozen=True):
    """What one server has of a kind."""

    settings: ServerSettings
    listing: Listing | None
    failure: Failure | None
    """Why nothing is known, or nothing new."""

    @property
    def outcome(self) -> str:
        """A word for clients."""
        if self.failure is None:
            return OK
        return "stale" if self.listing is not None else outcome_of(self.failure)


class Shelves:
    """Gathers lists."""

    def __init__(self, connections: Connections, catalog: Catalog, views: Views) -> None:
        self._connections = connections
        self._catalog = catalog
        self._views = views

    async def one(self, settings: ServerSettings, kind: Kind, client: Client, patience: float) -> Listing:
        """What one server has; it is asked even if that has failed a moment ago.

        :raises RpcError: it refuses
        :raises GatewayError: it cannot be reached
        """
        return await self._get(self._connections.first(settings, client), kind, client, patience, insists=True)

    async def look(
        self, settings: ServerSettings, kind: Kind, client: Client, patience: float, at_least: float = 0.0
    ) -> Shelf:
        """The same, with a failure as a value, which stays for a moment."""
        connection = self._connections.first(settings, client)
        try:
            listing = await self._get(connection, kind, client, patience, at_least=at_least)
        except (GatewayError, RpcError) as error:
            return Shelf(settings, None, error)
        return Shelf(settings, listing, self._catalog.failure(connection))

    async def _get(
        self,
        connection: Connection,
        kind: Kind,
        client: Client,
        patience: float,
        *,
        insists: bool = False,
        at_least: float = 0.0,
    ) -> Listing:
        asking: Asking | None = None if connection.is_shared else Quiet(client)
        return await self._catalog.get(connection, kind, patience, asking, insists=insists, at_least=at_least)

    async def all(
        self,
        servers: Sequence[ServerSettings],
        kind: Kind,
        client: Client,
        patience: float,
        *,
        at_least: float = 0.0,
    ) -> list[Shelf]:
        """What all of these have; a task for each is made only where one has to be waited for.

        ``at_least``: as :meth:`~pointsman.mcp.catalog.Catalog.get` has it.
        """
        found: dict[str, Shelf] = {}
        waiting: list[ServerSettings] = []
        for settings in servers:
            connection = self._connections.first(settings, client)
            listing = self._catalog.fresh(connection, kind, at_least)
            if listing is None:
                waiting.append(settings)
            else:
                found[settings.id] = Shelf(settings, listing, None)
        for shelf in await asyncio.gather(*(self.look(one, kind, client, patience, at_least) for one in waiting)):
            found[shelf.settings.id] = shelf
        return [found[settings.id] for settings in servers]

    def known(self, settings: ServerSettings, kind: Kind, client: Client) -> Listing | None:
        """What is known of a server, without asking it."""
        return self._catalog.known(self._connections.first(settings, client), kind)

    def view(self, kind: Kind, shelves: Sequence[Shelf]) -> View:
        """What they have, side by side."""
        return self._views.of(kind, [(shelf.settings, shelf.listing) for shelf in shelves])


def outcomes(shelves: Sequence[Shelf]) -> dict[str, Any]:
    """For the ``_meta`` of a list, so that what is down does not look like what is empty."""
    return {"pointsman/servers": {shelf.settings.id: shelf.outcome for shelf in shelves}}
