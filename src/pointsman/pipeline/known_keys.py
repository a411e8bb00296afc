"""The keys that are in use: who calls is known without asking the store.

Theory of operation: a key is looked up by its digest, once, and remembered until something changes that it depends on:
its row, its user's, its team's, its organization's, or a budget's. Changes of this process are told at once
(:meth:`KnownKeys.forget`), those of others are asked for twice a second (:meth:`KnownKeys.follow`). A look-up that was
under way while something changed is good for the request that waits for it, and is not remembered.

While the store is away, keys that are known go on for a time, and others are answered 503: nobody can say that they
are not valid.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from math import inf

import msgspec

from pointsman.access.caller import CHALLENGE, Caller, Family, budget_ids, caller_of
from pointsman.access.keys import KEY_BYTES, BudgetRow, Form, Key, Organization, Pepper, T, Team, User, from_doc
from pointsman.access.settings import AUTH_GRACE
from pointsman.errors import Forbidden, GatewayError, Overloaded, Unauthenticated
from pointsman.store.base import Records, StoreDown
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between questions for what others have changed."""
MAX_KNOWN = 100_000
MAX_STRANGERS = 10_000
MAX_FLIGHTS = 256
"""Look-ups at a time: whoever tries keys out must not keep others waiting."""
AT_ONCE = 1000
"""That are forgotten in one turn of the event loop."""
STRANGER_SECONDS = 5.0
"""So long a key that was refused is not looked up again, unless something changes."""

Source = tuple[str, str]
"""Table and id of a row."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a key is not let in, as a value: an exception would hold on to where it was raised."""

    kind: type[GatewayError]
    message: str

    def error(self) -> GatewayError:
        """To be raised."""
        headers = CHALLENGE if self.kind is Unauthenticated else ()
        if self.kind is Overloaded:
            return Overloaded(self.message, code="store_unavailable", retry_after=1)
        return self.kind(self.message, headers=headers)


STRANGER = Refusal(Unauthenticated, "Invalid API key")
AWAY = Refusal(Overloaded, "Keys cannot be looked up at the moment; try again")


class Entry(msgspec.Struct, gc=False):
    """A key that was looked up."""

    caller: Caller
    expires: float
    sources: tuple[Source, ...]
    is_used: bool = False
    """Since it was last passed over when room was made, which costs less than to keep all in order of use."""


