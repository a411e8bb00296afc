"""Money: how much there is, for how long, and what a request takes of it.

A request **reserves** what it may cost before it is planned, and **settles** what it has cost when it has ended; one
that has cost nothing **releases** what it had reserved. Amounts are whole nano-dollars where they are counted, and
:class:`Decimal` where people read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal

import msgspec

from pointsman.access.limits import Limit, name_of

Kind = Literal["key", "user", "team", "organization"]

NANOS = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNREACHED = 2**61
"""Nano-dollars that nobody spends: the ceiling of a budget that is soft only."""
DAY = 86_400
WEEK = 7 * DAY
MONDAY = 4 * DAY
"""The first Monday after the epoch, in seconds."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": WEEK}
MONTH_OF_DAYS = 30
"""Days that LiteLLM takes for a month of the calendar."""
_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d|w|mo)")


class Window(msgspec.Struct, frozen=True):
    """The time that a budget is for, in seconds since the epoch."""

    begins: float
    ends: float
    """``inf``: the budget is for ever."""


class Purse(msgspec.Struct, frozen=True):
    """What has become of the money of one budget in one window, in nano-dollars."""

    spent: int = 0
    reserved: int = 0

    def reserve(self, amount: int, ceiling: int) -> Purse | None:
        """With ``amount`` put aside; ``None``: there is not so much left, or nothing at all."""
        taken = self.spent + self.reserved
        if taken + amount > ceiling or taken >= ceiling:
            return None
        return Purse(self.spent, self.reserved + amount)

    def settle(self, reserved: int, actual: int) -> Purse:
        """What was put aside has become a cost, which may be another one."""
        return Purse(self.spent + actual, max(0, self.reserved - reserved))

    def release(self, reserved: int) -> Purse:
        """What was put aside was not needed."""
        return Purse(self.spent, max(0, self.reserved - reserved))


class Budget(msgspec.Struct, kw_only=True, gc=False):
    """Money of one holder, for one model or for all. It does not change but for the counter of the moment."""

    kind: Kind
    id: str
    """Of the holder, as its spend is booked."""
    hard: Decimal | None = None
    """US dollars that are never passed."""
    soft: Decimal | None = None
    """US dollars that are told of when they are passed."""
    duration: str | None = None
    model: str | None = None
    since: float = 0.0
    """Nothing that was spent before this time counts."""
    _limit: Limit | None = None
    _ends: float = 0.0

    def limit(self, now: float) -> Limit | None:
        """What counts it at ``now``, as :meth:`meter` gives it; ``None``: it is soft only."""
        return None if self.hard is None else self.meter(now)

    def meter(self, now: float) -> Limit:
        """What counts it at ``now``, under another name as soon as there is new money.

        What was spent already, :attr:`booked` and :meth:`window` tell.
        """
        if self._limit is None or now >= self._ends:
            window = self.window(now)
            lasts = min(window.ends - window.begins, DAY)
            ceiling = UNREACHED if self.hard is None else nanos(self.hard)
            self._limit = Limit(key=self.name(window), kind="money", ceiling=ceiling, window=lasts)
            self._ends = window.ends
        return self._limit

    @property
    def counter(self) -> Limit | None:
        """What :meth:`meter` gave last."""
        return self._limit

    def window(self, now: float) -> Window:
        """The time in which ``now`` lies."""
        found = window_of(self.duration, now)
        return Window(self.since, found.ends) if self.since > found.begins else found

    def name(self, window: Window) -> str:
        """The name of its counter in ``window``."""
        what = () if self.model is None else (self.model,)
        return name_of("money", self.kind, self.id, *what, self.duration or "ever", f"{window.begins:.3f}")

    @property
    def booked(self) -> Mapping[str, str]:
        """Columns of the ledger that tell whose it is. Where it is for one model, that may have several names there."""
        return {f"{self.kind}_id": self.id}

    def is_soft_passed(self, spent: int) -> bool:
        """Whether so many nano-dollars are worth telling somebody."""
        return self.soft is not None and spent >= nanos(self.soft)


def nanos(dollars: Decimal) -> int:
    """Whole nano-dollars, rounded up: nobody gets anything for nothing."""
    return int((dollars * NANOS).to_integral_value(ROUND_CEILING))


def dollars(amount: int) -> Decimal:
    """US dollars of nano-dollars."""
    return Decimal(amount) / NANOS


def seconds_of(duration: str) -> int:
    """Seconds of ``30s``, ``30m``, ``30h``, ``30d``, ``4w`` or ``1mo``, which is 30 days here.

    :raises ValueError: it is none of these
    """
    count, unit = _parts(duration)
    return count * UNITS.get(unit, MONTH_OF_DAYS * DAY)


def window_of(duration: str | None, now: float) -> Window:
    """The window in which ``now`` lies, the same for everybody: nothing has to be written down when one ends.

    Days begin at midnight and weeks on Monday, in UTC; ``mo`` and LiteLLM's ``30d`` are months of the calendar. Several
    of a unit are counted from the epoch, months from January.

    :raises ValueError: ``duration`` is none
    """
    if duration is None:
        return Window(0.0, float("inf"))
    count, unit = _parts(duration)
    if unit == "mo" or duration == "30d":
        return _months(count if unit == "mo" else 1, now)
    length = count * UNITS[unit]
    start = MONDAY if length % WEEK == 0 and unit in "dw" else 0
    begins = (now - start) // length * length + start
    return Window(begins, begins + length)


def _months(count: int, now: float) -> Window:
    today = EPOCH + timedelta(seconds=now)
    first = (today.year * 12 + today.month - 1) // count * count
    return Window(_first_of(first), _first_of(first + count))


def _first_of(month: int) -> float:
    # Several years may begin before there are dates, or end after.
    year = min(max(month // 12, 1), 9999)
    return (datetime(year, month % 12 + 1, 1, tzinfo=UTC) - EPOCH).total_seconds()


def _parts(duration: str) -> tuple[int, str]:
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(f"{duration[:20]!r} is no duration: write 30s, 30m, 12h, 7d, 2w or 1mo")
    return int(found[1]), found[2]
