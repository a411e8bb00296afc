"""The lines of a batch that are held here, by their models.

A limit, a budget or a provider refuses the lines of one model, and no others: so each model has a lane of its own, with
its own pace, and lines of one lane never wait for those of another.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pointsman.batches.held import Line
from pointsman.batches.lines import MAX_LAPSES, Order
from pointsman.batches.protocol.pace import Pace
from pointsman.store.files import FileRow
from pointsman.store.work import BatchRow

MAX_LANES: Final = 64
"""Of a batch; lines of further models share one."""
MAX_WAITING: Final = 512
"""Lines of a lane that were refused or have failed, and are kept here."""
FEW: Final = 16
"""Lines that are suspected, and run beside each other."""
MANY: Final = 512
"""Lines of a lane that are kept beside others, as long as none was refused."""
SHORTEST: Final = 1.0
"""Seconds for which lines go back that have no place here."""
A_SECOND: Final = 32
"""Of these lines that come back, as long as they are few enough."""
SPREAD: Final = 1_024.0
"""Seconds within which all of them come back."""
LEAST: Final = 4
"""Lines that are worth claiming for."""
LONGEST_PAUSE: Final = 1.0
"""Seconds between two claims that give nothing which can be begun."""
FIRST_PAUSE: Final = 0.1
_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"]{1,512})"')


def together(suspects: Sequence[Line]) -> list[Line]:
    """Those of some suspected lines that can be run beside each other: few, and the last time each by itself."""
    few = [line for line in suspects if line.claimed.lapses < MAX_LAPSES - 1]
    return few[:FEW] or list(suspects[:1])


class Lane:
    """Those of one model."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.ready: deque[Line] = deque()
        self.waiting: list[Line] = []
        """Those that were refused or have failed."""
        self.running = 0
        self.answered = 0
        self.probes_at = 0.0
        """When one of these may be tried again although nothing was answered since the last rest."""
        self._passed = 0
        """Lines for which there was no place, since one was answered."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here."""
        return not (self.ready or self.waiting or self.running)

    @property
    def most(self) -> int:
        """Lines that are worth keeping, beside those of other models."""
        return max(LEAST, 4 * self.pace.window) if self.pace.is_known else MANY

    def answer(self) -> None:
        """One of its lines was answered."""
        self.answered += 1
        self._passed = 0

    def passed(self, count: int, now: float) -> float:
        """For how many seconds those go back for which there is no place, which are so many.

        They are not to come back all at once: whoever looks for other lines would find nothing but these.
        """
        self._passed += count
        return max(SHORTEST, self.pace.rests_until - now) + self._passed / A_SECOND % SPREAD

    def rests(self, now: float) -> bool:
        """Whether none of it is to be begun."""
        return now < self.pace.rests_until

    def may_begin(self, now: float, *, has_clients: bool = False) -> bool:
        """Whether one of its lines can be begun."""
        if self.waiting and (self.pace.is_well or (not self.ready and now >= self.probes_at)):
            due = [line for line in self.waiting if line.not_before <= now]
            if due and not self.pace.is_well:
                # It may be that line alone which is refused: those that nobody has tried yet tell more.
                due, self.probes_at = due[:1], now + SHORTEST
            if due:
                gone = set(due)
                self.waiting = [line for line in self.waiting if line not in gone]
                self.ready.extend(due)
        return bool(self.ready) and self.pace.may_begin(self.running, now, has_clients=has_clients)

    def is_news(self, line: Line, *, is_refusal: bool) -> bool:
        """Whether it says something of others that a line was refused, or has failed; asked each time once.

        Some lines always are, or do. So it does the first time; later on only a refusal does, which there is no end to,
        where all was well and nothing was answered since the time before.
        """
        is_news = not line.attempts or (is_refusal and self.pace.is_well and line.answered == self.answered)
        line.answered = self.answered
        return is_news

    def wait(self, line: Line, now: float, seconds: float) -> None:
        """Keep a line that was refused or has failed, to be tried again."""
        line.not_before = now + seconds
        if line.attempts > 1:
            self.probes_at = max(self.probes_at, line.not_before)
        self.waiting.append(line)

    def emptied(self, chosen: Callable[[Line], bool]) -> list[Line]:
        """Lines that do not run, which it does not have any more."""
        found = [line for line in (*self.ready, *self.waiting) if chosen(line)]
        self.ready = deque(line for line in self.ready if not chosen(line))
        self.waiting = [line for line in self.waiting if not chosen(line)]
        return found


