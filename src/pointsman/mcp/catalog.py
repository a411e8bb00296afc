"""What servers offer, kept as long as they allow.

A list is read once for all who show the same credential. When its time is over, the old one is given while it is read
anew; when the server has said that it is another one, it is waited for. A server that cannot be reached keeps its last
list. Whoever waits, waits no longer than he wants to, and reading goes on without him.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from pointsman.errors import GatewayError, Overloaded, UpstreamTimeout
from pointsman.mcp.base import Asking
from pointsman.mcp.connections import Connection
from pointsman.mcp.events import LISTS, Events, Following
from pointsman.mcp.protocol.listings import KINDS, TOOLS, Item, Kind, Page, read_page
from pointsman.mcp.settings import ServerSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import METHOD_NOT_FOUND, RpcError, raw

OK: Final = "ok"
TTL_MS: Final = 60_000
"""Of a list whose server has not said."""
LONG_TTL_MS: Final = 600_000
"""The same, where the server tells when it changes."""
RETRY_SECONDS: Final = 5.0
"""After a failure, a list is not read again before, unless somebody insists."""
MAX_ITEMS: Final = 5_000
"""Of one list; what comes after is asked for when somebody wants it."""
MAX_PAGES: Final = 100
MAX_BYTES: Final = 128 << 20
"""Of all lists together."""
MAX_LISTS: Final = 10_000
Inspect = Callable[[ServerSettings, tuple[Item, ...]], Awaitable[Mapping[str, str]]]
"""Why tools must not be shown, by name."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it was read."""

    page: Page
    """All pages as one; ``cursor`` is set where the list is longer than anybody keeps."""
    items: Mapping[str, Item]
    """By key."""
    read_at: float
    ttl: float
    """Seconds."""
    size: int = 0
    is_offered: bool = True
    """Whether the server has anything of the kind."""


class _Entry:
    __slots__ = ("began", "connection", "failure", "is_dirty", "kind", "listing", "reading", "retry_at")

    def __init__(self, connection: Connection, kind: Kind) -> None:
        self.connection = connection
        self.kind = kind
        self.listing: Listing | None = None
        self.failure: GatewayError | RpcError | None = None
        self.is_dirty = False
        """Whether the server has said that there is another one."""
        self.reading: asyncio.Task[None] | None = None
        self.began = 0.0
        self.retry_at = 0.0


