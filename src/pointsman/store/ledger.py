"""The ledger of spend as statements: what is appended, and what is asked of it.

Each event is also counted in the sums of its hour and its day, in the same transaction. A question from one moment to
another is answered by whole days, the whole hours beside them, and the events of the two hours that are not whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import sqlalchemy as sa
from msgspec.structs import astuple

from pointsman.store.base import AMOUNTS, GROUPS, Refused, Spend, SpendEvent, Where
from pointsman.store.cleaning import clean, is_clean, json
from pointsman.store.schema import RARE, spend, sums

HOUR: Final = 3_600
DAY: Final = 86_400
TIMES: Final = {"hour": HOUR, "day": DAY}
IN_HOURS: Final = ("team_id", "organization_id", "model", "provider")
"""What the sums of hours tell apart."""
END: Final = 10_000_000 * DAY
"""After everything."""
LATEST: Final = 253_402_300_800
"""The end of the year 9999."""
LARGEST: Final = 2**63 - 1
FOUND_BY: Final = (*GROUPS, "id", "request_id", "end_user", "session_id", "status")


_TEXTS: Final = (*GROUPS, "request_id", "end_user", "session_id", "status")
_MORE: Final = (
    *("operation", "deployment", "upstream_model", "attempt", "first_at", "ended_at", "is_cached"),
    *("address", "tags", "metadata"),
)
"""What nobody asks for by its value: a list in one column."""
COLUMNS: Final = ("at", "id", *_TEXTS, *AMOUNTS, "hour", "more")
Stored: TypeAlias = tuple[Any, ...]
"""The values of :data:`COLUMNS`."""
_GROUPS_AT: Final = slice(2, 2 + len(GROUPS))
_TEXTS_AT: Final = slice(1, 2 + len(_TEXTS))
_AMOUNTS_AT: Final = slice(2 + len(_TEXTS), 2 + len(_TEXTS) + len(AMOUNTS))
_COLUMNS_AT: Final = slice(_AMOUNTS_AT.stop)
_MORE_AT: Final = slice(_AMOUNTS_AT.stop, _AMOUNTS_AT.stop + len(_MORE))
_HOUR_AT: Final = COLUMNS.index("hour")
_SPANS: Final[Sequence[tuple[int, Sequence[str]]]] = ((HOUR, IN_HOURS), (DAY, GROUPS))


class Piece(NamedTuple):
    """A part of a stretch of time: the events themselves where ``span`` is 0, else sums."""

    span: int
    start: float
    end: float


def pieces(start: float, end: float, spans: Sequence[int] = (DAY, HOUR, 0)) -> list[Piece]:
    """What covers the time from ``start`` until before ``end`` once, in as few rows as there can be."""
    found: list[Piece] = []
    _cover(start, end, spans, found)
    return found


def _cover(start: float, end: float, spans: Sequence[int], found: list[Piece]) -> None:
    if start >= end:
        return
    span, *smaller = spans
    if not span:
        found.append(Piece(0, start, end))
        return
    first, last = -(-start // span) * span, end // span * span
    if first > last:
        _cover(start, end, smaller, found)
        return
    _cover(start, first, smaller, found)
    if first < last:
        found.append(Piece(span, first, last))
    _cover(last, end, smaller, found)


def days_of(events: Iterable[SpendEvent]) -> list[int]:
    """Days since 1970 on which they began.

    :raises Refused: that is no time between 1970 and 9999
    """
    days = {event.at // DAY for event in events}
    if not all(0 <= day < LATEST // DAY for day in days):
        raise Refused("a spend event began at no time that can be")
    return sorted(map(int, days))


def row_of(event: SpendEvent) -> Stored:
    """An event as it is stored: the values of :data:`COLUMNS`."""
    # As a whole and not member by member, as this is done for each event.
    values = astuple(event)
    columns, texts, amounts = values[_COLUMNS_AT], values[_TEXTS_AT], values[_AMOUNTS_AT]
    together = "".join(texts)
    if not together.isascii() or "\0" in together or max(amounts) > LARGEST or min(amounts) < -LARGEST:
        columns = (event.at, *map(clean, texts), *(max(-LARGEST, min(LARGEST, amount)) for amount in amounts))
    return (*columns, int(event.at // HOUR) * HOUR, json(values[_MORE_AT]))


def event_of(row: sa.Row[Any]) -> SpendEvent:
    """An event as it was, but for its content."""
    values = {name: getattr(row, name) for name in ("at", "id", *_TEXTS, *AMOUNTS)}
    more = msgspec.json.decode(row.more)
    # Once it was an object, of what is not as it mostly is.
    values |= more if isinstance(more, dict) else dict(zip(_MORE, more, strict=True))
    return msgspec.convert(values, SpendEvent)


def summed(rows: Iterable[Stored]) -> list[dict[str, Any]]:
    """What rows add to the sums, always in the same order, so that writers never wait for each other in a circle."""
    # By hour and all groups first: most events of a moment are alike.
    alike: dict[tuple[Any, ...], list[Sequence[int]]] = {}
    for row in rows:
        alike.setdefault((row[_HOUR_AT], *row[_GROUPS_AT]), []).append(row[_AMOUNTS_AT])
    found: dict[tuple[Any, ...], list[int]] = {}
    for (hour, *values), amounts in alike.items():
        sums_of_them = [*map(sum, zip(*amounts, strict=True))]
        for span, names in _SPANS:
            group = (value if name in names else "" for name, value in zip(GROUPS, values, strict=True))
            totals = found.setdefault((span, hour // span * span, *group), [0] * len(AMOUNTS))
            totals[:] = map(add, totals, sums_of_them)
    names = ("span", "start", *GROUPS, *AMOUNTS)
    return [dict(zip(names, (*key, *found[key]), strict=True)) for key in sorted(found)]


def adding(insert: Any) -> Any:
    """The statement that adds :func:`summed` to what is there; ``insert`` is the dialect's."""
    statement = insert(sums)
    added = {name: sums.c[name] + statement.excluded[name] for name in AMOUNTS}
    return statement.on_conflict_do_update(index_elements=list(sums.primary_key), set_=added)