class Running:
    """A batch some of whose lines are held here."""

    def __init__(
        self, row: BatchRow, order: Order, source: FileRow | None, *, is_single: bool, chance: Callable[[], float]
    ) -> None:
        """``is_single``: all of its lines are for one model."""
        self.row = row
        self.order = order
        self.source = source
        """``None``: the input file is gone."""
        self.reading = 0
        """Claims whose lines are being read."""
        self.seen_at = 0.0
        self.is_stopped = False
        """Whether no more lines of it are to be begun."""
        self.is_dry = False
        """Whether nobody has had any more lines of it."""
        self.poor_since: float | None = None
        """Since when lines are refused for want of money, and none is answered."""
        self._is_single = is_single
        self._chance = chance
        self._lanes: dict[str, Lane] = {}
        self._pause = 0.0
        self._hungry_at = 0.0

    @property
    def lanes(self) -> Iterator[Lane]:
        """All of them."""
        return iter(self._lanes.values())

    @property
    def running(self) -> int:
        """Lines that run."""
        return sum(lane.running for lane in self._lanes.values())

    @property
    def is_here(self) -> bool:
        """Whether there are any lines of it."""
        return self.reading > 0 or any(not lane.is_empty for lane in self._lanes.values())

    def lane_of(self, data: bytes, now: float) -> Lane:
        """Where a line belongs that reads so."""
        found = None if self._is_single else _MODEL.search(data)
        name = "" if found is None else found[1].decode("utf-8", "replace")
        if name not in self._lanes and len(self._lanes) >= MAX_LANES:
            # Of one that rests it is known that it does.
            self._lanes = {
                one: lane for one, lane in self._lanes.items() if one == "" or not lane.is_empty or lane.rests(now)
            }
            name = name if len(self._lanes) < MAX_LANES else ""
        if name not in self._lanes:
            self._lanes[name] = Lane(Pace(self._chance))
        return self._lanes[name]

    def has_place(self, lane: Lane, now: float) -> bool:
        """Whether one more line is to be kept in a lane; others would wait for it in vain."""
        return self._is_single or (not lane.rests(now) and len(lane.ready) < lane.most)

    def next(self, now: float, *, has_clients: bool = False) -> Lane | None:
        """The lane whose turn it is."""
        for name in tuple(self._lanes):
            lane = self._lanes[name]
            if lane.may_begin(now, has_clients=has_clients):
                # To the end of them all.
                self._lanes[name] = self._lanes.pop(name)
                return lane
        return None

    def claimed(self, now: float, *, has_any: bool) -> None:
        """Lines were claimed, and some of them can be begun, or none: then it is not worth while at once again."""
        self._pause = 0.0 if has_any else min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        self._hungry_at = now + self._pause

    def rest(self, until: float) -> None:
        """No more lines of it are to be claimed before then."""
        self._hungry_at = until

    def is_hungry(self, now: float) -> bool:
        """Whether fewer lines of it are here than could be begun soon."""
        if self.is_stopped or now < self._hungry_at:
            return False
        lanes = [lane for lane in self._lanes.values() if not lane.rests(now)]
        if self._is_single:
            return not self._lanes or any(len(lane.ready) <= lane.pace.window for lane in lanes)
        ready = sum(min(len(lane.ready), lane.pace.window) for lane in lanes)
        return ready <= max(LEAST, sum(lane.pace.window for lane in lanes) // 2)
