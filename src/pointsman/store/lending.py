"""The parent's side of counters that workers share: it lends them parts of limits over their sockets.

Messages are MessagePack, each after its length in four bytes. A worker *asks*, and gets an answer with the number of
its question; it *gives back* and tells what was spent without one. Before the parent refuses, it *recalls* what other
workers have and may not use, and waits a short while until they have. The end of a socket is the end of a borrower.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, cast

import msgspec

from pointsman.access.slices import Lent, Loans, Refused, Returned, Unknown, Want

RECALL_PATIENCE = 0.02
"""Seconds that others have to return what they do not use."""
GATHER_PATIENCE = 5.0
"""Seconds that all have to write down what they have spent."""
MAX_MESSAGE_BYTES = 1 << 20


class Ask(msgspec.Struct, frozen=True, tag="ask", array_like=True):
    """What a worker needs."""

    id: int
    wants: list[Want]


class Granted(msgspec.Struct, frozen=True, tag="granted", array_like=True):
    """What it gets, in the order of its wants; ``at`` is the time when it was lent."""

    id: int
    at: float
    lent: list[Lent]
    borrowers: int


class Denied(msgspec.Struct, frozen=True, tag="denied", array_like=True):
    """Nothing."""

    id: int
    why: Refused


class Untold(msgspec.Struct, frozen=True, tag="untold", array_like=True):
    """Somebody has to tell what was spent."""

    id: int
    index: int


class GiveBack(msgspec.Struct, frozen=True, tag="back", array_like=True):
    """What a worker does not need, and what it has spent."""

    returned: list[Returned]


class Recall(msgspec.Struct, frozen=True, tag="recall", array_like=True):
    """Others need it; with 0, there is no more of it."""

    id: int
    key: str


class Recalled(msgspec.Struct, frozen=True, tag="recalled", array_like=True):
    """What was free was returned before this."""

    id: int


class Tell(msgspec.Struct, frozen=True, tag="tell", array_like=True):
    """What was spent of a limit."""

    key: str
    used: int
    window: float
    is_first: bool
    """Whether it holds only if nobody has told before."""


class Look(msgspec.Struct, frozen=True, tag="look", array_like=True):
    """A worker wants to know what was counted of a money limit."""

    id: int
    key: str


class Seen(msgspec.Struct, frozen=True, tag="seen", array_like=True):
    """What was spent, and what is lent beside it; ``None``: nobody has counted."""

    id: int
    counted: tuple[int, int] | None


class Gather(msgspec.Struct, frozen=True, tag="gather", array_like=True):
    """All workers are to write down and tell what they have spent; one wants it, and the parent asks all."""

    id: int


class Gathered(msgspec.Struct, frozen=True, tag="gathered", array_like=True):
    """So one has, or all have; or not."""

    id: int
    is_whole: bool


class Leave(msgspec.Struct, frozen=True, tag="leave", array_like=True):
    """A worker ends in order: it writes down itself what it has spent."""


Message: TypeAlias = (
    Ask | Granted | Denied | Untold | GiveBack | Recall | Recalled | Tell | Look | Seen | Gather | Gathered | Leave
)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


class Messages(asyncio.Protocol):
    """One end of a socket that messages go over. Who sends what is none ends it."""

    def __init__(self, on_message: Callable[[Messages, Message], None], on_end: Callable[[Messages], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._rest = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What uvloop gives is one in all but its name.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._on_end(self)

    def data_received(self, data: bytes) -> None:
        rest = self._rest
        rest += data
        start = 0
        try:
            while len(rest) - start >= 4:
                size = int.from_bytes(rest[start : start + 4], "big")
                if size > MAX_MESSAGE_BYTES:
                    self.abort()
                    return
                if len(rest) - start < 4 + size:
                    break
                message = _DECODER.decode(memoryview(rest)[start + 4 : start + 4 + size])
                start += 4 + size
                self._on_message(self, message)
        except msgspec.MsgspecError:
            self.abort()
            return
        del rest[:start]

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, message: Message) -> None:
        """Send it, if the other end is there and reads: who does not is given up with."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if transport.get_write_buffer_size() > MAX_MESSAGE_BYTES:
                self.abort()
                return
            data = _ENCODER.encode(message)
            transport.write(len(data).to_bytes(4, "big") + data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def close(self) -> None:
        """End it when all has been sent."""
        if self._transport is not None:
            self._transport.close()


class _Waiting:
    """A question that is answered when others have returned what they do not use."""

    def __init__(self, borrower: int, line: Messages, ask: Ask) -> None:
        self.borrower = borrower
        self.line = line
        self.ask = ask
        self.recalled: set[str] = set()
        """Keys for which that was done."""
        self.waits_for: set[int] = set()
        self.timer: asyncio.TimerHandle | None = None


class _Gathering:
    """A worker waits until all have written down what they have spent."""

    def __init__(self, line: Messages, id: int, waits_for: set[int]) -> None:  # noqa: A002
        self.line = line
        self.id = id
        self.waits_for = waits_for
        self.is_whole = True
        self.timer: asyncio.TimerHandle | None = None


class Lender:
    """Lends to all workers whose sockets it was given."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, patience: float = RECALL_PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._loans = Loans()
        self._lines: dict[int, Messages] = {}
        self._numbers: dict[Messages, int] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._gatherings: dict[int, _Gathering] = {}
        self._spending: set[int] = set()
        """Who may have spent something and not written it down."""
        self._is_whole = True
        """Whether nobody of those has died: what he had told is counted, even if nobody finds it written down."""
        self._recalls = 0
        self._count = 0

    async def serve(self, sock: socket.socket) -> None:
        """Lend over a connected socket, until its other end closes."""
        sock.setblocking(False)
        self._count += 1
        number = self._count

        def connected() -> Messages:
            line = Messages(self._hear, self._end)
            self._lines[number], self._numbers[line] = line, number
            return line

        self._loans.borrowers.add(number)
        await asyncio.get_running_loop().create_connection(connected, sock=sock)

    def close(self) -> None:
        """Lend no more."""
        for line in list(self._lines.values()):
            line.close()

    def _hear(self, line: Messages, message: Message) -> None:
        number = self._numbers[line]
        match message:
            case Ask():
                self._spending.add(number)
                self._answer(_Waiting(number, line, message))
            case GiveBack(returned):
                now = self._clock()
                for one in returned:
                    self._loans.take_back(number, one, now)
                self._call_back([one.key for one in returned], now)
            case Recalled(id):
                self._returned(id, number)
            case Tell():
                self._learn(message)
            case Look(id, key):
                line.send(Seen(id, self._loans.counted(key)))
            case Gather(id):
                self._gather(line, id)
            case Gathered(id, is_whole):
                self._heard_all(id, number, is_whole=is_whole)
            case Leave():
                self._spending.discard(number)
            case _:
                line.abort()

    def _learn(self, told: Tell) -> None:
        now = self._clock()
        self._loans.seed(told.key, told.used, now, told.window, is_first=told.is_first)
        if not told.is_first:
            # What was lent may be more than there is.
            self._call_back([told.key], now)

    def _call_back(self, keys: Iterable[str], now: float) -> None:
        """Have what there is no more returned; nobody waits for it."""
        for key in keys:
            for borrower in self._loans.overdrawn(key, now):
                self._lines[borrower].send(Recall(0, key))

    def _end(self, line: Messages) -> None:
        number = self._numbers.pop(line)
        del self._lines[number]
        self._loans.drop(number, self._clock())
        if number in self._spending:
            self._spending.discard(number)
            self._is_whole = False
        for id in [id for id, waiting in self._waiting.items() if number in waiting.waits_for]:  # noqa: A001
            self._returned(id, number)
        for id, gathering in list(self._gatherings.items()):  # noqa: A001
            if number in gathering.waits_for:
                # What it had not written yet, nobody knows.
                self._heard_all(id, number, is_whole=False)

    def _gather(self, line: Messages, id: int) -> None:  # noqa: A002
        self._recalls += 1
        number, gathering = self._recalls, _Gathering(line, id, set(self._lines))
        self._gatherings[number] = gathering
        gathering.timer = asyncio.get_running_loop().call_later(GATHER_PATIENCE, self._end_gathering, number, False)
        for other in self._lines.values():
            other.send(Gather(number))

    def _heard_all(self, id: int, borrower: int, *, is_whole: bool) -> None:  # noqa: A002
        """Of one borrower."""
        gathering = self._gatherings.get(id)
        if gathering is not None:
            gathering.waits_for.discard(borrower)
            gathering.is_whole &= is_whole
            if not gathering.waits_for:
                self._end_gathering(id, gathering.is_whole)

    def _end_gathering(self, id: int, is_whole: bool) -> None:  # noqa: A002 - of a timer
        gathering = self._gatherings.pop(id)
        assert gathering.timer is not None
        gathering.timer.cancel()
        gathering.line.send(Gathered(gathering.id, is_whole and self._is_whole))

    def _answer(self, waiting: _Waiting) -> None:
        ask, now = waiting.ask, self._clock()
        match self._loans.lend(waiting.borrower, ask.wants, now):
            case Unknown(index):
                waiting.line.send(Untold(ask.id, index))
            case Refused() as why:
                if not self._recall(waiting, ask.wants[why.index].limit.key, now):
                    waiting.line.send(Denied(ask.id, why))
            case lent:
                waiting.line.send(Granted(ask.id, now, lent, len(self._lines)))
                self._call_back([want.limit.key for want in ask.wants], now)

    def _recall(self, waiting: _Waiting, key: str, now: float) -> bool:
        """Have others return what they have of a limit; ``False`` if that is no use."""
        debtors: Sequence[int] = () if key in waiting.recalled else self._loans.debtors(key, waiting.borrower, now)
        if not debtors:
            return False
        waiting.recalled.add(key)
        waiting.waits_for = set(debtors)
        self._recalls += 1
        self._waiting[self._recalls] = waiting
        for debtor in debtors:
            self._lines[debtor].send(Recall(self._recalls, key))
        waiting.timer = asyncio.get_running_loop().call_later(self._patience, self._go_on, self._recalls)
        return True

    def _returned(self, id: int, number: int) -> None:  # noqa: A002
        waiting = self._waiting.get(id)
        if waiting is not None:
            waiting.waits_for.discard(number)
            if not waiting.waits_for:
                self._go_on(id)

    def _go_on(self, id: int) -> None:  # noqa: A002
        waiting = self._waiting.pop(id)
        assert waiting.timer is not None
        waiting.timer.cancel()
        if waiting.line.is_open:
            self._answer(waiting)