class KnownKeys:
    """Keys that were looked up; its methods belong to the event loop."""

    def __init__(
        self,
        records: Records,
        pepper: Pepper,
        tasks: Tasks,
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
        grace: float = AUTH_GRACE,
        most: int = MAX_KNOWN,
    ) -> None:
        """``clock`` is monotonic, ``now`` seconds since the epoch."""
        self.records = records
        """Where they come from."""
        self.listeners: list[Callable[[Iterable[Source] | None], None]] = []
        """They are told of all rows that change, as :meth:`forget` is, and never raise."""
        self._pepper = pepper
        self._tasks = tasks
        self._clock = clock
        self._now = now
        self._grace = grace
        self._most = most
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_source: dict[Source, set[bytes]] = {}
        self._doomed: set[bytes] = set()
        """Those that are to be forgotten: when a large team changes, not all at once."""
        self._strangers: OrderedDict[bytes, tuple[float, Refusal]] = OrderedDict()
        self._flights: dict[bytes, asyncio.Task[Caller | Refusal]] = {}
        self._number = 0
        self._changes = 0
        self._confirmed = clock()
        self._is_trusted = True
        self._is_away = False

    def __len__(self) -> int:
        return len(self._entries) - len(self._doomed)

    def callers(self) -> Iterator[Caller]:
        """Whose keys are known; only good until the next step of the event loop."""
        return (entry.caller for entry in self._entries.values())

    def known(self, key: bytes) -> Caller | None:
        """Whose key it is, if that is known; asks nobody."""
        digest = self._pepper.digest(key)
        entry = self._entries.get(digest)
        if entry is None or not self._is_trusted:
            return None
        if self._now() >= entry.expires or (self._doomed and digest in self._doomed):
            self._drop(digest)
            return None
        entry.is_used = True
        return entry.caller

    async def find(self, shown: Iterable[bytes]) -> Caller:
        """Whose keys these are, by the first that is one.

        :raises Unauthenticated: none is
        :raises Forbidden: somebody has blocked it
        :raises Overloaded: the store is away, or too many ask
        """
        refusal = STRANGER
        for key in shown:
            if len(key) > KEY_BYTES:
                continue
            # Without the key: nothing that outlives this step holds it.
            find = partial(self._family, self._pepper.ids(key))
            found = await self._find(self._pepper.digest(key), find, caller_of)
            if isinstance(found, Caller):
                return found
            if refusal is STRANGER:
                refusal = found
        raise refusal.error()

    async def settled(
        self, name: bytes, find: Callable[[], Awaitable[Family]], make: Callable[[Family, float], Caller]
    ) -> Caller:
        """Whom ``make`` makes of the rows that ``find`` finds; :meth:`known` knows it by ``name`` from then on.

        :raises GatewayError: as these two do
        :raises Overloaded: the store is away, or too many ask
        """
        found = await self._find(self._pepper.digest(name), find, make)
        if isinstance(found, Caller):
            return found
        raise found.error()

    async def _find(
        self, digest: bytes, find: Callable[[], Awaitable[Family | None]], make: Callable[[Family, float], Caller]
    ) -> Caller | Refusal:
        stranger = self._strangers.get(digest)
        if stranger is not None and self._clock() < stranger[0]:
            return stranger[1]
        flight = self._flights.get(digest)
        if flight is None:
            if len(self._flights) >= MAX_FLIGHTS:
                return AWAY
            flight = self._tasks.start(self._look_up(digest, find, make), "look up a key")
            self._flights[digest] = flight
            flight.add_done_callback(partial(self._land, digest))
        return await asyncio.shield(flight)

    def _land(self, digest: bytes, flight: asyncio.Task[Caller | Refusal]) -> None:
        if self._flights.get(digest) is flight:
            del self._flights[digest]

    async def _look_up(
        self, digest: bytes, find: Callable[[], Awaitable[Family | None]], make: Callable[[Family, float], Caller]
    ) -> Caller | Refusal:
        changes, family = self._changes, None
        try:
            family = await find()
            found: Caller | Refusal = STRANGER if family is None else make(family, self._now())
        except StoreDown:
            return AWAY
        except msgspec.ValidationError as error:
            log.error("a row of a key cannot be read: %s", error)  # noqa: TRY400  its trace tells no more
            return Refusal(Forbidden, "This API key cannot be used")
        except GatewayError as error:
            found = Refusal(type(error), error.message)
        if changes == self._changes and self._is_trusted:
            self._remember(digest, found, family)
        return found

    async def _family(self, ids: tuple[tuple[str, Form], ...]) -> Family | None:
        for row_id, form in ids:
            key = await self.row("keys", row_id, Key)
            if key is not None and key.form == form:
                return await self.family_of(row_id, key)
        return None

    async def family_of(self, row_id: str, key: Key) -> Family:
        """A key with all the rows that it refers to, as they are in the store."""
        team = await self.row("teams", key.team_id, Team)
        if team is not None and team.organization_id is not None:
            # That of the moment: a team may go to another one.
            key = msgspec.structs.replace(key, organization_id=team.organization_id)
        family = Family(
            id=row_id,
            key=key,
            parent=await self.row("keys", key.parent, Key),
            user=await self.row("users", key.user_id, User),
            team=team,
            organization=await self.row("organizations", key.organization_id, Organization),
        )
        budgets = {one: await self.row("budgets", one, BudgetRow) for one in budget_ids(family)}
        return msgspec.structs.replace(family, budgets={name: row for name, row in budgets.items() if row is not None})

    async def row(self, table: str, row_id: str | None, kind: type[T]) -> T | None:
        """A row as it is in the store.

        :raises StoreDown: it is away
        """
        row = None if row_id is None else await self.records.get(table, row_id)
        return None if row is None else from_doc(row.doc, kind)

    # -- what is remembered ---------------------------------------------------------------------------------------

    def forget(self, rows: Iterable[Source] | None) -> None:
        """Something has changed: forget what depends on it; ``None``: anything may have."""
        self._changes += 1
        self._strangers.clear()
        # Whoever asks from now on is not to be told what was so before.
        self._flights.clear()
        changed = None if rows is None else tuple(rows)
        if changed is None:
            self._doom(set(self._entries))
        for table, row_id in changed or ():
            if table == "keys":
                self._drop(_digest_of(row_id))
            self._doom(self._by_source.get((table, row_id), ()))
        for listener in self.listeners:
            listener(changed)

    def _doom(self, digests: Collection[bytes]) -> None:
        self._doomed.update(digests)
        if len(digests) <= AT_ONCE:
            self._reap()

    def _reap(self) -> None:
        for digest in tuple(islice(self._doomed, AT_ONCE)):
            self._drop(digest)

    async def follow(self) -> None:
        """Hear of what others change, for ever."""
        while True:
            await self.poll()
            try:
                await self.records.wait_for_change(POLL)
            except StoreDown:
                await asyncio.sleep(POLL)

    async def poll(self) -> None:
        """Ask what has changed since the last time."""
        self._reap()
        try:
            changes = await self.records.changed_since(self._number)
        except StoreDown as error:
            if not self._is_away:
                log.warning("the store of keys is away, those that are known go on: %s", error)
            self._is_away = True
            if self._is_trusted and self._clock() - self._confirmed > self._grace:
                self._is_trusted = False
                log.warning("the store of keys is away for too long: no key is let in until it is back")
            return
        if self._is_away:
            log.warning("the store of keys is back")
        self._is_away, self._is_trusted, self._confirmed = False, True, self._clock()
        if changes is not None:
            self._number = changes.number
            self.forget(changes.rows)

    def _remember(self, digest: bytes, found: Caller | Refusal, family: Family | None) -> None:
        if isinstance(found, Refusal):
            if len(self._strangers) >= MAX_STRANGERS:
                self._strangers.popitem(last=False)
            self._strangers[digest] = (self._clock() + STRANGER_SECONDS, found)
            return
        assert family is not None
        self._drop(digest)
        while len(self._entries) >= self._most:
            self._make_room()
        sources = tuple(_sources(digest, family))
        self._entries[digest] = Entry(found, inf if found.expires is None else found.expires, sources)
        for source in sources:
            self._by_source.setdefault(source, set()).add(digest)

    def _make_room(self) -> None:
        digest, entry = next(iter(self._entries.items()))
        if entry.is_used:
            entry.is_used = False
            self._entries.move_to_end(digest)
        else:
            self._drop(digest)

    def _drop(self, digest: bytes) -> None:
        self._doomed.discard(digest)
        entry = self._entries.pop(digest, None)
        for source in () if entry is None else entry.sources:
            digests = self._by_source[source]
            digests.discard(digest)
            if not digests:
                del self._by_source[source]


def _digest_of(row_id: str) -> bytes:
    try:
        return bytes.fromhex(row_id)
    except ValueError:
        return b""


def _sources(digest: bytes, family: Family) -> Iterable[Source]:
    """The rows on which it depends, but for the one that its digest names."""
    key = family.key
    if family.id and family.id != digest.hex():
        yield "keys", family.id
    named = (("keys", key.parent), ("users", key.user_id), ("teams", key.team_id))
    for table, row_id in (*named, ("organizations", key.organization_id)):
        if row_id is not None:
            yield table, row_id
    for row_id in budget_ids(family):
        yield "budgets", row_id
