"""What the endpoints of keys, teams, users and budgets have in common: bodies, rows, and changes that are written down.

Each change is one transaction with its row in the audit log. Rows carry a version: whoever changes one that somebody
else has changed meanwhile begins again with what is there now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import parse_qs

import msgspec

from pointsman.access.budgets import EPOCH, window_of
from pointsman.access.caller import Caller
from pointsman.access.keys import (
    BudgetRow,
    Key,
    Organization,
    Pepper,
    T,
    Team,
    Terms,
    User,
    check_terms,
    filled,
    from_doc,
    to_doc,
)
from pointsman.access.policy import Refused
from pointsman.errors import Forbidden, InvalidRequest, Overloaded, ResourceNotFound
from pointsman.store.base import Audit, Change, Conflict, Records, Row, StoreDown, usd
from pointsman.store.base import Refused as NotStorable

if TYPE_CHECKING:
    from pointsman.edge.context import Serving
    from pointsman.edge.exchange import Exchange
    from pointsman.pipeline.known_keys import KnownKeys
    from pointsman.pipeline.spending import Spending
    from pointsman.pipeline.till import Till
    from pointsman.store.sealing import Sealer

MAX_BODY_BYTES = 1 << 20
MAX_PAGE = 100
MAX_FIELDS = 100
MAX_DIGITS = 16
MAX_ROWS = 10_000
"""That one request may change or go through."""
TRIES = 5
"""Times that a change is begun again when somebody else was quicker."""
INTERNAL = frozenset(
    {
        *("created_at", "created_by", "updated_at", "updated_by", "spent_from"),
        *("parent", "is_plain", "account", "replaces", "form"),
    }
)
"""Members of rows that nobody sets from outside."""
TABLES: Mapping[type[Terms], str] = {
    Key: "keys",
    Team: "teams",
    User: "users",
    Organization: "organizations",
    BudgetRow: "budgets",
}
R = TypeVar("R")


UNSPENT: Mapping[str, Any] = {"spend": 0}
"""How far a holder is who is new."""


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """A row that was read."""

    id: str
    row: T
    version: int

    def change(self, row: Terms | None) -> Change:
        """To another one, or to none, if it is still what was read."""
        return Change(TABLES[type(self.row)], self.id, None if row is None else to_doc(row), self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """The way of the admin endpoints to the rows."""

    records: Records
    keys: KnownKeys
    pepper: Pepper
    now: Callable[[], float]
    """Seconds since the epoch."""
    make_key: Callable[[], str]
    """A new key: 256 random bits."""
    make_id: Callable[[], str]
    """A new id of a team, a user or a budget."""
    spending: Spending | None = None
    """Writes the ledger."""
    till: Till | None = None
    """Counts what the ledger holds."""
    sealer: Sealer | None = None
    """For what is secret in rows; ``None``: nothing secret can be kept."""

    async def close(self) -> None:
        """Write what waits, and let go of the store."""
        if self.spending is not None:
            await self.spending.close()
        await self.records.close()

    async def get(self, kind: type[T], row_id: str) -> Held[T] | None:
        """:raises Overloaded: the store is away"""
        row = await stored(self.records.get(TABLES[kind], row_id))
        return None if row is None else held(row, kind)

    async def need(self, kind: type[T], row_id: str, what: str) -> Held[T]:
        """:raises ResourceNotFound: there is no such row"""
        found = await self.get(kind, row_id)
        if found is None:
            raise ResourceNotFound(f"{what} not found", param=None)
        return found

    async def find(
        self, kind: type[T], where: Mapping[str, str | Sequence[str]], *, limit: int = MAX_ROWS, order: str = "id"
    ) -> list[Held[T]]:
        """Rows by their columns.

        :raises Overloaded: the store is away
        """
        rows = await stored(self.records.find(TABLES[kind], where, order=order, limit=limit))
        return [held(row, kind) for row in rows]

    async def page(
        self, kind: type[T], where: Mapping[str, str | Sequence[str]], page: Page
    ) -> tuple[list[Held[T]], int]:
        """One page of the rows, the latest first, and how many there are."""
        table = TABLES[kind]
        total = await stored(self.records.count(table, where))
        after: tuple[str, ...] | None = None
        rows: list[Row] = []
        for _ in range(page.number):
            rows = await stored(self.records.find(table, where, order="-created_at", after=after, limit=page.size))
            if not rows:
                break
            after = (str(rows[-1].doc["created_at"]), rows[-1].id)
        return [held(row, kind) for row in rows], total

    async def write(
        self, caller: Caller, what: str, target: str, changes: Sequence[Change], before: Any = None, after: Any = None
    ) -> None:
        """Make changes in one transaction, with their row in the audit log; they are in force here at once.

        :raises Conflict: somebody else was quicker, or a name is taken
        :raises Overloaded: the store is away
        """
        audit = Audit(who=caller.name, what=what, target=target, before=_plain(before), after=_plain(after))
        try:
            await stored(self.records.change(changes, audit))
        finally:
            # Also when it is not known whether they were made.
            self.keys.forget([(one.table, one.id) for one in changes])

    def stamp(self) -> datetime:
        """Now, to the second."""
        return datetime.fromtimestamp(int(self.now()), UTC)

    def made(self, caller: Caller) -> dict[str, Any]:
        """Who makes a row, and when."""
        now, who = self.stamp(), who_is(caller)
        return {"created_at": now, "created_by": who, "updated_at": now, "updated_by": who}

    def changed(self, caller: Caller) -> dict[str, Any]:
        """Who changes a row, and when."""
        return {"updated_at": self.stamp(), "updated_by": who_is(caller)}

    async def standing(self, kind: str, row_id: str, terms: Terms) -> dict[str, Any]:
        """How far a holder is with its budget, which may be one that it refers to: US dollars, and when they are new.

        :raises Overloaded: the store is away
        """
        shared = None if terms.budget_id is None else await self.get(BudgetRow, terms.budget_id)
        agreed, now = filled(terms, None if shared is None else shared.row), self.now()
        since = window_of(agreed.budget_duration, now).begins
        if terms.spent_from is not None:
            since = max(since, terms.spent_from.timestamp())
        spend = await stored(self.records.spent_since({f"{kind}_id": row_id}, since))
        return {"spend": spend, "budget_reset_at": _renewed(agreed, now)}

    async def spend_of(
        self,
        where: Mapping[str, str | Sequence[str]],
        group_by: Sequence[str],
        start: float,
        end: float,
        limit: int = MAX_ROWS,
    ) -> list[dict[str, Any]]:
        """Sums of what began from ``start`` until before ``end``, the most expensive first.

        :raises Overloaded: the store is away
        """
        found = await stored(self.records.spend_by(group_by, start, end, where, limit))
        return [
            {
                **one.group,
                "spend": usd(one.cost_nano_usd),
                "api_requests": one.requests,
                "failed_requests": one.failures,
                "prompt_tokens": one.input_tokens,
                "completion_tokens": one.output_tokens,
                "total_tokens": one.input_tokens + one.output_tokens,
            }
            for one in found
        ]

    async def again(self, step: Callable[[], Awaitable[R]]) -> R:
        """Do ``step``, which reads and writes, until nobody else was quicker.

        :raises InvalidRequest: a name is taken
        """
        for _ in range(TRIES):
            try:
                return await step()
            except Conflict as conflict:
                if conflict.what != "version":
                    raise InvalidRequest(
                        f"That {conflict.what} is taken: choose another one", param=conflict.what
                    ) from None
        raise Overloaded("Others change the same row; try again", retry_after=1)


async def admin_of(serving: Serving) -> Admin:
    """The way to the rows of keys, teams, users and budgets.

    :raises ResourceNotFound: there is no store
    :raises Overloaded: it is away
    """
    return await serving.accounts.opened()


class Page(msgspec.Struct, frozen=True):
    """Which part of a list."""

    number: int = 1
    size: int = 10


# -- values -----------------------------------------------------------------------------------------------------------


def held(row: Row, kind: type[T]) -> Held[T]:
    """A row as what it stands for."""
    return Held(row.id, from_doc(row.doc, kind), row.version)


async def stored(call: Awaitable[R]) -> R:
    """What the store answers.

    :raises Overloaded: it is away
    :raises InvalidRequest: it cannot hold what was given
    """
    try:
        return await call
    except NotStorable:
        raise InvalidRequest("A name holds characters that cannot be stored") from None
    except StoreDown as error:
        raise Overloaded(
            "The store cannot be reached at the moment; try again",
            code="store_unavailable",
            retry_after=1,
            operator_detail=str(error),
        ) from error


def who_is(caller: Caller) -> str:
    """Whose name a row tells as that of who has made it."""
    return caller.user_id or caller.name


def allow(refused: Refused | None) -> None:
    """:raises Forbidden: something may not be done"""
    if refused is not None:
        raise Forbidden(refused.reason, param=refused.param)


def new(kind: type[T], given: Mapping[str, Any], **more: Any) -> T:
    """A row of what was given.

    :raises InvalidRequest: its terms make no sense
    """
    return _checked(kind(**_of(kind, given), **more))


def changed(row: T, given: Mapping[str, Any], **more: Any) -> T:
    """A row with what was given in place of what it had.

    :raises InvalidRequest: its terms make no sense
    """
    return _checked(msgspec.structs.replace(row, **{**_of(type(row), given), **more}))


def _of(kind: type[Terms], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in kind.__struct_fields__}


def _checked(row: T) -> T:
    wrong = check_terms(row)
    if wrong is not None:
        raise InvalidRequest(wrong[1], param=wrong[0])
    return row


def view(row: Terms, now: float, **more: Any) -> dict[str, Any]:
    """A row as it is told: every member, those of it that are internal left out."""
    told = {name: getattr(row, name) for name in row.__struct_fields__ if name not in INTERNAL}
    told["budget_reset_at"] = _renewed(row, now)
    stamps = {name: getattr(row, name) for name in ("created_at", "created_by", "updated_at", "updated_by")}
    return told | stamps | more


def _renewed(terms: Terms, now: float) -> datetime | None:
    return (
        None
        if terms.budget_duration is None
        else datetime.fromtimestamp(window_of(terms.budget_duration, now).ends, UTC)
    )


def _plain(row: Any) -> Any:
    return to_doc(row) if isinstance(row, Terms) else row


# -- bodies and queries -----------------------------------------------------------------------------------------------


def asks(kind: type[Terms], *without: str, **more: Any) -> type[msgspec.Struct]:
    """The body that sets members of a row: each may be left out, or ``null``, which is what it is by default.

    ``more`` are members that the row does not have, with their types.
    """
    left_out = INTERNAL | set(without)
    types = {one.name: one.type for one in msgspec.structs.fields(kind) if one.name not in left_out} | more
    members = [(name, type_ | None | msgspec.UnsetType, msgspec.UNSET) for name, type_ in types.items()]
    return msgspec.defstruct(f"{kind.__name__}Body", members, kw_only=True, frozen=True)


@dataclass(frozen=True, slots=True)
class Body:
    """Reads bodies of one shape; members that the gateway does not know are refused, unless they say nothing."""

    shape: type[msgspec.Struct]
    kind: type[Terms] | None = None
    needs: tuple[str, ...] = ()
    ignores: frozenset[str] = field(default_factory=frozenset)

    async def read(self, exchange: Exchange) -> dict[str, Any]:
        """What was given.

        :raises InvalidRequest: it is not what the path takes
        """
        body = await exchange.body(MAX_BODY_BYTES)
        try:
            names = msgspec.json.decode(body or b"{}", type=dict[str, Any])
            asked = msgspec.json.decode(body or b"{}", type=self.shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body is not what this path takes: {error}") from None
        known = self.shape.__struct_fields__
        for name, value in names.items():
            if name not in known and name not in self.ignores and value not in (None, False, "", [], {}):
                raise InvalidRequest(f"This path does not take {name[:100]!r}", param=name[:100])
        given = {name: getattr(asked, name) for name in known}
        return self._complete({name: value for name, value in given.items() if value is not msgspec.UNSET})

    def _complete(self, given: dict[str, Any]) -> dict[str, Any]:
        for name in self.needs:
            if given.get(name) is None:
                raise InvalidRequest(f"Set {name!r}", param=name)
        if self.kind is None:
            return {name: value for name, value in given.items() if value is not None}
        defaults = {one.name: default_of(one) for one in msgspec.structs.fields(self.kind)}
        return {name: defaults[name] if value is None and name in defaults else value for name, value in given.items()}


def default_of(member: msgspec.structs.FieldInfo) -> Any:
    """What a member is when nobody says anything."""
    return member.default_factory() if callable(member.default_factory) else member.default


class Query:
    """What stands behind the ``?`` of a path."""

    def __init__(self, exchange: Exchange) -> None:
        """:raises InvalidRequest: there is too much of it"""
        try:
            given = parse_qs(exchange.query, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise InvalidRequest(f"A query has up to {MAX_FIELDS} members") from None
        self._given = {name: values[-1] for name, values in given.items()}

    def text(self, *names: str) -> str | None:
        """The first of these that is there."""
        return next((self._given[name] for name in names if name in self._given), None)

    def need(self, *names: str) -> str:
        """:raises InvalidRequest: none of these is there"""
        found = self.text(*names)
        if found is None:
            raise InvalidRequest(f"Name it: ?{names[0]}=", param=names[0])
        return found

    def flag(self, name: str) -> bool:
        """Whether it is ``true``."""
        return (self.text(name) or "").lower() in {"true", "1"}

    def page(self, size: int = 10) -> Page:
        """:raises InvalidRequest: these are no numbers"""
        given = self.number("size", MAX_PAGE)
        given = self.number("page_size", MAX_PAGE) if given is None else given
        return Page(self.number("page", MAX_ROWS) or 1, given or size)

    def number(self, name: str, most: int = 10**15) -> int | None:
        """:raises InvalidRequest: it is none from 1 on"""
        given = self.text(name)
        if given is None:
            return None
        if not given.isascii() or not given.isdigit() or len(given) > MAX_DIGITS or not 1 <= int(given) <= most:
            raise InvalidRequest(f"{name!r} must be a number from 1 to {most}", param=name)
        return int(given)

    def day(self, name: str, default: datetime) -> datetime:
        """A date or a time, which is in UTC unless it says otherwise.

        :raises InvalidRequest: it is none
        """
        given = self.text(name)
        if given is None:
            return default
        try:
            found = datetime.fromisoformat(given)
        except ValueError:
            raise InvalidRequest(f"{name!r} must be a date, such as 2026-01-31", param=name) from None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def seconds(moment: datetime) -> float:
    """Since the epoch."""
    return (moment - EPOCH).total_seconds()
