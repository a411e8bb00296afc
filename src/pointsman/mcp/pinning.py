"""Keeps the definitions of tools that were approved, and tells which tools are not as they were.

Of a server that is seen for the first time everything is approved as it is. From then on ``warn`` says so in the log
when anything differs, and ``block`` keeps what has changed or is new from clients until an admin has approved it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError
from pointsman.mcp.protocol.pins import Difference, Pin, differences, pins_of
from pointsman.mcp.settings import ServerSettings
from pointsman.store.base import Audit, Change, Conflict, StoreDown
from pointsman.store.following import Changing, Feed, Source

log = logging.getLogger(__name__)

TABLE: Final = "mcp_pins"
WHO: Final = "gateway"
"""Who approves what is seen first, in the audit log."""


class Approved(msgspec.Struct, frozen=True):
    """A row: the tools of one server."""

    created_at: str
    tools: dict[str, Pin] = {}


class Pins:
    """Lasts as long as the process; its methods belong to the event loop."""

    def __init__(self, feed: Callable[[], Awaitable[Feed]], *, now: Callable[[], float]) -> None:
        """``feed`` gives the store, which is made if there is none, or raises a :class:`GatewayError`."""
        self.on_change: list[Callable[[], None]] = []
        """Called when something was approved, so that what was blocked may be shown."""
        self._feed = feed
        self._now = now
        self._approved: dict[str, tuple[Approved, int]] = {}
        """By server, with the version of the row."""
        self._seen: dict[str, dict[str, Pin]] = {}
        self._told: dict[str, frozenset[str]] = {}
        self._heard: Changing | None = None

    async def check(self, server: ServerSettings, tools: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """The names of the tools that are to be kept from clients; of those that are blocked all, if nobody knows."""
        if server.pinning == "off":
            return frozenset()
        seen = self._seen[server.id] = pins_of(tools)
        try:
            approved = (await self._of(server.id, seen)).tools
        except (StoreDown, GatewayError, msgspec.ValidationError) as error:
            log.warning("what is approved of the MCP server %s cannot be read: %s", server.id, error)
            approved = {}
        strange = frozenset(one.tool for one in differences(approved, seen) if one.after is not None)
        if strange and self._told.get(server.id) != strange:
            names = ", ".join(sorted(strange)[:20])
            log.warning("tools of the MCP server %s are not as they were approved: %s", server.id, names)
        self._told[server.id] = strange
        return strange if server.pinning == "block" else frozenset()

    async def differences(self, server_id: str) -> list[Difference]:
        """What is not as it was approved, of what was seen last.

        :raises GatewayError: there is no store, or it is away
        :raises StoreDown: it is away
        """
        seen = self._seen.get(server_id)
        if seen is None:
            return []
        return differences((await self._of(server_id, seen)).tools, seen)

    async def approve(self, server_id: str, who: str, names: Iterable[str] | None = None) -> list[str]:
        """Approve tools as they were seen last, all of them where nobody says which; gives their names.

        :raises GatewayError: there is no store, or it is away
        :raises StoreDown: it is away
        :raises Conflict: somebody else does the same at the moment
        """
        seen = self._seen.get(server_id, {})
        approved = await self._of(server_id, seen)
        wanted = None if names is None else set(names)
        found = [one for one in differences(approved.tools, seen) if wanted is None or one.tool in wanted]
        tools = dict(approved.tools)
        for one in found:
            if one.after is None:
                del tools[one.tool]
            else:
                tools[one.tool] = one.after
        if found:
            told = {one.tool: [one.before and one.before.digest, one.after and one.after.digest] for one in found}
            audit = Audit(who=who, what="mcp_pins.approve", target=server_id, after=told)
            await self._write(server_id, msgspec.structs.replace(approved, tools=tools), audit)
            self._told.pop(server_id, None)
            for listener in self.on_change:
                listener()
        return [one.tool for one in found]

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        gone = list(self._approved) if rows is None else [row_id for table, row_id in rows if table == TABLE]
        for server_id in gone:
            self._approved.pop(server_id, None)
        for listener in self.on_change if gone else ():
            # What comes of it is no matter of whoever tells.
            asyncio.get_running_loop().call_soon(listener)

    async def _of(self, server_id: str, seen: Mapping[str, Pin]) -> Approved:
        """What is approved of a server; of one that is new, what is ``seen``."""
        known = self._approved.get(server_id)
        if known is not None:
            return known[0]
        feed = await self._open()
        row = await feed.records.get(TABLE, server_id)
        if row is not None:
            approved = msgspec.convert(row.doc, Approved)
            self._approved[server_id] = (approved, row.version)
            return approved
        first = Approved(datetime.fromtimestamp(int(self._now()), UTC).isoformat(), dict(seen))
        # If another replica is first, its row is read next time.
        with suppress(Conflict):
            await self._write(server_id, first, Audit(who=WHO, what="mcp_pins.new", target=server_id))
        return first

    async def _write(self, server_id: str, approved: Approved, audit: Audit) -> None:
        feed = await self._open()
        version = self._approved.get(server_id, (approved, 0))[1]
        change = Change(TABLE, server_id, msgspec.to_builtins(approved), version)
        await feed.records.change([change], audit)
        self._approved[server_id] = (approved, version + 1)

    async def _open(self) -> Feed:
        feed = await self._feed()
        if self._heard is not feed.keys:
            self._heard = feed.keys
            feed.keys.listeners.append(self.heard)
        return feed
