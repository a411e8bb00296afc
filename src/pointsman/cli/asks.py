"""What workers are asked for, as long as one that is just beginning may have missed it.

A worker begins with what is in force when it is started. Whatever was asked for by then and is done is in that; what
was not done yet, or came later, it has to be asked for when it serves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from pointsman.edge.line import Message

MAX_ASKS = 100
MOST_SECONDS = 300.0
"""After which nobody is asked any more, whatever came of it."""


class Asks:
    """Times are seconds of one clock, the caller's."""

    def __init__(self) -> None:
        self._asks: OrderedDict[str, _Ask] = OrderedDict()

    def put(self, message: Message, workers: Iterable[int], now: float) -> None:
        """These workers, by their pids, are being asked; whoever asks has done it, if it is one of them."""
        self._asks[str(message.get("id"))] = _Ask(message, {*workers}, now, is_done=bool(message.get("pid")))
        self._end(now)
        while len(self._asks) > MAX_ASKS or now - next(iter(self._asks.values())).begun > MOST_SECONDS:
            self._asks.popitem(last=False)

    def answered(self, name: object, pid: int, now: float) -> None:
        """A worker has done it, or cannot."""
        if (ask := self._asks.get(str(name))) is not None:
            ask.is_done = True
            ask.waiting.discard(pid)
            self._end(now)

    def gone(self, pid: int, now: float) -> None:
        """A worker will do nothing any more."""
        for ask in self._asks.values():
            ask.waiting.discard(pid)
        self._end(now)

    def missed(self, pid: int, born: float, now: float) -> list[Message]:
        """What a worker that was started then, and serves from now on, is to be asked for, in order."""
        found = [ask for ask in self._asks.values() if born <= ask.ended and now - ask.begun <= MOST_SECONDS]
        for ask in found:
            ask.waiting.add(pid)
        return [ask.message for ask in found]

    def _end(self, now: float) -> None:
        for ask in self._asks.values():
            if ask.is_done and not ask.waiting:
                ask.ended = min(ask.ended, now)


class _Ask:
    __slots__ = ("begun", "ended", "is_done", "message", "waiting")

    def __init__(self, message: Message, waiting: set[int], begun: float, *, is_done: bool) -> None:
        self.message = message
        self.waiting = waiting
        """Who has been asked and has not answered."""
        self.begun = begun
        self.ended = float("inf")
        """When all had answered: whoever is started from then on begins with it."""
        self.is_done = is_done
        """Whether anybody has done it."""