def conditions(table: sa.FromClause, where: Where | None, allowed: Sequence[str]) -> list[Any]:
    """:raises KeyError: a column is not among ``allowed``"""
    found: list[Any] = []
    for name, value in (where or {}).items():
        if name not in allowed:
            raise KeyError(name)
        column = table.c[name]
        if value is None:
            found.append(column.is_(None))
            continue
        # What no database can hold is in none.
        values = [one for one in ([value] if isinstance(value, str) else value) if is_clean(one)]
        if table is spend and name in RARE and not {"", "success"} & set(values):
            found.append(sa.text(RARE[name]))
        found.append(column == values[0] if len(values) == 1 else column.in_(values))
    return found


class Kept(NamedTuple):
    """Since when there are events, and sums of hours; ``None``: there are none."""

    events: float | None
    hours: float | None

    def unit(self, moment: float, *, is_in_hours: bool) -> int:
        """The smallest there is at this moment; 1: whatever is asked."""
        if self.events is not None and moment >= self.events // DAY * DAY:
            return 1
        return HOUR if is_in_hours and self.hours is not None and moment >= self.hours // DAY * DAY else DAY


KEPT: Final = sa.select(
    sa.select(sa.func.min(spend.c.at)).scalar_subquery(),
    sa.select(sa.func.min(sums.c.start)).where(sums.c.span == HOUR).scalar_subquery(),
)


def summing(group_by: Sequence[str], start: float, end: float, where: Where | None, kept: Kept) -> Any:
    """A statement for :data:`AMOUNTS` and the columns of ``group_by`` in the time.

    Where there are only sums, the time begins and ends where they do, so that what was spent is never told too low.

    :raises KeyError: there is no such column
    """
    for name in group_by:
        if name not in (*GROUPS, *TIMES):
            raise KeyError(name)
    is_in_hours = {*group_by, *(where or {})} <= {*IN_HOURS, *TIMES}
    if (unit := kept.unit(start, is_in_hours=is_in_hours)) > 1:
        start = start // unit * unit
    if (unit := kept.unit(end, is_in_hours=is_in_hours)) > 1:
        end = -(-end // unit) * unit
    spans = (*(() if "hour" in group_by else (DAY,)), *((HOUR,) if is_in_hours else ()), 0)
    parts = [_part(piece, group_by, where) for piece in pieces(start, end, spans) or [Piece(0, start, start)]]
    every = sa.union_all(*parts).subquery()
    groups = [every.c[name] for name in group_by]
    totals = [sa.func.coalesce(sa.func.sum(every.c[name]), 0).label(name) for name in AMOUNTS]
    statement = sa.select(*groups, *totals).group_by(*groups).having(sa.func.count() > 0)
    return statement.order_by(sa.desc("cost_nano_usd"), *groups)


def _part(piece: Piece, group_by: Sequence[str], where: Where | None) -> sa.Select[Any]:
    table: sa.Table = sums if piece.span else spend
    begin: sa.Column[Any] = table.c.start if piece.span else table.c.at
    columns = [_group(name, table) for name in group_by]
    chosen = [begin >= piece.start, begin < piece.end, *conditions(table, where, GROUPS)]
    if piece.span:
        # Written out, so that the index of days is seen to be enough.
        chosen.append(table.c.span == sa.literal_column(str(piece.span)))
    amounts = [sa.func.sum(table.c[name]).label(name) for name in AMOUNTS]
    return sa.select(*columns, *amounts).where(*chosen).group_by(*columns).having(sa.func.count() > 0)


def _group(name: str, table: sa.Table) -> Any:
    if name not in TIMES:
        return table.c[name]
    hour = table.c.start if table is sums else table.c.hour
    # Written out, for two values that are bound are never seen to be the same.
    return (hour - hour % sa.literal_column(str(TIMES[name]))).label(name)


def spend_of(row: Sequence[Any], group_by: Sequence[str]) -> Spend:
    """A row of :func:`summing`."""
    count = len(group_by)
    amounts = dict(zip(AMOUNTS, map(int, row[count:]), strict=True))
    return Spend(group=dict(zip(group_by, row[:count], strict=True)), **amounts)
