"""What was got from authorization servers: sealed in the store, and known here.

Where nothing can be stored, or nothing sealed, it is known to this process alone, as long as that goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from pointsman.errors import GatewayError, Overloaded
from pointsman.store.base import Audit, Change, Conflict, StoreDown
from pointsman.store.following import Changing, Feed, Source
from pointsman.store.sealing import CannotUnseal

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)
TOKENS: Final = "mcp_tokens"
CLIENTS: Final = "mcp_clients"
MOST: Final = 10_000
SEALED: Final = "sealed"
TURN: Final = "turn_until"
STAMP: Final = "1970-01-01T00:00:00+00:00"


class Vault(Generic[T]):
    """Things of one kind, by id. Lasts as long as the process; its methods belong to the event loop."""

    def __init__(
        self,
        table: str,
        kind: type[T],
        *,
        look: Callable[[], Awaitable[Feed | None]],
        open_feed: Callable[[], Awaitable[Feed]],
        stamp: Callable[[], str] = lambda: STAMP,
    ) -> None:
        """``look`` gives the store if there is one, ``open_feed`` makes one where there is none."""
        self._table = table
        self._kind = kind
        self._look = look
        self._open = open_feed
        self._stamp = stamp
        self._known: OrderedDict[str, T | None] = OrderedDict()
        self._kept: OrderedDict[str, T] = OrderedDict()
        """What could not be stored."""
        self._heard: Changing | None = None

    async def get(self, row_id: str, *, is_fresh: bool = False) -> T | None:
        """What is there; ``is_fresh``: as the store has it now, for others may have changed it a moment ago.

        :raises Overloaded: the store is away
        """
        if row_id in self._known and not is_fresh:
            self._known.move_to_end(row_id)
            return self._known[row_id]
        feed = await self._look()
        if feed is None:
            return self._kept.get(row_id)
        self._listen(feed)
        try:
            row = await feed.records.get(self._table, row_id)
        except StoreDown as error:
            if row_id in self._known:
                return self._known[row_id]
            raise _away(error) from error
        found = self._kept.get(row_id) if row is None else self._opened(feed, row_id, row.doc)
        self._note(row_id, found)
        return found

    async def put(
        self,
        row_id: str,
        value: T,
        columns: Mapping[str, str | None] | None = None,
        audit: Audit | None = None,
        turn: int | None = None,
    ) -> None:
        """Keep something in place of whatever is there, or of what :meth:`begin` has given this ``turn`` for.

        :raises Conflict: that has changed since, or is gone
        """
        if turn == 0 and row_id not in self._kept:
            raise Conflict(self._table, row_id, "version")
        try:
            feed = await self._open()
            self._listen(feed)
            if feed.sealer is None:
                raise CannotUnseal("there is nothing to seal it with")  # noqa: TRY301
            sealed = feed.sealer.seal(msgspec.json.encode(value).decode(), self._context(row_id))
            doc: dict[str, Any] = {**(columns or {}), "created_at": self._stamp(), SEALED: sealed}
            await feed.records.change([Change(self._table, row_id, doc, version=turn or None)], audit)
        except (GatewayError, StoreDown, CannotUnseal) as error:
            log.warning("kept in this process alone, until it ends: %s", error)
            self._kept[row_id] = value
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        else:
            self._kept.pop(row_id, None)
        self._note(row_id, value)

    async def begin(self, row_id: str, value: T, now: float, seconds: float) -> int | None:
        """Take the turn to replace ``value``, which no other process has for so many seconds; ``None``: not now.

        ``now`` is in seconds since the epoch. What is given is for :meth:`end`.

        :raises Overloaded: the store is away
        """
        feed = await self._look()
        try:
            row = None if feed is None else await feed.records.get(self._table, row_id)
            if feed is None or row is None:
                # It is known to this process alone.
                return 0
            if row.doc.get(TURN, 0.0) > now or self._opened(feed, row_id, row.doc) != value:
                return None
            doc = row.doc | {TURN: now + seconds}
            await feed.records.change([Change(self._table, row_id, doc, version=row.version)])
        except Conflict:
            return None
        except StoreDown as error:
            raise _away(error) from error
        return row.version + 1

    async def end(self, row_id: str, turn: int) -> None:
        """The turn is over: at the latest with its time, if the store is away."""
        feed = await self._look()
        try:
            row = None if feed is None else await feed.records.get(self._table, row_id)
            if feed is not None and row is not None and row.version == turn:
                doc = {name: value for name, value in row.doc.items() if name != TURN}
                await feed.records.change([Change(self._table, row_id, doc, version=turn)])
        except (Conflict, StoreDown) as error:
            log.info("a turn was not given back: %s", error)

    async def drop(self, row_id: str, audit: Audit | None = None) -> None:
        """Have it no more.

        :raises Overloaded: the store is away
        """
        self._kept.pop(row_id, None)
        feed = await self._look()
        try:
            if feed is not None and await feed.records.get(self._table, row_id) is not None:
                await feed.records.change([Change(self._table, row_id, None)], audit)
        except StoreDown as error:
            raise _away(error) from error
        self._note(row_id, None)

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        if rows is None:
            self._known.clear()
            return
        for table, row_id in rows:
            if table == self._table:
                self._known.pop(row_id, None)

    def _opened(self, feed: Feed, row_id: str, doc: Mapping[str, Any]) -> T | None:
        try:
            if feed.sealer is None:
                raise CannotUnseal("there is nothing to unseal it with")  # noqa: TRY301
            text = feed.sealer.unseal(str(doc.get(SEALED)), self._context(row_id)).reveal()
            return msgspec.json.decode(text, type=self._kind)
        except (CannotUnseal, msgspec.MsgspecError) as error:
            log.warning("a row of %s cannot be read: %s", self._table, error)
            return None

    def _context(self, row_id: str) -> str:
        return f"{self._table}/{row_id}"

    def _note(self, row_id: str, value: T | None) -> None:
        self._known[row_id] = value
        self._known.move_to_end(row_id)
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def _listen(self, feed: Feed) -> None:
        if self._heard is not feed.keys:
            self._heard = feed.keys
            feed.keys.listeners.append(self.heard)


def _away(error: StoreDown) -> Overloaded:
    text = "The store of tokens cannot be reached at the moment; try again"
    return Overloaded(text, code="store_unavailable", retry_after=1, operator_detail=str(error))


def id_of(*parts: str) -> str:
    """An id of its own for each row, from what it is found by."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
