"""Counters in Redis or Valkey, for replicas that share them: exact, by the server's clock.

One task talks to the server: what has come together while it waited for an answer goes out as one call of one script
(``counters.lua``), so nothing is ever cancelled half-way, and a busy gateway makes few calls. A call that is late costs
its connection. What it may have done is put right by the next one: it tells all that this process holds, what was used
is booked once by its number, and whatever an older connection still says is not listened to.

What a process holds are leases: they end :data:`LEASE` seconds after they were renewed last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from secrets import token_hex
from typing import Any, Final, TypeAlias

import msgspec
from redis.exceptions import RedisError

from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.store.base import StoreDown
from pointsman.store.breaker import Breaker
from pointsman.store.counting import Counted, Rebuild, nothing_spent, nothing_used
from pointsman.store.link import CONNECT_DEADLINE, DOWN, ScriptLink
from pointsman.store.memory import settle
from pointsman.store.patience import Deadline
from pointsman.store.settings import RedisSettings
from pointsman.store.sharing import Known, Share
from pointsman.telemetry.tasks import Tasks

DEADLINE: Final = 0.05
"""Seconds for an answer."""
LEASE: Final = 60.0
RENEWAL: Final = 20.0
BEAT: Final = 2.0
"""Seconds after which a process that has nothing to say says so."""
PROBE_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 0.01
"""Seconds until the others see what was used."""
OTHERS_WRITE: Final = 2.0
"""Seconds until other replicas have written down what they have spent, if their ledger is not away."""
MAX_ASKS: Final = 64
"""Requests in one call: other replicas have to wait for it."""
MAX_WAITING: Final = 10_000
LONGEST: Final = 45 * 86_400.0
"""Seconds that money is kept whose window never ends; after that it is rebuilt."""

Outcome: TypeAlias = Grant | Refusal | Limit | Counted | None
_ENCODER: Final = msgspec.msgpack.Encoder()


class RedisCounters:
    """What replicas share; while the server is away, one part in as many as lived when it was heard last."""

    def __init__(
        self,
        settings: RedisSettings,
        tasks: Tasks,
        rebuild: Rebuild = nothing_spent,
        *,
        deadline: float = DEADLINE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``clock`` takes the place of the server's."""
        self._prefix = settings.prefix
        self._tasks = tasks
        self._rebuild = rebuild
        self._deadline = deadline
        self._clock = clock
        self._link = ScriptLink(settings, deadline)
        self._breaker = Breaker("the Redis that counts", slow=deadline)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._process = token_hex(8)
        self._asks: list[_Asked] = []
        self._news = _News()
        self._renewed = -inf
        self._known = Known()
        self._replicas = 1
        self._share: Share | None = None
        """While the server is away."""
        self._is_away = True
        """Since a call failed, or there was none yet, until one is answered: nobody waits for a connection."""
        self._closing = asyncio.Event()
        self._report: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to talk. Where there is no server yet, it goes on without, and looks again."""
        await self._turn()
        self._running = self._tasks.start(self._run(), "count in Redis")

    async def close(self) -> None:
        """Give back what is held and tell what was used, if the server listens."""
        self._closing.set()
        self._wake.set()
        if self._report is not None:
            self._report.cancel()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=CONNECT_DEADLINE)

    def reserve_now(self, charges: Sequence[Charge]) -> Grant | Refusal | None:
        return self._shared().reserve_now(charges) if self._is_away else None

    async def reserve(self, charges: Sequence[Charge]) -> Grant | Refusal:
        while not self._is_away and len(self._asks) < MAX_WAITING:
            asked = _Asked(charges, self._loop.create_future())
            self._asks.append(asked)
            self._wake.set()
            outcome = await self._answer(asked)
            if outcome is None:
                break
            if isinstance(outcome, Grant | Refusal):
                return outcome
            assert isinstance(outcome, Limit)
            used = await self._rebuild(outcome)
            # Only now: a call that went out meanwhile has taken the list with it.
            self._news.seeds.append((outcome.key, used, True, _kept_ms(outcome)))
        return await self._shared().reserve(charges)

    def settle(self, grant: Grant, actual: Mapping[str, int]) -> None:
        if not grant.is_open:
            return
        if grant.is_local:
            settle(grant, actual, time.monotonic())
        grant.is_open = False
        for charge in grant.charges:
            self._news.used(charge, actual.get(charge.limit.key, charge.amount), grant)
        if self._report is None and not self._closing.is_set():
            self._report = self._loop.call_later(REPORT_SECONDS, self._speak)

    def release(self, grant: Grant) -> None:
        self.settle(grant, nothing_used(grant))

    def remaining(self, limit: Limit) -> int | None:
        left = self._known.left(limit.key)
        return None if left is None else max(0, left)

    async def seed(self, key: str, used: int) -> None:
        self._news.seeds.append((key, used, False, int(LONGEST * 1000)))
        self._wake.set()

    def adjust(self, key: str, by: int) -> None:
        self._news.owe_money(key, by)
        self._wake.set()

    async def counted(self, limit: Limit) -> Counted | None:
        if not self._is_away:
            # Nobody else asks for nothing.
            asked = _Asked((Charge(limit, 0),), self._loop.create_future())
            self._asks.append(asked)
            self._wake.set()
            outcome = await self._answer(asked)
            if isinstance(outcome, Counted):
                return outcome
            if isinstance(outcome, Limit):
                return None
        raise StoreDown("the Redis that counts does not answer")

    async def gather(self) -> bool:
        # Nobody knows where the others are, but they write what they have spent without being asked.
        await asyncio.sleep(OTHERS_WRITE)
        return not self._is_away

    async def _answer(self, asked: _Asked) -> Outcome:
        """A limit: what was spent of it is not known; ``None``: there was no answer."""
        timer = Deadline(self._loop, self._deadline, partial(asked.conclude, None))
        try:
            return await asked.future
        except asyncio.CancelledError:
            if not asked.future.cancelled() and isinstance(granted := asked.future.result(), Grant):
                self.release(granted)
            raise
        finally:
            timer.cancel()

    def _speak(self) -> None:
        self._report = None
        self._wake.set()

    def _shared(self) -> Share:
        if self._share is None:
            self._share = Share(self._replicas, self._known, self._rebuild, time.monotonic)
        return self._share

    async def _run(self) -> None:
        try:
            while not self._closing.is_set():
                if not self._asks:
                    await self._rest()
                self._wake.clear()
                await self._turn()
            if self._link.is_open:
                self._news.give_up()
                await self._turn()
        finally:
            await self._link.close()

    async def _rest(self) -> None:
        """Wait for something to say; while the server is away, for the time to look again."""
        if self._is_away:
            event, seconds = self._closing, PROBE_SECONDS if self._breaker.is_open else 0.0
        else:
            event, seconds = self._wake, BEAT
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    async def _turn(self) -> None:
        """One call. What goes wrong is for the breaker to count, and requests go on with the share."""
        asks: list[_Asked] = []
        batch = None
        try:
            if not self._link.is_open:
                await self._link.open()
                self._renewed = -inf
            asks = [asked for asked in self._asks[:MAX_ASKS] if not asked.future.done()]
            del self._asks[:MAX_ASKS]
            batch = self._batch(asks)
            answer = await self._link.call(batch.names, batch.message(self._process, self._link.epoch))
            self._take(asks, answer)
        except DOWN as error:
            await self._link.close()
            self._fail(error, asks, batch)
        else:
            self._news.booking = []
            self._breaker.answered(0.0)
            self._is_away = False
            if self._share is not None:
                for key, seconds, used in self._share.let_through():
                    self._news.let_through(key, seconds, used)
                self._share = None
                self._wake.set()

    def _batch(self, asks: Sequence[_Asked]) -> _Batch:
        now = self._loop.time()
        if now >= self._renewed + RENEWAL:
            self._renewed = now
            self._news.changed.update(self._news.held)
        time_there = 0 if self._clock is None else _micro(self._clock())
        return _Batch(self._prefix, self._process, time_there, self._news, asks)

    def _take(self, asks: Sequence[_Asked], answer: Any) -> None:
        if answer[0] != 1:
            raise RedisError("a newer connection of this process is in use")
        _, now, self._replicas, answers = answer
        for asked, (said, *rest) in zip(asks, answers, strict=True):
            if said == 1:
                self._granted(asked, now, rest)
            elif said == 0:
                index, remaining, wait = rest
                limit = asked.charges[index].limit
                self._known.note(limit.key, remaining, time.monotonic())
                asked.conclude(Refusal(limit, None if wait < 0 else wait / 1e6, max(0, remaining)))
            elif said == 3:
                asked.conclude(Counted(*rest))
            else:
                asked.conclude(asked.charges[rest[0]].limit)

    def _granted(self, asked: _Asked, now: int, left: Sequence[int]) -> None:
        for charge, remaining in zip(asked.charges, left, strict=True):
            self._known.note(charge.limit.key, remaining, time.monotonic())
            self._news.took(charge)
        grant = Grant(asked.charges, now)
        if asked.future.done():
            self.release(grant)
        else:
            asked.conclude(grant)

    def _fail(self, error: Exception, asks: Sequence[_Asked], batch: _Batch | None) -> None:
        if batch is not None:
            batch.was_lost()
        waiting, self._asks = [*asks, *self._asks], []
        for asked in waiting:
            asked.conclude(None)
        self._is_away = True
        self._breaker.failed(str(error) or f"no answer within {self._deadline:g} s")


class _Asked(msgspec.Struct, eq=False):
    """A request that waits."""

    charges: Sequence[Charge]
    future: asyncio.Future[Outcome]

    def conclude(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


class _News:
    """What the server does not know, or may not know."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        """What this process has of slots and money, in all."""
        self.changed: set[str] = set()
        """Where that is news."""
        self.seeds: list[tuple[str, int, bool, int]] = []
        """Keys, what was spent, whether that holds only where nobody has told, and milliseconds to keep it."""
        self.dues: dict[tuple[str, str, int, int], int] = {}
        """What was used: by key, kind, time and window."""
        self.booking: list[tuple[tuple[str, str, int, int], int]] = []
        """The same, that was told as ``number`` and may have been booked."""
        self.number = 0

    def took(self, charge: Charge) -> None:
        """The server has noted a charge."""
        limit = charge.limit
        if limit.kind != "rate":
            self.held[limit.key] = self.held.get(limit.key, 0) + charge.amount

    def used(self, charge: Charge, used: int, grant: Grant) -> None:
        """So much of a charge was used."""
        limit = charge.limit
        if limit.kind != "rate" and not grant.is_local:
            self.changed.add(limit.key)
            self.held[limit.key] -= charge.amount
            if not self.held[limit.key]:
                del self.held[limit.key]
        if limit.kind == "money" and used:
            self.owe_money(limit.key, used)
        # Of rates that were let through while nobody listened, the share tells.
        if limit.kind == "rate" and used != charge.amount and not grant.is_local and len(self.dues) < MAX_WAITING:
            self._owe((limit.key, "rate", int(grant.at), _micro(limit.window)), charge.amount - used)

    def let_through(self, key: str, seconds: float, used: int) -> None:
        """A rate has let so much through, while nobody listened."""
        if len(self.dues) < MAX_WAITING:
            self._owe((key, "rate", 0, _micro(seconds)), -used)

    def owe_money(self, key: str, amount: int) -> None:
        """So much was spent."""
        self._owe((key, "money", 0, 0), amount)

    def give_up(self) -> None:
        """Hold nothing any more."""
        self.changed.update(self.held)
        self.held = {}

    def next_booking(self) -> None:
        """Tell what was used next, unless what was told last may not have been heard."""
        if not self.booking and self.dues:
            self.number += 1
            self.booking, self.dues = list(self.dues.items()), {}

    def _owe(self, due: tuple[str, str, int, int], amount: int) -> None:
        self.dues[due] = self.dues.get(due, 0) + amount


class _Batch:
    """What one call tells and asks, as ``counters.lua`` has it."""

    def __init__(self, prefix: str, process: str, now: int, news: _News, asks: Sequence[_Asked]) -> None:
        # Braces: all keys are in one slot of a cluster, as one script touches them.
        self._prefix = f"{prefix}:{{counters}}:"
        self.names = [f"{self._prefix}processes", f"{self._prefix}process:{process}"]
        self._places: dict[str, int] = {}
        self._now = now
        self._news = news
        self._changed, news.changed = news.changed, set()
        self._seeds, news.seeds = news.seeds, []
        self._asked = asks
        news.next_booking()
        self._number = news.number
        self._dues = [
            [self._place(key), kind, at, amount, width] for (key, kind, at, width), amount in news.booking if amount
        ]
        self._holds = [[self._place(key), news.held.get(key, 0)] for key in self._changed]
        self._told = [[self._place(key), *rest] for key, *rest in self._seeds]
        self._asks = [[self._charge(charge) for charge in asked.charges] for asked in asks]

    def message(self, process: str, epoch: int) -> bytes:
        lease = _micro(LEASE)
        return _ENCODER.encode(
            [process, epoch, self._number, self._now, lease, self._dues, self._holds, self._told, self._asks]
        )

    def was_lost(self) -> None:
        """There was no answer: tell it again, and put right what may have been noted for those who asked."""
        news = self._news
        news.changed |= self._changed
        news.seeds = self._seeds + news.seeds
        news.changed.update(
            charge.limit.key for asked in self._asked for charge in asked.charges if charge.limit.kind != "rate"
        )

    def _place(self, key: str) -> int:
        """The number of a key, as the script counts them."""
        place = self._places.get(key)
        if place is None:
            self.names.append(self._prefix + "counter:" + key)
            place = self._places[key] = len(self.names)
        return place

    def _charge(self, charge: Charge) -> list[Any]:
        limit = charge.limit
        width = _micro(limit.window) if limit.kind == "rate" else 0
        return [self._place(limit.key), limit.kind, limit.ceiling, width, charge.amount, _kept_ms(limit)]


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _kept_ms(limit: Limit) -> int:
    return int(min(limit.window, LONGEST) * 1000) + 1000
