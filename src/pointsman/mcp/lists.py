"""Lists for clients: what the catalog has, as far as the client may see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from pointsman.mcp.base import Asking, Client
from pointsman.mcp.calls import Calls
from pointsman.mcp.catalog import Listing
from pointsman.mcp.protocol import cursors
from pointsman.mcp.protocol.listings import Kind, read_page, write_list
from pointsman.mcp.settings import ServerSettings
from pointsman.mcp.shelves import Shelves, outcomes
from pointsman.mcp.views import View, is_shown
from pointsman.wire.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, raw

FAILED_TTL_MS: Final = 1_000
"""Of a list in which a server is missing."""


class Lists:
    """Answers to list methods."""

    def __init__(self, shelves: Shelves, calls: Calls, now: Callable[[], float]) -> None:
        """``now`` is the clock of the catalog."""
        self._shelves = shelves
        self._calls = calls
        self._now = now

    async def of_one(self, settings: ServerSettings, kind: Kind, cursor: object, asking: Asking) -> msgspec.Raw:
        """Of one server, under its own names.

        :raises RpcError: it refuses, or has nothing of the kind, or the cursor is none
        :raises GatewayError: it cannot be reached
        """
        client = asking.client
        if cursor is not None:
            return await self._more([settings], kind, cursor, asking, is_single=True)
        listing = await self._shelves.one(settings, kind, client, settings.timeout)
        if not listing.is_offered:
            raise RpcError(METHOD_NOT_FOUND, f"The server has no {kind.capability}")
        page = listing.page
        shown = [item.raw for item in page.items if is_shown(kind, settings, item, client.caller)]
        rest: dict[str, Any] = {} if page.cursor is None else {"nextCursor": cursors.write({settings.id: page.cursor})}
        if page.meta:
            rest["_meta"] = page.meta
        return write_list(kind, shown, rest | self._times(client, [listing], is_whole=True))

    async def of_several(
        self, servers: Sequence[ServerSettings], kind: Kind, cursor: object, asking: Asking, patience: float
    ) -> msgspec.Raw:
        """Of several, named after them; what does not answer within ``patience`` seconds is missing.

        :raises RpcError: the cursor is none
        """
        client = asking.client
        if cursor is not None:
            return await self._more(servers, kind, cursor, asking, is_single=False)
        shelves = await self._shelves.all(servers, kind, client, patience)
        shown = self._shelves.view(kind, shelves).rows_for(client.caller)
        known = [shelf.listing for shelf in shelves if shelf.listing is not None]
        further = {
            shelf.settings.id: shelf.listing.page.cursor
            for shelf in shelves
            if shelf.listing is not None and shelf.listing.page.cursor is not None
        }
        rest: dict[str, Any] = {"nextCursor": cursors.write(further)} if further else {}
        rest["_meta"] = outcomes(shelves)
        is_whole = all(shelf.failure is None for shelf in shelves)
        return write_list(kind, (row.raw for row in shown), rest | self._times(client, known, is_whole=is_whole))

    def _times(self, client: Client, listings: Sequence[Listing], *, is_whole: bool) -> dict[str, Any]:
        """How long a modern client may keep it, and whether others may have it too."""
        if client.era != "modern":
            return {}
        now = self._now()
        left = [max(0, round((one.read_at + one.ttl - now) * 1000)) for one in listings]
        if not is_whole:
            left.append(FAILED_TTL_MS)
        # Whoever has a key may see something else than others.
        is_public = not client.caller.name and len(listings) == 1 and listings[0].page.is_public
        return {"ttlMs": min(left, default=FAILED_TTL_MS), "cacheScope": "public" if is_public else "private"}

    async def _more(
        self, servers: Sequence[ServerSettings], kind: Kind, cursor: object, asking: Asking, *, is_single: bool
    ) -> msgspec.Raw:
        """What comes after that which the catalog keeps: straight from the first server that has more."""
        by_id = {settings.id: settings for settings in servers}
        try:
            further = cursors.read(cursor)
            settings = by_id[next(iter(further))]
        except (ValueError, KeyError) as error:
            raise RpcError(INVALID_PARAMS, "Invalid cursor") from error
        server_cursor = further.pop(settings.id)
        result = await self._calls.forward(settings, kind.method, raw({"cursor": server_cursor}), asking)
        page = read_page(kind, result)
        if page.cursor is not None:
            further = {settings.id: page.cursor} | further
        caller = asking.client.caller
        if is_single:
            shown = [item.raw for item in page.items if is_shown(kind, settings, item, caller)]
        else:
            shown = [row.raw for row in View(kind, [(settings, page.items)]).rows_for(caller)]
        rest: dict[str, Any] = {"nextCursor": cursors.write(further)} if further else {}
        if asking.client.era == "modern":
            rest |= {"ttlMs": page.ttl_ms or 0, "cacheScope": "private"}
        return write_list(kind, shown, rest)
