"""Parts of limits that are lent: how several processes share counters without asking each other for every request.

One process holds the *loans*: the counters, and who has borrowed how much. The others borrow *slices*: what a request
needs and a little more, so that the next ones cost no round trip. What is lent counts as used from then on; so nothing
is ever exceeded, and what one has borrowed in vain is missing to the others only until it is called back: a refusal is
given after all others have returned what they do not use. Slices shrink with what is left.

What is lent of a rate counts from the moment of lending, so it has to be used soon: within a part of the window that
is too short to matter. A borrower that is gone owes nothing: its slots and its money are free again. What it had of a
rate and may not have used counts as used.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

import msgspec

from pointsman.access.limits import BOUNDLESS, PURGE_AT_LEAST, Book, Charge, Limit, Money, Refusal, Window

RATE_PARTS: Final = 32
MONEY_PARTS: Final = 64
MAX_SLOTS: Final = 8
LENT_PARTS: Final = 256
"""A slice of a rate is valid for such a part of the window."""
KEPT_SECONDS: Final = 5.0
"""What is borrowed of slots and money is kept so long without use."""


class Want(msgspec.Struct, frozen=True, array_like=True):
    """What a borrower asks for; all of ``need``, and more if ``is_eager``."""

    limit: Limit
    need: int
    is_eager: bool


class Lent(msgspec.Struct, frozen=True, array_like=True):
    """What it gets of one limit, and what is left for all after that."""

    amount: int
    remaining: int


class Returned(msgspec.Struct, array_like=True):
    """What a borrower does not need, and what it has spent.

    Of a rate ``unused`` is what was taken ``at`` and not used. Below 0: what was used or spent beyond what was lent.
    """

    key: str
    at: float
    unused: int
    spent: int


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """Nothing is lent, because of the want at ``index``; ``remaining`` is below 0 where too much was used."""

    index: int
    remaining: int
    retry_after: float | None


class Unknown(msgspec.Struct, frozen=True, array_like=True):
    """What was spent of the want at ``index`` has to be told first."""

    index: int


class Loans:
    """The counters, and what is lent of them to whom. Borrowers are numbered."""

    def __init__(self) -> None:
        self.borrowers: set[int] = set()
        self._book = Book()
        self._lent: dict[str, dict[int, _Loan]] = {}
        """By key and borrower."""
        self._purge_at = PURGE_AT_LEAST

    def lend(self, borrower: int, wants: Sequence[Want], now: float) -> list[Lent] | Refused | Unknown:
        """Lend what all wants need, or nothing."""
        counters = []
        for index, want in enumerate(wants):
            counter = self._book.open(want.limit, now)
            if counter is None:
                return Unknown(index)
            if want.need > counter.room(now, want.limit.ceiling):
                ceiling = want.limit.ceiling
                return Refused(index, counter.room(now, ceiling), counter.wait(now, ceiling, want.need))
            counters.append(counter)
        lent = []
        for want, counter in zip(wants, counters, strict=True):
            room = counter.room(now, want.limit.ceiling)
            amount = want.need + (self._surplus(want, room - want.need) if want.is_eager else 0)
            # There is room. A rate goes by its ceiling as to how much of it comes back at a time.
            counter.take(now, want.limit.ceiling if isinstance(counter, Window) else BOUNDLESS, amount)
            self._note(borrower, want.limit, amount, now)
            lent.append(Lent(amount, room - amount))
        return lent

    def take_back(self, borrower: int, returned: Returned, now: float) -> None:
        """A borrower gives something back, or tells what it has spent."""
        counter = self._book.counters.get(returned.key)
        if counter is None:
            return
        by_borrower = self._lent.get(returned.key, {})
        mine = by_borrower.get(borrower)
        if isinstance(counter, Window):
            counter.settle(returned.at, now, max(0, returned.unused), max(0, -returned.unused))
            return
        gone = min(returned.unused + returned.spent, 0 if mine is None else mine.amount)
        counter.settle(now, now, gone, returned.spent)
        if mine is not None:
            mine.amount -= gone
            if not mine.amount:
                self._forget(returned.key, borrower)

    def debtors(self, key: str, borrower: int, now: float) -> list[int]:
        """Who else may have something of a limit that it does not use."""
        return [who for who, loan in self._lent.get(key, {}).items() if who != borrower and loan.until > now]

    def overdrawn(self, key: str, now: float) -> list[int]:
        """Who may have something that there is no more: others have used more than they had reserved."""
        counter = self._book.counters.get(key)
        loans = self._lent.get(key, {}).items()
        return [
            who
            for who, loan in loans
            if counter is not None and loan.until > now and counter.room(now, loan.ceiling) < 0
        ]

    def drop(self, borrower: int, now: float) -> None:
        """A borrower is gone."""
        self.borrowers.discard(borrower)
        for key in [key for key, by_borrower in self._lent.items() if borrower in by_borrower]:
            counter = self._book.counters.get(key)
            if counter is not None and not isinstance(counter, Window):
                counter.settle(now, now, self._lent[key][borrower].amount, 0)
            self._forget(key, borrower)

    def seed(self, key: str, used: int, now: float, window: float, *, is_first: bool) -> None:
        """So much was spent; with ``is_first`` only if nobody has told yet."""
        if not (is_first and isinstance(self._book.counters.get(key), Money)):
            self._book.seed(key, used, now, window)

    def counted(self, key: str) -> tuple[int, int] | None:
        """What was spent of a money limit, and what is lent of it; ``None``: nobody has told."""
        counter = self._book.counters.get(key)
        return (counter.used, counter.held) if isinstance(counter, Money) else None

    def _surplus(self, want: Want, room: int) -> int:
        limit = want.limit
        if limit.kind == "money":
            wanted = room // MONEY_PARTS
        elif limit.kind == "rate":
            wanted = limit.ceiling // RATE_PARTS
        else:
            wanted = min(limit.ceiling // RATE_PARTS, MAX_SLOTS)
        return max(0, min(wanted, room // (2 * max(1, len(self.borrowers)))))

    def _note(self, borrower: int, limit: Limit, amount: int, now: float) -> None:
        if limit.key not in self._lent:
            self._purge(now)
        mine = self._lent.setdefault(limit.key, {}).setdefault(borrower, _Loan())
        mine.ceiling = limit.ceiling
        if limit.kind == "rate":
            # Only whether something may come back is of interest, not how much.
            mine.until = now + limit.window / LENT_PARTS
        else:
            mine.amount += amount

    def _purge(self, now: float) -> None:
        """Forget what was lent of rates, and cannot be used any more."""
        if len(self._lent) >= self._purge_at:
            valid = {
                key: {who: loan for who, loan in by_borrower.items() if loan.until > now}
                for key, by_borrower in self._lent.items()
            }
            self._lent = {key: by_borrower for key, by_borrower in valid.items() if by_borrower}
            self._purge_at = max(PURGE_AT_LEAST, 2 * len(self._lent))

    def _forget(self, key: str, borrower: int) -> None:
        by_borrower = self._lent[key]
        del by_borrower[borrower]
        if not by_borrower:
            del self._lent[key]


class _Loan:
    """What a borrower has of one limit, or may have."""

    __slots__ = ("amount", "ceiling", "until")

    def __init__(self) -> None:
        self.amount = 0
        self.ceiling = 0
        """When it borrowed last."""
        self.until = inf
        """When it can use that no more."""


class Slice:
    """What a borrower has of one limit."""

    __slots__ = (
        "asking",
        "at",
        "beyond",
        "busy",
        "free",
        "is_rate",
        "limit",
        "refusal",
        "refused",
        "remaining",
        "rests",
        "spent",
        "until",
    )

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.is_rate = limit.kind == "rate"
        self.free = 0
        self.busy = 0
        """Reserved, and not settled."""
        self.spent = 0
        """And not told."""
        self.beyond = 0
        """Of that, what was not lent."""
        self.at = 0.0
        """When it was lent."""
        self.until = 0.0
        """When what is free must be returned; of a rate, it must not be used any more either."""
        self.asking = 0
        """Requests that wait for more."""
        self.remaining = 0
        """What was left for all when something was lent last."""
        self.refusal: Refusal | None = None
        self.refused = 0
        """The least amount that was refused, until ``rests``."""
        self.rests = 0.0

    def take(self, now: float, amount: int) -> bool:
        """Use what was lent, if it is enough."""
        if amount > self.free or (self.is_rate and now >= self.until):
            return False
        self.free -= amount
        self.busy += amount
        return True

    def take_some(self, now: float, amount: int) -> int:
        """As much as is there, at most ``amount``."""
        some = 0 if self.is_rate and now >= self.until else min(amount, self.free)
        self.free -= some
        self.busy += some
        return some

    def put_back(self, amount: int) -> None:
        self.free += amount
        self.busy -= amount

    def add(self, lent: Lent, now: float) -> None:
        """More was lent."""
        self.free += lent.amount
        self.remaining = lent.remaining
        self.at = now
        self.until = now + (self.limit.window / LENT_PARTS if self.is_rate else KEPT_SECONDS)
        self.refusal = None

    def settle(self, reserved: int, used: int) -> int:
        """So much was used; what a rate gets back counts where it was taken, and is returned to the caller of this."""
        self.busy -= reserved
        if self.is_rate:
            return reserved - used
        if self.limit.kind == "money":
            self.spent += used
            free = self.free + reserved - used
            self.free = max(0, free)
            self.beyond += self.free - free
        else:
            self.free += reserved
        return 0

    def refuse(self, refusal: Refusal, amount: int, rests: float) -> None:
        """Answer so until ``rests`` to whoever wants as much or more."""
        self.refusal, self.refused, self.rests = refusal, amount, rests

    def refuses(self, now: float, charge: Charge) -> Refusal | None:
        """What such a charge was answered just now."""
        why = self.refusal
        is_known = why is not None and now < self.rests and charge.amount >= self.refused
        return why if is_known and why is not None and why.limit == charge.limit else None

    def give_back(self, now: float, *, is_called: bool = False) -> Returned | None:
        """What is to be told: what was spent, and what is free if it is called back or has not been used for long."""
        unused = 0
        if self.free and (is_called or now >= self.until):
            unused, self.free = self.free, 0
        spent, beyond = self.spent, self.beyond
        self.spent = self.beyond = 0
        return Returned(self.limit.key, self.at, unused - beyond, spent) if unused or spent else None

    def is_idle(self, now: float) -> bool:
        """Whether nothing is lost with it."""
        return not (self.free or self.spent or self.asking or (self.busy and not self.is_rate)) and now >= self.rests
