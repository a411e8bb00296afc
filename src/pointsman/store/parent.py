"""A worker's side of counters that the parent process lends: what is borrowed already costs no round trip."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf

from pointsman.access.budgets import UNREACHED
from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.access.slices import Returned, Slice, Want
from pointsman.errors import Overloaded
from pointsman.store.base import StoreDown
from pointsman.store.breaker import Breaker
from pointsman.store.counting import Counted, Rebuild, WriteDown, nothing_spent, nothing_to_write, nothing_used
from pointsman.store.lending import (
    Ask,
    Denied,
    Gather,
    Gathered,
    GiveBack,
    Granted,
    Leave,
    Look,
    Message,
    Messages,
    Recall,
    Recalled,
    Seen,
    Tell,
    Untold,
)
from pointsman.store.patience import Deadline
from pointsman.store.sharing import Known, Share
from pointsman.telemetry.tasks import Tasks

DEADLINE = 0.5
"""Seconds that a request waits for the parent: it is busy at times, and without it budgets are refused."""
LOOK_SECONDS = 8.0
"""Seconds that an operator waits."""
MAX_WRITING = 16
"""At once, of what this worker has spent."""
TICK = 0.05
"""Seconds until the parent is told what was spent, and gets back what was not used."""
PROBE_SECONDS = 1.0
AWAY = "the parent process that counts does not answer"
REFUSAL_RESTS = 0.01
"""Seconds that a refusal is given again without asking."""

log = logging.getLogger(__name__)


class ParentCounters:
    """What the parent lends over ``sock``.

    While it does not answer, one part in as many as there are borrowers. Not of money that may not be passed: of that
    a worker uses what was lent to it, and no more, for the others may have the rest.
    """

    def __init__(
        self,
        sock: socket.socket,
        rebuild: Rebuild = nothing_spent,
        clock: Callable[[], float] = time.monotonic,
        *,
        write_down: WriteDown = nothing_to_write,
        deadline: float = DEADLINE,
        refusal_rests: float = REFUSAL_RESTS,
    ) -> None:
        """``write_down`` is done when somebody wants to compare what was counted with what was written down."""
        self._sock = sock
        self._rebuild = rebuild
        self._clock = clock
        self._write_down = write_down
        self._tasks = Tasks(log, MAX_WRITING)
        self._deadline = deadline
        self._refusal_rests = refusal_rests
        self._breaker = Breaker("the parent process that counts", slow=deadline, now=clock)
        self._line = Messages(self._hear, self._end)
        self._loop = asyncio.get_running_loop()
        self._slices: dict[str, Slice] = {}
        self._retired: list[Slice] = []
        """Those under ceilings that hold no more, while something of them is in use."""
        self._returned: list[Returned] = []
        self._questions: dict[int, _Question] = {}
        self._looks: dict[int, asyncio.Future[Message | None]] = {}
        self._count = 0
        self._borrowers = 1
        self._known = Known()
        self._share: Share | None = None
        """Since the parent was late first; what it decides alone while the breaker is open."""
        self._is_away = False
        """Whether the parent is not asked: the breaker is open, or it has gone."""
        self._is_closing = False
        self._tick: asyncio.TimerHandle | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._probed: _Question | None = None

    async def open(self) -> None:
        """Begin to borrow."""
        self._sock.setblocking(False)
        await self._loop.create_connection(lambda: self._line, sock=self._sock)

    async def close(self) -> None:
        self._is_closing = True
        self._report(is_called=True)
        for timer in (self._tick, self._probe):
            if timer is not None:
                timer.cancel()
        self._line.send(Leave())
        self._line.close()
        await self._tasks.close(0.0)

    def reserve_now(self, charges: Sequence[Charge]) -> Grant | Refusal | None:
        if self._is_away:
            lent = self._take_lent(charges)
            return None if lent is None else self._alone(charges, lent)
        now = self._clock()
        known = self._slices
        slices: list[Slice] = []
        for charge in charges:
            limit = charge.limit
            part = known.get(limit.key)
            if part is None or part.limit.ceiling != limit.ceiling or not part.take(now, charge.amount):
                for taken, other in zip(slices, charges, strict=False):
                    taken.put_back(other.amount)
                return None if part is None else part.refuses(now, charge)
            slices.append(part)
        return Grant(charges, now, slices)

    async def reserve(self, charges: Sequence[Charge]) -> Grant | Refusal:
        while True:
            done = self.reserve_now(charges)
            if done is None:
                done = await (self._go_alone(charges) if self._is_away else self._borrow(charges))
            if done is not None:
                return done

    def settle(self, grant: Grant, actual: Mapping[str, int]) -> None:
        if grant.is_local:
            self._settle_local(grant, actual)
        elif grant.is_open:
            grant.is_open = False
            slices = iter(grant.parts)
            for charge in grant.charges:
                reserved, key = charge.amount, charge.limit.key
                back = next(slices).settle(reserved, actual.get(key, reserved))
                if back:
                    self._returned.append(Returned(key, grant.at, back, 0))
            self._wake()

    def release(self, grant: Grant) -> None:
        self.settle(grant, nothing_used(grant))

    def remaining(self, limit: Limit) -> int | None:
        part = self._slices.get(limit.key)
        return self._known.left(limit.key) if part is None else max(0, part.remaining + part.free)

    async def seed(self, key: str, used: int) -> None:
        self._report()
        self._line.send(Tell(key, used, inf, is_first=False))

    def adjust(self, key: str, by: int) -> None:
        self._returned.append(Returned(key, 0.0, -by, by))
        self._send_back(())

    async def counted(self, limit: Limit) -> Counted | None:
        seen = await self._look_up(Look(self._next(), limit.key))
        if not isinstance(seen, Seen):
            raise StoreDown(AWAY)
        return None if seen.counted is None else Counted(*seen.counted)

    async def gather(self) -> bool:
        done = await self._look_up(Gather(self._next()))
        return isinstance(done, Gathered) and done.is_whole

    async def _borrow(self, charges: Sequence[Charge]) -> Grant | Refusal | None:
        """Ask for what is missing; ``None``: try again."""
        self._return_stale(charges)
        question = self._ask(charges)
        timer = Deadline(self._loop, self._deadline, partial(question.conclude, None))
        try:
            outcome = await question.future
        except asyncio.CancelledError:
            question.leave()
            raise
        finally:
            timer.cancel()
        if isinstance(outcome, Granted):
            return Grant(charges, outcome.at, question.slices)
        question.leave()
        if isinstance(outcome, Denied):
            return self._denied(question, outcome)
        if isinstance(outcome, Untold):
            limit = question.missing[outcome.index].limit
            self._line.send(Tell(limit.key, await self._rebuild(limit), limit.window, is_first=True))
            return None
        if self._line.is_open:
            self._fail()
        return await self._go_alone(charges)

    def _ask(self, charges: Sequence[Charge]) -> _Question:
        number = self._next()
        question = self._questions[number] = _Question(self._loop, self._clock(), charges, self._slices)
        self._line.send(Ask(number, question.wants))
        return question

    def _next(self) -> int:
        self._count += 1
        return self._count

    async def _look_up(self, wanted: Look | Gather) -> Message | None:
        """What the parent answers; ``None``: it does not."""
        future: asyncio.Future[Message | None] = self._loop.create_future()
        self._looks[wanted.id] = future
        try:
            if self._line.is_open:
                self._line.send(wanted)
                async with asyncio.timeout(LOOK_SECONDS):
                    return await future
        except TimeoutError:
            pass
        finally:
            del self._looks[wanted.id]
        return None

    async def _tell_all(self, number: int) -> None:
        is_whole = await self._write_down()
        self._report(is_called=True)
        self._line.send(Gathered(number, is_whole))

    def _denied(self, question: _Question, denied: Denied) -> Grant | Refusal:
        # What others in this process have borrowed or returned meanwhile may do.
        done = self.reserve_now(question.charges)
        if isinstance(done, Grant):
            return done
        why = denied.why
        charge, part = question.missing[why.index], question.asked[why.index]
        is_ever = charge.amount <= charge.limit.ceiling
        refusal = Refusal(charge.limit, why.retry_after if is_ever else None, max(0, why.remaining + part.free))
        self._known.note(charge.limit.key, why.remaining, self._clock())
        rests = self._refusal_rests if why.retry_after is None else min(self._refusal_rests, why.retry_after)
        part.refuse(refusal, charge.amount, self._clock() + rests)
        return refusal

    def _hear(self, line: Messages, message: Message) -> None:
        if isinstance(message, Recall):
            self._give_up(message)
            line.send(Recalled(message.id))
        elif isinstance(message, Granted | Denied | Untold):
            question = self._questions.pop(message.id, None)
            if question is not None:
                now = self._clock()
                is_waiting = question is not self._probed and not question.future.done()
                question.answer(message)
                if isinstance(message, Granted):
                    self._borrowers = message.borrowers
                    for part in question.asked:
                        self._known.note(part.limit.key, part.remaining, now)
                self._wake()
                self._answered(0.0 if is_waiting else now - question.asked_at)
        elif isinstance(message, Seen | Gathered):
            look = self._looks.get(message.id)
            if look is not None and not look.done():
                look.set_result(message)
        elif isinstance(message, Gather):
            try:
                self._tasks.start(self._tell_all(message.id), "write down what was spent")
            except Overloaded:
                line.send(Gathered(message.id, is_whole=False))
        else:
            line.abort()

    def _give_up(self, recall: Recall) -> None:
        part = self._slices.get(recall.key)
        back = None if part is None else part.give_back(self._clock(), is_called=True)
        if part is not None and not recall.id:
            # There is no more of it: what is in use goes back as well, when it is free.
            self._retired.append(self._slices.pop(recall.key))
        self._send_back([back])

    def _end(self, _line: Messages) -> None:
        if not self._is_closing:
            log.warning("the parent process that counts is gone: this worker goes on with its share")
        self._is_away = True
        for question in self._questions.values():
            question.conclude(None)
        self._questions.clear()
        for look in self._looks.values():
            if not look.done():
                look.set_result(None)

    def _answered(self, seconds: float) -> None:
        # One that was late has been counted when its time was up.
        if seconds <= self._deadline:
            self._breaker.answered(seconds)
            self._is_away = False
            if self._share is not None:
                rates, self._share = self._share.let_through(), None
                self._send_back([Returned(key, 0.0, -used, 0) for key, _, used in rates])

    def _fail(self) -> None:
        self._breaker.failed("it does not answer in time")
        if self._breaker.is_open and not self._is_away:
            self._is_away = True
            self._probe = self._loop.call_later(PROBE_SECONDS, self._look)

    def _look(self) -> None:
        """Ask for nothing, to see whether there is an answer."""
        self._probe = None
        if self._is_away and self._line.is_open and not self._is_closing:
            if self._probed is None or self._probed.future.done():
                self._probed = self._ask(())
            self._probe = self._loop.call_later(PROBE_SECONDS, self._look)

    def _shared(self) -> Share:
        if self._share is None:
            self._share = Share(self._borrowers, self._known, self._rebuild, self._clock)
        return self._share

    async def _go_alone(self, charges: Sequence[Charge]) -> Grant | Refusal:
        """Raises what the ledger raises, and :class:`StoreDown` where too little money was lent."""
        while True:
            lent = self._take_lent(charges)
            if lent is None:
                raise StoreDown(AWAY)
            done = self._alone(charges, lent)
            if done is not None:
                return done
            await self._shared().learn([charge for charge in charges if charge.limit.key not in lent])

    def _take_lent(self, charges: Sequence[Charge]) -> dict[str, Slice] | None:
        """Of all money that may not be passed; ``None``: too little was lent."""
        now = self._clock()
        lent: dict[str, Slice] = {}
        for charge in charges:
            limit = charge.limit
            if limit.kind != "money" or limit.ceiling >= UNREACHED:
                continue
            part = self._slices.get(limit.key)
            # To the parent, one whose line has ended owes nothing: others may have it by now.
            if (
                not self._line.is_open
                or part is None
                or part.limit.ceiling != limit.ceiling
                or not part.take(now, charge.amount)
            ):
                _put_back(charges, lent)
                return None
            lent[limit.key] = part
        return lent

    def _alone(self, charges: Sequence[Charge], lent: dict[str, Slice]) -> Grant | Refusal | None:
        """What was lent, and of all other limits the share."""
        done = self._shared().reserve_now([charge for charge in charges if charge.limit.key not in lent])
        if not isinstance(done, Grant):
            _put_back(charges, lent)
            return done
        others = iter(done.parts)
        parts = [lent.get(charge.limit.key) or next(others) for charge in charges]
        return Grant(charges, done.at, parts, is_local=True)

    def _settle_local(self, grant: Grant, actual: Mapping[str, int]) -> None:
        if grant.is_open:
            grant.is_open = False
            now = self._clock()
            for charge, part in zip(grant.charges, grant.parts, strict=True):
                spent = actual.get(charge.limit.key, charge.amount)
                if isinstance(part, Slice):
                    part.settle(charge.amount, spent)
                    continue
                part.settle(grant.at, now, charge.amount, spent)
                if charge.limit.kind == "money" and spent:
                    # It comes on top: nothing was lent for it.
                    self._returned.append(Returned(charge.limit.key, 0.0, -spent, spent))
            self._wake()

    def _wake(self) -> None:
        if self._tick is None and not self._is_closing:
            self._tick = self._loop.call_later(TICK, self._look_through)

    def _look_through(self) -> None:
        """Tell the parent what it does not know, and forget what is over."""
        self._tick = None
        self._report()
        now = self._clock()
        for key in [key for key, part in self._slices.items() if part.is_idle(now)]:
            del self._slices[key]
        if self._slices or self._retired:
            self._wake()

    def _report(self, *, is_called: bool = False) -> None:
        now = self._clock()
        self._send_back([part.give_back(now, is_called=is_called) for part in self._slices.values()])

    def _return_stale(self, charges: Sequence[Charge]) -> None:
        """Return what can be used no more; what was borrowed under another ceiling goes as it becomes free."""
        now, backs = self._clock(), []
        for charge in charges:
            part = self._slices.get(charge.limit.key)
            if part is not None and part.limit.ceiling != charge.limit.ceiling:
                self._retired.append(part)
                del self._slices[charge.limit.key]
            elif part is not None and part.is_rate:
                backs.append(part.give_back(now))
        self._send_back(backs)

    def _send_back(self, backs: Sequence[Returned | None]) -> None:
        """Tell this, and what nobody else will."""
        if self._retired:
            now = self._clock()
            backs = [*backs, *(part.give_back(now, is_called=True) for part in self._retired)]
            self._retired = [part for part in self._retired if not part.is_idle(now)]
        told = self._returned + [back for back in backs if back is not None]
        self._returned = []
        if told:
            self._line.send(GiveBack(told))


def _put_back(charges: Sequence[Charge], lent: Mapping[str, Slice]) -> None:
    for charge in charges:
        part = lent.get(charge.limit.key)
        if part is not None:
            part.put_back(charge.amount)


class _Question:
    """What one request needs: what was there is held, the rest is asked for."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: float, charges: Sequence[Charge], slices: dict[str, Slice]
    ) -> None:
        self.future: asyncio.Future[Message | None] = loop.create_future()
        self.charges = charges
        self.asked_at = now
        self.slices: list[Slice] = []
        self.wants: list[Want] = []
        self.missing: list[Charge] = []
        """The charges of the wants."""
        self.asked: list[Slice] = []
        """The slices of the wants."""
        self._held: list[int] = []
        self._is_over = False
        for charge in charges:
            part = slices.get(charge.limit.key)
            if part is None:
                part = slices[charge.limit.key] = Slice(charge.limit)
            held = part.take_some(now, charge.amount)
            self.slices.append(part)
            self._held.append(held)
            if held < charge.amount:
                self.wants.append(Want(charge.limit, charge.amount - held, not part.asking))
                self.missing.append(charge)
                self.asked.append(part)
                part.asking += 1

    def answer(self, message: Message) -> None:
        """Take what was lent; for others, if nobody waits any more."""
        for part in self.asked:
            part.asking -= 1
        if isinstance(message, Granted):
            for part, lent, want in zip(self.asked, message.lent, self.wants, strict=True):
                part.add(lent, message.at)
                if not self._is_over:
                    part.free -= want.need
                    part.busy += want.need
            self._held = [charge.amount for charge in self.charges]
        else:
            self.leave()
        self.conclude(message)

    def conclude(self, outcome: Message | None) -> None:
        if not self.future.done():
            self.future.set_result(outcome)

    def leave(self) -> None:
        """Put back what is held."""
        if not self._is_over:
            self._is_over = True
            for part, held in zip(self.slices, self._held, strict=True):
                part.put_back(held)