class Catalog:
    """The lists of all servers."""

    def __init__(
        self,
        events: Events,
        tasks: Tasks,
        now: Callable[[], float],
        quiet: Asking,
        *,
        inspect: Inspect | None = None,
        count: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        """``quiet`` is who asks for lists, ``now`` a clock that does not go back; ``count`` is told what came of it."""
        self._events = events
        self._tasks = tasks
        self._now = now
        self._quiet = quiet
        self._inspect = inspect
        self._count = count
        self._entries: dict[tuple[Connection, str], _Entry] = {}
        self._size = 0
        self._followed: dict[Connection, Following] = {}

    def fresh(self, connection: Connection, kind: Kind, at_least: float = 0.0) -> Listing | None:
        """The list, if nothing has to be asked for it; see :meth:`get`."""
        entry = self._entries.get((connection, kind.method))
        listing = None if entry is None or entry.is_dirty else entry.listing
        if listing is None or self._now() >= listing.read_at + max(listing.ttl, at_least):
            return None
        return listing

    def known(self, connection: Connection, kind: Kind) -> Listing | None:
        """The list as it was read last."""
        entry = self._entries.get((connection, kind.method))
        return None if entry is None else entry.listing

    def failure(self, connection: Connection) -> GatewayError | RpcError | None:
        """Why it could not be read the last time."""
        found = (self._entries.get((connection, method)) for method in KINDS)
        return next((one.failure for one in found if one is not None and one.failure is not None), None)

    async def get(
        self,
        connection: Connection,
        kind: Kind,
        patience: float,
        asking: Asking | None = None,
        *,
        insists: bool = False,
        at_least: float = 0.0,
    ) -> Listing:
        """The list, read in at most ``patience`` seconds, or as it was before.

        ``asking``: for whom, where the connection belongs to one caller. ``insists``: it is tried even if that has
        failed a moment ago. ``at_least``: seconds that it will do whatever its server says, for those who only look
        something up in it.

        :raises RpcError: the server refuses
        :raises GatewayError: it cannot be reached
        """
        now = self._now()
        entry = self._entry(connection, kind)
        listing = entry.listing
        is_old = listing is None or entry.is_dirty or now >= listing.read_at + max(listing.ttl, at_least)
        if is_old and entry.reading is None and (insists or now >= entry.retry_at):
            self._read(entry, asking or self._quiet, now)
        is_needed = listing is None or entry.is_dirty or max(listing.ttl, at_least) <= 0
        if is_needed and entry.reading is not None:
            # Whoever comes when others have waited long enough for a server that hangs, waits no more.
            await asyncio.wait({entry.reading}, timeout=max(0.0, patience - (now - entry.began)))
        if entry.listing is not None:
            return entry.listing
        raise entry.failure or UpstreamTimeout("The MCP server did not answer in time")

    def faults(self, connection: Connection, kind: Kind) -> Mapping[str, str]:
        """What is not shown, and why."""
        entry = self._entries.get((connection, kind.method))
        return {} if entry is None or entry.listing is None else entry.listing.page.faults

    def forget(self, connection: Connection) -> None:
        """Nobody has this connection any more."""
        for method in KINDS:
            entry = self._entries.pop((connection, method), None)
            if entry is not None:
                self._drop(entry)
        following = self._followed.pop(connection, None)
        if following is not None:
            following.close()

    def recheck(self) -> None:
        """Tools may be shown now that were not, or not any more."""
        for entry in self._entries.values():
            if entry.kind is TOOLS:
                entry.is_dirty = True

    def dirty(self, connection: Connection, changed: str) -> None:
        """The server has said that a list is another one."""
        for kind in KINDS.values():
            entry = self._entries.get((connection, kind.method))
            if kind.changed == changed and entry is not None:
                entry.is_dirty = True
                entry.retry_at = 0.0

    # -- reading --------------------------------------------------------------------------------------------------

    def _entry(self, connection: Connection, kind: Kind) -> _Entry:
        key = (connection, kind.method)
        entry = self._entries.pop(key, None) or _Entry(connection, kind)
        # The last used stand at the end.
        self._entries[key] = entry
        while len(self._entries) > 1 and (self._size > MAX_BYTES or len(self._entries) > MAX_LISTS):
            self._drop(self._entries.pop(next(iter(self._entries))))
        return entry

    def _drop(self, entry: _Entry) -> None:
        self._size -= 0 if entry.listing is None else entry.listing.size
        entry.listing = None
        if entry.reading is not None:
            entry.reading.cancel()

    def _read(self, entry: _Entry, asking: Asking, now: float) -> None:
        entry.began = now
        try:
            entry.reading = self._tasks.start(self._reading(entry, asking), f"read {entry.kind.method}")
        except Overloaded as error:
            entry.failure = error

    async def _reading(self, entry: _Entry, asking: Asking) -> None:
        connection = entry.connection
        # A change that comes meanwhile makes it dirty again.
        entry.is_dirty = False
        try:
            with connection.calling():
                async with asyncio.timeout(connection.patience):
                    listing = await self._load(connection, entry.kind, asking)
        except (GatewayError, RpcError, TimeoutError) as error:
            late = UpstreamTimeout("The MCP server did not answer in time")
            entry.failure = late if isinstance(error, TimeoutError) else error
            entry.retry_at = self._now() + RETRY_SECONDS
            self._count(connection.settings.id, outcome_of(entry.failure))
        else:
            self._size += listing.size - (0 if entry.listing is None else entry.listing.size)
            entry.listing, entry.failure = listing, None
            self._count(connection.settings.id, OK)
        finally:
            entry.reading = None

    async def _load(self, connection: Connection, kind: Kind, asking: Asking) -> Listing:
        introduction = connection.server.introduction or await connection.server.introduce()
        offered = introduction.capabilities.get(kind.capability)
        if not isinstance(offered, Mapping):
            return Listing(page=Page(), items={}, read_at=self._now(), ttl=LONG_TTL_MS / 1000, is_offered=False)
        tells = offered.get("listChanged") is True and connection.is_shared
        if tells and connection not in self._followed and not connection.is_given_up:
            self._followed[connection] = self._events.follow(
                connection, LISTS, lambda message: self.dirty(connection, message.method), keeps=False
            )
        page = await self._pages(connection, kind, asking)
        if kind is TOOLS and self._inspect is not None:
            page = _without(page, await self._inspect(connection.settings, page.items))
        ttl_ms = page.ttl_ms
        if ttl_ms is None:
            ttl_ms = LONG_TTL_MS if tells else TTL_MS
        return Listing(
            page=page,
            items={item.key: item for item in page.items},
            read_at=self._now(),
            ttl=ttl_ms / 1000,
            size=sum(len(item.raw) for item in page.items),
        )

    async def _pages(self, connection: Connection, kind: Kind, asking: Asking) -> Page:
        deadline = asyncio.get_running_loop().time() + connection.patience
        items: dict[str, Item] = {}
        faults: dict[str, str] = {}
        first, cursor = None, None
        for _ in range(MAX_PAGES):
            params = raw({} if cursor is None else {"cursor": cursor})
            try:
                result = await connection.server.call(kind.method, params, asking, deadline)
            except RpcError as error:
                if error.code != METHOD_NOT_FOUND or first is not None:
                    raise
                # Many a server has resources, and no templates of them.
                result = raw({kind.member: []})
            page = read_page(kind, result)
            first = first or page
            for item in page.items:
                # Of two with one name the first one stays.
                items.setdefault(item.key, item)
            faults.update(page.faults)
            if page.cursor is None or page.cursor == cursor or len(items) >= MAX_ITEMS:
                cursor = page.cursor if len(items) >= MAX_ITEMS else None
                break
            cursor = page.cursor
        assert first is not None
        return msgspec.structs.replace(first, items=tuple(items.values()), faults=faults, cursor=cursor)


def outcome_of(failure: GatewayError | RpcError) -> str:
    """Why a list could not be read, in a word."""
    if isinstance(failure, RpcError):
        return "refused"
    return "timeout" if isinstance(failure, UpstreamTimeout) else "unreachable"


def _without(page: Page, faults: Mapping[str, str]) -> Page:
    if not faults:
        return page
    items = tuple(item for item in page.items if item.key not in faults)
    return msgspec.structs.replace(page, items=items, faults={**page.faults, **faults})
