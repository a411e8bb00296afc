from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from pointsman.access.limits import Limit
from pointsman.access.slices import Lent, Refused, Returned, Want
from pointsman.store import lending
from pointsman.store.lending import (
    MAX_MESSAGE_BYTES,
    Ask,
    Denied,
    Gather,
    Gathered,
    GiveBack,
    Granted,
    Leave,
    Lender,
    Look,
    Message,
    Messages,
    Recall,
    Recalled,
    Seen,
    Tell,
    Untold,
)

PLACES = Limit("places", "slots", 4)
BUDGET = Limit("budget", "money", 100)
INF = float("inf")


class Borrower:
    """The other end of a socket, that says what the test has it say."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self.line = Messages(lambda _, message: self.heard.put_nowait(message), lambda _: self.heard.put_nowait(None))

    async def hears(self) -> Message | None:
        async with asyncio.timeout(5):
            return await self.heard.get()


Hire = Callable[[], Awaitable[Borrower]]


@pytest.fixture
async def hire() -> AsyncIterator[Hire]:
    lender = Lender(lambda: 1_000.0, patience=0.05)
    borrowers: list[Borrower] = []

    async def one() -> Borrower:
        ours, theirs = socket.socketpair()
        await lender.serve(ours)
        theirs.setblocking(False)
        borrower = Borrower()
        await asyncio.get_running_loop().create_connection(lambda: borrower.line, sock=theirs)
        borrowers.append(borrower)
        return borrower

    yield one
    lender.close()
    for borrower in borrowers:
        borrower.line.close()
    async with asyncio.timeout(5):
        while lender._lines or any(borrower.line.is_open for borrower in borrowers):
            await asyncio.sleep(0)


async def test_a_borrower_is_lent_what_it_asks_for(hire: Hire) -> None:
    one = await hire()
    one.line.send(Ask(7, [Want(PLACES, 3, False)]))
    assert await one.hears() == Granted(7, 1_000.0, [Lent(3, 1)], 1)


async def test_who_has_something_left_returns_it_before_another_is_refused(hire: Hire) -> None:
    one, other = await hire(), await hire()
    one.line.send(Ask(1, [Want(PLACES, 4, False)]))
    await one.hears()
    other.line.send(Ask(1, [Want(PLACES, 2, False)]))
    recall = await one.hears()
    assert isinstance(recall, Recall)
    assert recall.key == "places"
    one.line.send(GiveBack([Returned("places", 0.0, 2, 0)]))
    one.line.send(Recalled(recall.id))
    assert isinstance(await other.hears(), Granted)
    other.line.send(Ask(2, [Want(PLACES, 1, False)]))
    recall = await one.hears()
    assert isinstance(recall, Recall)
    one.line.send(Recalled(recall.id))
    assert await other.hears() == Denied(2, Refused(0, 0, None))


@pytest.mark.parametrize("is_gone", [True, False])
async def test_nobody_waits_long_for_who_is_silent_and_not_at_all_for_who_is_gone(hire: Hire, is_gone: bool) -> None:
    one, other = await hire(), await hire()
    one.line.send(Ask(1, [Want(PLACES, 4, False)]))
    await one.hears()
    other.line.send(Ask(1, [Want(PLACES, 2, False)]))
    assert isinstance(await one.hears(), Recall)
    if is_gone:
        one.line.abort()
        assert isinstance(await other.hears(), Granted)
    else:
        assert isinstance(await other.hears(), Denied)


async def test_what_nobody_has_told_is_asked_back(hire: Hire) -> None:
    one = await hire()
    one.line.send(Ask(1, [Want(PLACES, 1, False), Want(BUDGET, 1, False)]))
    assert await one.hears() == Untold(1, 1)
    one.line.send(Tell("budget", 90, INF, is_first=True))
    one.line.send(Ask(2, [Want(BUDGET, 10, False)]))
    assert await one.hears() == Granted(2, 1_000.0, [Lent(10, 0)], 1)


async def test_what_there_is_no_more_is_called_back(hire: Hire) -> None:
    one, other = await hire(), await hire()
    other.line.send(Tell("budget", 0, INF, is_first=True))
    other.line.send(Ask(1, [Want(BUDGET, 50, False)]))
    await other.hears()
    one.line.send(Tell("budget", 90, INF, is_first=False))
    assert await other.hears() == Recall(0, "budget")


async def test_what_a_borrower_had_is_free_when_it_is_gone(hire: Hire) -> None:
    one, other = await hire(), await hire()
    one.line.send(Ask(1, [Want(PLACES, 4, False)]))
    await one.hears()
    one.line.close()
    assert await one.hears() is None
    other.line.send(Ask(1, [Want(PLACES, 4, False)]))
    heard = await other.hears()
    assert isinstance(heard, Granted | Recall)


@pytest.mark.parametrize(
    "nonsense",
    [b"\x00\x00\x00\x01\xc1", (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"), b"\x00\x00\x00\x0b\x93\xa7granted\x01\xc0"],
)
async def test_who_talks_nonsense_is_cut_off(hire: Hire, nonsense: bytes) -> None:
    one = await hire()
    assert one.line._transport is not None
    one.line._transport.write(nonsense)
    assert await one.hears() is None


async def test_only_the_lender_may_grant(hire: Hire) -> None:
    one = await hire()
    one.line.send(Granted(1, 0.0, [], 1))
    assert await one.hears() is None


async def test_messages_may_come_in_any_pieces(hire: Hire) -> None:
    heard: list[Message] = []
    line = Messages(lambda _, message: heard.append(message), lambda _: None)
    data = b"".join(len(one).to_bytes(4, "big") + one for one in (b"\x92\xa8recalled\x05", b"\x92\xa8recalled\x06"))
    for byte in data:
        line.data_received(bytes([byte]))
    line.data_received(data)
    assert heard == [Recalled(5), Recalled(6)] * 2


async def test_what_is_sent_to_nobody_is_dropped() -> None:
    line = Messages(lambda *_: None, lambda _: None)
    line.send(Recalled(1))
    line.abort()
    line.close()
    assert not line.is_open


@pytest.mark.requirement("budgets.reconcile")
async def test_what_was_counted_is_told_to_who_looks(hire: Hire) -> None:
    one, other = await hire(), await hire()
    one.line.send(Look(1, "budget"))
    assert await one.hears() == Seen(1, None)
    one.line.send(Tell("budget", 20, INF, is_first=True))
    one.line.send(Ask(2, [Want(BUDGET, 30, False)]))
    assert isinstance(await one.hears(), Granted)
    other.line.send(Look(3, "budget"))
    assert await other.hears() == Seen(3, (20, 30))
    # More was spent than was counted, and less.
    for by in (7, -5):
        other.line.send(GiveBack([Returned("budget", 0.0, -by, by)]))
    other.line.send(Look(4, "budget"))
    assert await other.hears() == Seen(4, (22, 30))


@pytest.mark.requirement("budgets.reconcile")
async def test_all_are_asked_to_write_down_and_who_dies_or_is_silent_has_not(
    hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await hire(), await hire()

    async def gather() -> tuple[Gather, Gather]:
        one.line.send(Gather(9))
        asked = await one.hears(), await other.hears()
        assert isinstance(asked[0], Gather)
        assert isinstance(asked[1], Gather)
        one.line.send(Gathered(asked[0].id, is_whole=True))
        return asked[0], asked[1]

    for is_whole in (True, False):
        _, asked = await gather()
        other.line.send(Gathered(asked.id, is_whole))
        assert await one.hears() == Gathered(9, is_whole)
    monkeypatch.setattr(lending, "GATHER_PATIENCE", 0.001)
    _, asked = await gather()
    assert await one.hears() == Gathered(9, is_whole=False)
    other.line.send(Gathered(asked.id, is_whole=True))
    monkeypatch.setattr(lending, "GATHER_PATIENCE", 60.0)
    await gather()
    other.line.abort()
    assert await one.hears() == Gathered(9, is_whole=False)


@pytest.mark.requirement("budgets.reconcile")
@pytest.mark.parametrize("has_left", [True, False])
async def test_what_somebody_has_spent_who_died_is_not_taken_for_written_down(hire: Hire, has_left: bool) -> None:
    one, other, idle = await hire(), await hire(), await hire()
    other.line.send(Ask(1, [Want(PLACES, 1, False)]))
    await other.hears()
    if has_left:
        other.line.send(Leave())
        other.line.close()
    else:
        other.line.abort()
    # Who has asked for nothing has spent nothing.
    idle.line.abort()
    is_whole = None
    # By the last one it has heard of their ends.
    for number in range(9):
        one.line.send(Gather(number))
        asked = await one.hears()
        assert isinstance(asked, Gather)
        one.line.send(Gathered(asked.id, is_whole=True))
        is_whole = await one.hears() == Gathered(number, is_whole=True)
    assert is_whole == has_left
